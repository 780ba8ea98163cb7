"""A manifest with everything a card can show, made by hand: no file, no codec version."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hfbucket.config import Config
from hfbucket.core.card.statistics import (
    CAPTION_BANDS_CHARACTERS,
    CROP_LOSS_BANDS_PPM,
    DOWNSCALE_BANDS_PERMILLE,
    Measure,
    Spread,
    Statistics,
)
from hfbucket.core.law.buckets import SDXL
from hfbucket.core.manifest.model import (
    BucketEntry,
    Captions,
    CaptionVariant,
    Generator,
    HistoryEntry,
    License,
    Manifest,
    SampleTable,
    Shard,
    Size,
    SourceEntry,
)
from hfbucket.core.manifest.settings import manifest_fields
from hfbucket.core.settings import content_settings


def bucket(bucket_id: str, base: int, count: int, *, w: int = 512, h: int = 512) -> BucketEntry:
    """Return a bucket of a proto twice its size, with one shard unless it is empty."""
    file = f"buckets/{bucket_id}/shard-00000.tar"
    shards = (Shard(file=file, count=count, bytes=count * 10_240, sha256="0" * 64),) if count else ()
    return BucketEntry(
        base_resolution=base, proto=Size(w=2 * w, h=2 * h), scaled=Size(w=w, h=h), count=count,
        bytes=count * 10_240, shards=shards,
    )  # fmt: skip


def _variant(name: str, priority: int, with_caption: int, selected: int) -> CaptionVariant:
    return CaptionVariant(
        name=name,
        selected=selected > 0,
        priority=priority,
        images_with_ok_caption=with_caption,
        images_selected=selected,
    )


CONFIG: Final = Config(base=(512, 51), max_crop="0.35", shuffle=7, caption_column=("long", "alt"), corners=(0, 3))  # type: ignore[arg-type]

FULL: Final = Manifest(
    created="2026-01-02T03:04:05Z",
    export_id="0123456789abcdef",
    history=(
        HistoryEntry(export_id="0123456789abcdef", created="2026-01-02T03:04:05Z", what="build"),
        HistoryEntry(export_id="0123456789abcdef", created="2026-02-03T03:04:05Z", what="words: title, license"),
    ),
    generator=Generator(name="hfbucket", version="0.1.0", pillow="12.0.0", libjpeg="libjpeg-turbo 3.1.2"),
    title="Birds of the island",
    description="Photos of birds, taken on one island in three years.\n\nOne species to a picture.",
    license=License(id="cc-by-4.0"),
    language=("en",),
    tags=("birds",),
    citation="@misc{birds,\n  title = {Birds of the island}\n}",
    sections={
        "about": "Taken by **hand**.",
        "filtering": "Blurred pictures were left out.",
        "limits": "Few owls.",
        "source_and_license": "The photographers agreed.",
    },
    captions=Captions(
        variants=(_variant("alt", 1, 1_000_000, 34_567), _variant("long", 0, 1_200_000, 1_200_000)),
        missing_policy="drop",
    ),
    caption_sources=({"id": "long-1", "variant": "long", "model": "a captioner", "prompt_sha256": "ab" * 32},),
    sources=(
        SourceEntry(
            name="island", kind="tars", repo_id="me/island", revision="abc123", splits=("train",), units=130,
            images_seen=1_300_000, bytes=130 * 10**9, license="cc-by-4.0", homepage="https://example.org/island",
        ),
        SourceEntry(name="garden", kind="folder", units=1, images_seen=1_567, bytes=10**6),
    ),
    buckets={
        "r512_p2048x512": bucket("r512_p2048x512", 512, 0, w=1024, h=256),
        "r512_p1152x832": bucket("r512_p1152x832", 512, 1_234_000, w=576, h=416),
        "r512_p1024x1024": bucket("r512_p1024x1024", 512, 555),
        "r51_p1024x1024": bucket("r51_p1024x1024", 51, 12, w=32, h=32),
    },
    samples=(SampleTable(file="samples/part-00000.parquet", rows=1_234_567, bytes=10**8, sha256="1" * 64),),
    statistics=Statistics(
        crop_loss_ppm=Spread(
            up_to=CROP_LOSS_BANDS_PPM, images=(100_000, 900_000, 200_000, 30_000, 4_000, 500, 60, 7),
            sum=24_691_340_000, max=341_234,
        ),
        downscale_permille=Spread(
            up_to=DOWNSCALE_BANDS_PERMILLE, images=(1_000, 200_000, 300_000, 400_000, 300_000, 33_567, 0, 0),
            sum=2_000_000_000, max=3_999,
        ),
        caption_characters=Spread(
            up_to=CAPTION_BANDS_CHARACTERS, images=(0, 34_567, 0, 200_000, 900_000, 100_000, 0, 0),
            sum=190_000_000, max=499,
        ),
        crop_loss_ppm_by_bucket={
            "r512_p1152x832": Measure(images=1_234_000, sum=24_691_000_000, max=341_234),
            "r512_p1024x1024": Measure(images=555, sum=340_000, max=99_999),
            "r51_p1024x1024": Measure(images=12, sum=0, max=0),
        },
        caption_characters_by_variant={
            "long": Measure(images=1_200_000, sum=189_000_000, max=499),
            "alt": Measure(images=1_000_000, sum=31_000_000, max=120),
        },
    ).to_dict(),
    summary={
        "images_seen": 1_301_567, "images_exported": 1_234_567, "decode_errors": 1_000, "skipped_no_caption": 6_000,
        "skipped_too_small": 60_000, "filtered": 0,
    },
    **manifest_fields(content_settings(CONFIG, SDXL)),
)  # fmt: skip

GOLDEN: Final = {
    "tests/golden/card_reencode.md": FULL,
    "tests/golden/card_passthrough.md": replace(
        FULL, image_mode="passthrough_jpeg", reencoded_in_passthrough=1_234, sections={}, license=License(), history=()
    ),
}
"""Files that show whole cards, and their manifests."""
