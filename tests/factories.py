"""Small valid exports of drawn images, written from the words of the format and not by the code under test.

Tar headers, geometry and metadata are made here a second time, so that a mistake in the package shows as a difference.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from hfbucket import __version__, schemas
from hfbucket.core.card.statistics import sample_statistics
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
from hfbucket.core.manifest.plain import seal
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.io.cards import render_card
from hfbucket.io.images.encode import versions
from hfbucket.io.manifest_file import read_manifest, write_manifest

CREATED: Final = "2026-01-02T03:04:05Z"

PROTOS: Final = ((1024, 1024), (1152, 832))
"""Every base gets these two buckets with shards; the second's images are 3:2, so that both sides get cropped."""

EMPTY: Final = (2048, 512)
"""A bucket that stands in the manifest without shards."""

SKIPPED: Final = {
    "skipped_too_small": (("drawn/tiny-0.png", "20x30"), ("drawn/tiny-1.png", "16x16")),
    "decode_errors": (("drawn/broken.jpg", "broken data stream when reading image file"),),
    "skipped_no_caption": (("drawn/silent.jpg", None),),
}
"""Inputs of every export that are left out: outcome to (image_id, detail)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One drawn sample; `metadata` is its json member, the members are its bytes."""

    image_id: str
    key: str
    metadata: dict[str, Any]
    jpg: bytes
    txt: bytes
    captions: tuple[str | None, ...]

    @property
    def members(self) -> tuple[tuple[str, bytes], ...]:
        text = json.dumps(self.metadata, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return (("jpg", self.jpg), ("txt", self.txt), ("json", text.encode("utf-8")))


def make_export(
    path: Path,
    *,
    bases: Sequence[int] = (512, 256),
    image_mode: str = "reencode_jpeg",
    per_shard: int = 3,
    shards_per_bucket: int = 2,
    divisible: int = 32,
    format: str = "bucketed_shards_v2",
    title: str | None = "Drawn pictures",
    license: License = License(id="cc0-1.0"),  # noqa: B008 (frozen)
    card: bool = True,
    change: Callable[[Sample], Sample] = lambda sample: sample,
) -> Manifest:
    """Write a complete export of drawn images below `path` and return its manifest.

    Each base gets two buckets of `shards_per_bucket` shards with `per_shard` samples, and one empty bucket.
    Captions come in two variants; some have line breaks and letters of other scripts.

    Args:
        bases: largest first; 64 and 128 make tiny, quick exports.
        card: also render README.md.
        change: what becomes of each sample before it is written; for exports that are wrong in one place.
    """
    path.mkdir(parents=True, exist_ok=True)
    buckets: dict[str, BucketEntry] = {}
    rows: list[dict[str, Any]] = []
    chosen: list[Sample] = []
    for base in bases:
        for proto in (EMPTY, *PROTOS):
            bucket_id = f"p{proto[0]}x{proto[1]}" if len(bases) == 1 else f"r{base}_p{proto[0]}x{proto[1]}"
            size = Size(w=_scaled(proto[0], base, divisible), h=_scaled(proto[1], base, divisible))
            shards = []
            for number in range(0 if proto == EMPTY else shards_per_bucket):
                file = f"buckets/{bucket_id}/shard-{number:05d}.tar"
                samples = [
                    change(draw(bucket_id, base, size, number * per_shard + i, image_mode=image_mode))
                    for i in range(per_shard)
                ]
                shard, members = write_shard(path, file, samples)
                shards.append(shard)
                rows += [sample_row(s, file, at) for s, at in zip(samples, members, strict=True)]
                chosen += samples
            if size.w and size.h:
                buckets[bucket_id] = BucketEntry(
                    base_resolution=base,
                    proto=Size(w=proto[0], h=proto[1]),
                    scaled=size,
                    count=sum(shard.count or 0 for shard in shards),
                    bytes=sum(shard.bytes or 0 for shard in shards),
                    shards=tuple(shards),
                )
    rows.sort(key=lambda row: (row["shard"], row["jpg_offset"]))
    samples_table = write_table(path, "samples/part-00000.parquet", pa.Table.from_pylist(rows, schema=schemas.SAMPLES))
    write_table(path, "ledger/part-00000.parquet", ledger_of(chosen))
    manifest = _manifest(
        buckets, chosen, rows, samples_table, bases=bases, image_mode=image_mode, divisible=divisible, format=format
    )
    manifest = seal(replace(manifest, title=title, license=license, created=CREATED))
    manifest = replace(
        manifest, history=(HistoryEntry(export_id=manifest.export_id or "", created=CREATED, what="build"),)
    )
    if card:
        write_card(path, manifest)
    write_manifest(path, manifest)
    return manifest


def reseal(path: Path, **changes: Any) -> Manifest:
    """Change a manifest, then make its hashes, sizes and card fit again what stands on the disk."""
    manifest = replace(read_manifest(path), **changes)
    buckets = {}
    for bucket_id, entry in manifest.buckets.items():
        shards = tuple(replace(shard, **_hashed(path / shard.file)) for shard in entry.shards)
        buckets[bucket_id] = replace(entry, shards=shards, bytes=sum(shard.bytes or 0 for shard in shards))
    tables = tuple(replace(table, **_hashed(path / table.file)) for table in manifest.samples)
    manifest = seal(replace(manifest, buckets=buckets, samples=tables))
    history = (HistoryEntry(export_id=manifest.export_id or "", created=CREATED, what="build"),)
    manifest = replace(manifest, history=history)
    write_card(path, manifest)
    write_manifest(path, manifest)
    return manifest


def _hashed(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def make_foreign_export(path: Path, *, names: bool = True) -> dict[str, Any]:
    """Write an export of the older name as another tool of the family would, and return its manifest as JSON data.

    Shards are bare names, or not given at all; no hashes, no sample tables, seven keys per sample.
    """
    manifest = make_export(path, bases=(64,), image_mode="passthrough_jpeg", card=False)
    for table in ("samples", "ledger"):
        (path / table / "part-00000.parquet").unlink()
        (path / table).rmdir()
    seven = ("w", "h", "jpeg", "image_mode", "caption_variant", "caption_selector_index", "caption_source_id")
    buckets: dict[str, Any] = {}
    for bucket_id, entry in manifest.buckets.items():
        for shard in entry.shards:
            number = int(shard.file[-9:-4])
            short = [draw(bucket_id, 64, entry.scaled, number * 3 + i, image_mode="passthrough_jpeg") for i in range(3)]
            write_shard(path, shard.file, [replace(s, metadata={k: s.metadata[k] for k in seven}) for s in short])
        size = {"w": entry.scaled.w, "h": entry.scaled.h}
        buckets[bucket_id] = {"count": entry.count, "scaled": size, "proto": {"w": entry.proto.w, "h": entry.proto.h}}
        if names:
            buckets[bucket_id]["shards"] = [shard.file.rsplit("/", 1)[1] for shard in entry.shards]
    data = {
        "format": "bucketed_shards_v1",
        "created": "2026-02-15T20:17:11.635587+00:00",
        "export_id": "export-2026-02-15T20:17:11.635587+00:00",
        "image_mode": "passthrough_jpeg",
        "base_resolutions": [64],
        "divisible": 32,
        "captions": {"priority": ["caption"]},
        "tool": "another tool",
        "buckets": buckets,
    }
    (path / "manifest.json").write_text(json.dumps(data), encoding="utf-8")
    return data


def draw(bucket_id: str, base: int, size: Size, number: int, *, image_mode: str) -> Sample:
    """Return one sample of a bucket: a drawn picture somewhat larger than the bucket, cropped as the format says."""
    image_id = f"drawn/{bucket_id}/picture {number:03d}.jpg"
    digest = hashlib.sha256(image_id.encode("utf-8")).digest()
    source_w, source_h = size.w + size.w // 8 + number % 3, size.h + size.h // 8 + number % 2 * (size.h // 16)
    source = _picture(source_w, source_h, number)
    source_bytes = encode(source)
    resized_w, resized_h = _cover(source_w, source_h, size)
    corner = int.from_bytes(digest[:8], "big") % 4
    left = resized_w - size.w if corner in (1, 3) else 0
    top = resized_h - size.h if corner in (2, 3) else 0
    reencoded = image_mode == "reencode_jpeg"
    fitted = source.resize((resized_w, resized_h), Image.Resampling.BICUBIC)
    jpg = encode(fitted.crop((left, top, left + size.w, top + size.h))) if reencoded else source_bytes
    captions = (f"Picture {number} of {bucket_id}\nwith ein Bild, 一枚の絵, \U0001f600", f"picture {number}")
    metadata = {
        "w": size.w,
        "h": size.h,
        "jpeg": {"quality": 95, "subsampling": "4:4:4"} if reencoded else None,
        "image_mode": image_mode,
        "caption_variant": "caption",
        "caption_selector_index": 0,
        "caption_source_id": None,
        "image_id": image_id,
        "bucket_id": bucket_id,
        "base_resolution": base,
        "source_w": source_w,
        "source_h": source_h,
        "resized_w": resized_w,
        "resized_h": resized_h,
        "crop_left": left,
        "crop_top": top,
        "source_sha256": hashlib.sha256(source_bytes).hexdigest(),
        "source_split": None,
        "source_archive": None,
        "source_member": image_id,
        "meta": {"class_id": number, "url": f"https://example.org/{number}?a=1&b=2"},
    }
    return Sample(
        image_id=image_id,
        key=digest[:16].hex(),
        metadata=metadata,
        jpg=jpg,
        txt=captions[0].encode("utf-8") + b"\n",
        captions=captions,
    )


def encode(image: Image.Image) -> bytes:
    """Return the image as JPEG, quality 95, 4:4:4."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def tar_header(name: str, size: int) -> bytes:
    """Return the 512 bytes the format asks for before a member."""
    block = bytearray(512)
    fields = {0: name.encode("ascii"), 100: b"0000644\0", 108: b"0000000\0", 116: b"0000000\0"}
    fields |= {124: b"%011o\0" % size, 136: b"00000000000\0", 148: b" " * 8, 156: b"0", 257: b"ustar\x0000"}
    for at, value in fields.items():
        block[at : at + len(value)] = value
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def tar_bytes(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a whole archive of (name, data) as the format asks."""
    parts = []
    for name, data in members:
        parts += [tar_header(name, len(data)), data, bytes(-len(data) % 512)]
    return b"".join([*parts, bytes(1024)])


def write_shard(path: Path, file: str, samples: Sequence[Sample]) -> tuple[Shard, list[dict[str, int]]]:
    """Write a shard and return its manifest entry and, per sample, offset and size of each member."""
    data = tar_bytes((f"{s.key}.{ext}", content) for s in samples for ext, content in s.members)
    (path / file).parent.mkdir(parents=True, exist_ok=True)
    (path / file).write_bytes(data)
    places: list[dict[str, int]] = []
    at = 0
    for sample in samples:
        place: dict[str, int] = {}
        for ext, content in sample.members:
            place |= {f"{ext}_offset": at + 512, f"{ext}_size": len(content)}
            at += 512 + len(content) + -len(content) % 512
        places.append(place)
    return Shard(file=file, count=len(samples), bytes=len(data), sha256=hashlib.sha256(data).hexdigest()), places


def sample_row(sample: Sample, shard: str, place: dict[str, int]) -> dict[str, Any]:
    """Return the sample's row of the sample tables."""
    variants = zip(("caption", "text"), sample.captions, strict=True)
    meta = json.dumps(sample.metadata["meta"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    own = {
        "key": sample.key,
        "shard": shard,
        "caption": sample.captions[0],
        "captions": [{"variant": name, "text": text} for name, text in variants],
    }
    return {**sample.metadata, **own, **place, "meta": meta}


def ledger_of(samples: Iterable[Sample]) -> pa.Table:
    """Return the ledger of an export of these samples and the inputs that are always left out."""
    rows = [{"image_id": s.image_id, "outcome": "images_exported", "detail": None} for s in samples]
    rows += [{"image_id": i, "outcome": outcome, "detail": d} for outcome, out in SKIPPED.items() for i, d in out]
    return pa.Table.from_pylist(rows, schema=schemas.LEDGER)


def write_table(path: Path, file: str, table: pa.Table) -> SampleTable:
    """Write one Parquet file of the export and return its manifest entry."""
    (path / file).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path / file, write_page_checksum=True)
    data = (path / file).read_bytes()
    return SampleTable(file=file, rows=table.num_rows, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def write_card(path: Path, manifest: Manifest) -> None:
    """Write README.md as the package renders it."""
    (path / "README.md").write_text(render_card(manifest), encoding="utf-8")


def _manifest(
    buckets: dict[str, BucketEntry],
    samples: Sequence[Sample],
    rows: list[dict[str, Any]],
    table: SampleTable,
    *,
    bases: Sequence[int],
    image_mode: str,
    divisible: int,
    format: str,
) -> Manifest:
    summary = dict.fromkeys(OUTCOMES, 0) | {name: len(out) for name, out in SKIPPED.items()}
    summary["images_exported"] = len(samples)
    seen = sum(summary.values())
    return Manifest(
        format=format,
        generator=Generator(name="hfbucket", version=__version__, **versions()),
        image_mode=image_mode,
        base_resolutions=tuple(bases),
        divisible=divisible,
        proto_base=1024,
        bucket_rule={
            "protos": [list(proto) for proto in (EMPTY, *PROTOS)],
            "metric": "min-crop",
            "max_crop": "1",
            "min_bucket": 0,
            "rare": "keep",
        },
        resize={"filter": "bicubic", "antialias": True},
        crop={"strategy": "corner", "allowed_corners": [0, 1, 2, 3], "corner_jitter": 0},
        jpeg={"quality": 95, "subsampling": "4:4:4", "threshold": "0.85"},
        order={"kind": "source", "seed": None},
        settings={"source_hash": True},
        captions=Captions(
            variants=tuple(
                CaptionVariant(
                    name=name,
                    selected=not priority,
                    priority=priority,
                    images_with_ok_caption=len(samples),
                    images_selected=0 if priority else len(samples),
                )
                for priority, name in enumerate(("caption", "text"))
            ),
            missing_policy="drop",
        ),
        sources=(SourceEntry(name="drawn", kind="folder", units=1, images_seen=seen, bytes=1_000_000),),
        buckets=buckets,
        samples=(table,),
        statistics=sample_statistics(pa.Table.from_pylist(rows, schema=schemas.SAMPLES)).to_dict(),
        summary={"images_seen": seen, **summary},
        reencoded_in_passthrough=0 if image_mode == "passthrough_jpeg" else None,
    )


def _scaled(side: int, base: int, divisible: int) -> int:
    return side * base // 1024 // divisible * divisible


def _cover(w: int, h: int, target: Size) -> tuple[int, int]:
    if target.w * h >= target.h * w:
        return target.w, max(target.h, (2 * h * target.w + w) // (2 * w))
    return max(target.w, (2 * w * target.h + h) // (2 * h)), target.h


def _picture(w: int, h: int, number: int) -> Image.Image:
    image = Image.linear_gradient("L").resize((w, h)).convert("RGB")
    pen = ImageDraw.Draw(image)
    for ring in range(6):
        colour = ((40 * ring + 90 * number) % 256, (200 - 30 * ring) % 256, (70 * number) % 256)
        pen.ellipse((w * ring // 14, h * ring // 14, w - w * ring // 14, h - h * ring // 9), outline=colour, width=3)
    pen.text((4, 4), str(number), fill=(255, 0, 0))
    return image
