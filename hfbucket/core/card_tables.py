"""What a card says in tables, from the manifest alone, as safe Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from hfbucket.core.card import bases, images_exported
from hfbucket.core.card_numbers import decimal, listed, number, plural, share, size
from hfbucket.core.card_sentences import license_line
from hfbucket.core.manifest import BucketEntry, Manifest, SourceEntry
from hfbucket.core.markdown import code, inline, link, table
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.core.statistics import Spread, Statistics
from hfbucket.errors import FormatError

MEANINGS: Final = {
    "images_exported": "in this dataset",
    "source_errors": "could not be read, or was missing in the source",
    "unsupported_format": "in a format that could not be decoded",
    "decode_errors": "corrupt, truncated, or no image",
    "skipped_too_large": "more pixels than the limit",
    "skipped_not_jpeg": "not a JPEG",
    "filtered": "left out by a filter",
    "skipped_no_caption": "without a caption",
    "skipped_too_small": "smaller than every bucket; nothing is enlarged",
    "skipped_too_cropped": "would lose more to the crop than allowed",
    "duplicates_removed": "a duplicate of an image that is in",
    "skipped_rare_bucket": "in a bucket with too few images",
    "encode_errors": "could not be encoded",
    "removed": "removed after the export was made",
}
"""Outcome to what it means."""


def summary(manifest: Manifest) -> str:
    """Return the key facts as a table."""
    filled = [entry for entry in manifest.buckets.values() if entry.count]
    shards = sum(len(entry.shards) for entry in filled)
    sizes = [entry.bytes for entry in filled]
    seen = manifest.summary.get("images_seen")
    images = number(images_exported(manifest)) + (f" of {number(seen)} seen" if seen else "")
    tars = f"{number(shards)} {plural('tar file', shards)}" if shards else "tar files"
    per_base = (f"{base} ({number(_images_at(manifest, base))})" for base in bases(manifest))
    stored = {"reencode_jpeg": "JPEG, at the size of the bucket", "passthrough_jpeg": "the sources' own JPEG bytes"}
    rows = [
        ("Images", images),
        ("Base resolutions", ", ".join(per_base)),
        ("Buckets", number(len(filled))),
        ("Shards", f"{tars}, {size(sum(s for s in sizes if s))}" if all(sizes) else tars),
        ("Stored as", stored.get(manifest.image_mode or "", "")),
        ("Captions", listed(cells[0] for cells in _caption_cells(manifest) if cells[1])),
        ("Language", ", ".join(map(inline, manifest.language))),
        ("License", license_line(manifest)),
    ]
    return table(("", ""), [row for row in rows if row[1]])


def statistics(manifest: Manifest) -> Statistics | None:
    """Return the manifest's statistics, or None where it has none that this release can read."""
    try:
        return Statistics.from_dict(manifest.statistics)
    except FormatError:
        return None


def buckets(manifest: Manifest, base: int) -> str:
    """Return the buckets of a base that have images, most frequent first."""
    filled = [(i, entry) for i, entry in manifest.buckets.items() if entry.count and entry.base_resolution == base]
    filled.sort(key=lambda item: (-item[1].count, item[0]))
    total = _images_at(manifest, base)
    rows = [(*_bucket_cells(bucket_id, entry), share(entry.count, total)) for bucket_id, entry in filled]
    return table(("Bucket", "Size (w x h)", "Aspect (w / h)", "Images", "Share"), rows, numbers=(1, 2, 3, 4))


def _bucket_cells(bucket_id: str, entry: BucketEntry) -> tuple[str, str, str, str]:
    w, h = entry.scaled.w, entry.scaled.h
    thousandths = (2000 * w + h) // (2 * h)
    aspect = f"{thousandths // 1000}.{thousandths % 1000:03d}"
    return code(bucket_id), f"{w}x{h}", aspect, number(entry.count)


def crop_loss(spread: Spread) -> str:
    """Return how much of the resized images was cropped away."""
    return _bands("Cropped away", spread, lambda ppm: f"{decimal(ppm, 10_000)}%", first="nothing")


def downscale(spread: Spread) -> str:
    """Return how much smaller the images were made."""
    return _bands(
        "Source side / resized side", spread, lambda permille: decimal(permille, 1000), first="1: not resized"
    )


def caption_lengths(spread: Spread) -> str:
    """Return how long the captions are."""
    return _bands("Characters", spread, number, first="no caption")


def mean_percent(spread: Spread) -> str:
    """Return the mean of a spread of millionths, in percent."""
    return share(spread.sum, spread.count * 1_000_000)


def _caption_cells(manifest: Manifest) -> list[tuple[str, str, str, str, str]]:
    """Return one row for every variant that some image has, by priority; columns as in `captions`."""
    found = [variant for variant in manifest.captions.variants if variant.images_with_ok_caption]
    return [
        (
            code(variant.name),
            "yes" if variant.selected or variant.images_selected else "",
            str(variant.priority),
            number(variant.images_with_ok_caption),
            number(variant.images_selected),
        )
        for variant in sorted(found, key=lambda variant: variant.priority)
    ]


def captions(manifest: Manifest) -> str:
    """Return the caption variants, by priority."""
    header = ("Variant", "Selected", "Priority", "Images with an ok caption", "Images selected")
    rows = [(cells[0], cells[1] or "no", *cells[2:]) for cells in _caption_cells(manifest)]
    return table(header, rows, numbers=(2, 3, 4))


def caption_sources(manifest: Manifest) -> str:
    """Return where the caption variants come from, where the manifest tells."""
    keys = ("id", "variant", "model", "prompt_sha256")
    rows = [[code(str(source.get(key) or "")) for key in keys] for source in manifest.caption_sources]
    return table(("Source", "Variant", "Model", "Prompt (sha256)"), rows)


def outcomes(manifest: Manifest) -> str:
    """Return what became of every image seen; the lines add up to the first."""
    summary = manifest.summary
    known = [name for name in OUTCOMES if name != "images_exported" and summary.get(name)]
    names = [name for name in ("images_seen", "images_exported", *known) if name in summary]
    whole = summary.get("images_seen", 0)
    meanings = {"images_seen": "in the sources", **MEANINGS}
    rows = [(code(name), meanings.get(name, ""), number(summary[name]), share(summary[name], whole)) for name in names]
    return table(("Outcome", "Meaning", "Images", "Share"), rows, numbers=(2, 3))


def sources(manifest: Manifest) -> str:
    """Return where the images come from."""
    header = ("Source", "Kind", "Images seen", "Size", "License", "Homepage", "Repository", "Revision", "Splits")
    return table(header, [_source_cells(source) for source in manifest.sources], numbers=(2, 3))


def _source_cells(source: SourceEntry) -> Sequence[str]:
    url = source.homepage or source.url or ""
    repo = link(source.repo_id, f"https://huggingface.co/datasets/{source.repo_id}") if source.repo_id else ""
    return (
        inline(source.name),
        inline(source.kind),
        "" if source.images_seen is None else number(source.images_seen),
        "" if source.bytes is None else size(source.bytes),
        inline(source.license or ""),
        link(url, url) if url.startswith(("https://", "http://")) else "",
        repo,
        code(source.revision or ""),
        inline(", ".join(source.splits)),
    )


def changes(manifest: Manifest) -> str:
    """Return the changes since the export was built, oldest first; nothing where there are none."""
    changes = [entry for entry in manifest.history if entry.what != "build"]
    rows = [(inline(entry.created[:10]), inline(entry.what), code(entry.export_id)) for entry in changes]
    return table(("Date", "Change", "Export"), rows)


def _images_at(manifest: Manifest, base: int) -> int:
    return sum(entry.count for entry in manifest.buckets.values() if entry.base_resolution == base)


def _bands(title: str, spread: Spread, shown: Callable[[int], str], *, first: str) -> str:
    """Return a spread as a table with a row for every band that has images."""
    ends = spread.up_to
    labels = [first, f"up to {shown(ends[1])}"]
    labels += [f"{shown(low)} to {shown(high)}" for low, high in pairwise(ends[1:])]
    labels.append(f"over {shown(ends[-1])}")
    counted = zip(labels, spread.images, strict=True)
    rows = [(label, number(images), share(images, spread.count)) for label, images in counted if images]
    return table((title, "Images", "Share"), rows, numbers=(1, 2))
