"""Every setting of a build, in one frozen object; flags, hfbucket.toml and Python build the same one.

A setting is *content* (it changes bytes, so it enters hashes and refusals to continue) or *run* (workers,
limits, progress), or *words* (what the card says). The kind stands in the field's metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, Literal, TypeVar

ImageMode = Literal["reencode_jpeg", "passthrough_jpeg"]
MissingCaption = Literal["drop", "empty", "error"]

_T = TypeVar("_T")

DEFAULT_VARIANTS = ("caption", "text", "sidecar")
"""Where a caption is looked for without `--caption-column`, first found wins."""


def content(default: _T, help: str) -> _T:
    """Return a dataclass field that changes the bytes of an export."""
    return field(default=default, metadata={"kind": "content", "help": help})


def run(default: _T, help: str) -> _T:
    """Return a dataclass field that changes how a build runs, never what it writes."""
    return field(default=default, metadata={"kind": "run", "help": help})


def words(default: _T, help: str) -> _T:
    """Return a dataclass field that only the card and the manifest's words carry."""
    return field(default=default, metadata={"kind": "words", "help": help})


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The settings of a plan or a build.

    Decimal settings (`max_crop`, `subsampling_threshold`) are kept as exact fractions.

    Raises:
        ConfigError: a value is of the wrong type or out of range.
    """

    base: tuple[int, ...] = content((512,), "base resolution in pixels; several make tiers, largest first")
    image_mode: ImageMode = content("reencode_jpeg", "re-encode to the bucket's size, or keep the source's JPEG bytes")
    protos: str = content("sdxl", "name of the proto bucket set, or a file with one WxH a line")
    divisible: int = content(32, "bucket sides are multiples of this many pixels")
    metric: Literal["min-crop", "nearest-log", "nearest-linear"] = content("min-crop", "how the best bucket is chosen")
    max_crop: Fraction = content(Fraction(1), "largest share of the resized image that may be cropped away, 0 to 1")
    min_bucket: int = content(0, "buckets with fewer images are rare")
    rare: Literal["keep", "merge", "drop"] = content("keep", "what becomes of rare buckets")
    crop: Literal["corner", "center"] = content("corner", "where the crop box lies")
    corners: tuple[int, ...] = content((0, 1, 2, 3), "allowed corners: 0 top left, 1 top right, 2 bottom left, 3 bottom right")
    corner_jitter: int = content(0, "pixels the box may move inward from its corner")
    quality: int = content(95, "JPEG quality, 1 to 100")
    subsampling: Literal["adaptive_scale", "4:4:4", "4:2:2", "4:2:0"] = content("adaptive_scale", "JPEG chroma subsampling")
    subsampling_threshold: Fraction = content(Fraction(85, 100), "adaptive_scale: 4:4:4 up to this cover scale")
    shuffle: int | None = content(None, "seed of a shuffled order; without it source order")
    max_shard_size: int = content(500_000_000, "planned bytes of a shard")
    max_shard_samples: int = content(10_000, "samples of a shard")
    caption_column: tuple[str, ...] = content((), "caption variants in order of priority")
    missing_caption: MissingCaption | None = content(None, "a sample without caption is dropped, kept empty, or an error")
    id_column: str | None = content(None, "metadata column that gives the image_id")
    image_column: str | None = content(None, "image column of Parquet sources")
    not_jpeg: Literal["reencode", "skip"] = content("reencode", "passthrough: what becomes of files that are no JPEG")
    oriented: Literal["reencode", "keep"] = content("reencode", "passthrough: what becomes of JPEGs with an EXIF rotation")
    strip_metadata: bool = content(False, "passthrough: drop EXIF, XMP, IPTC and comments without decoding")
    check: Literal["structure", "decode", "none"] = content("structure", "passthrough: how source bytes are checked")
    source_hash: bool = content(True, "record the sha256 of every source image")
    keep_location: bool = content(False, "keep GPS positions in metadata")
    max_pixels: int = content(178_000_000, "images with more pixels are skipped before decoding")
    duplicate_ids: Literal["error", "first"] = content("error", "two inputs with one image_id: stop, or keep the first")
    format: Literal["bucketed_shards_v2", "bucketed_shards_v1"] = content("bucketed_shards_v2", "name of the format")

    source_type: Literal["folder", "tars", "parquet"] | None = run(None, "read sources as this kind; without it look")
    workers: int | None = run(None, "processes; without it one per core")
    batch_size: int = run(32, "batch size the plan counts batches for")
    max_failure_ratio: Fraction = run(Fraction(5, 100), "share of undecodable images at which a build fails")
    expect_plan: str | None = run(None, "refuse to build any plan but this one")
    overwrite: bool = run(False, "start anew over an existing export with other settings")
    work_dir: str | None = run(None, "folder for index, plan, receipts and spool; <export>.work by default")
    cache_dir: str | None = run(None, "folder of the index cache; HFBUCKET_CACHE by default")
    sample_units: int | None = run(None, "plan: estimate from this many units of each source")

    title: str | None = words(None, "title of the card")
    description: str | None = words(None, "description in the card")
    license: str | None = words(None, "license identifier of the card")
    license_name: str | None = words(None, "name of a license that has no identifier")
    license_link: str | None = words(None, "link to a license that has no identifier")
    language: tuple[str, ...] = words((), "language codes of the captions")
    tag: tuple[str, ...] = words((), "further tags of the card")
    citation: str | None = words(None, "how to cite the dataset")
    sections: str | None = words(None, "folder of Markdown files that become sections of the card")

    def of_kind(self, kind: str) -> Mapping[str, Any]:
        """Return the settings of one kind ("content", "run" or "words"), in declaration order."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["kind"] == kind}

    @property
    def variants(self) -> tuple[str, ...]:
        """The caption variants that are looked for, in order of priority."""
        return self.caption_column or DEFAULT_VARIANTS
