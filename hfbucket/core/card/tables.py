"""What a card says in tables, from the manifest alone, as safe Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from operator import add
from typing import Any, Final

from hfbucket.core.card.facts import bases, images_exported
from hfbucket.core.card.markdown import code, inline, link, table
from hfbucket.core.card.numbers import decimal, listed, number, plural, share, size
from hfbucket.core.card.sentences import license_line
from hfbucket.core.card.statistics import Measure, Spread, Statistics
from hfbucket.core.manifest.model import BucketEntry, CaptionVariant, Manifest, SourceEntry
from hfbucket.core.outcomes import OUTCOMES
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
        ("Captions", listed(code(v.name) for v in _found_variants(manifest) if v.selected or v.images_selected)),
        ("Language", ", ".join(map(inline, manifest.language))),
        ("License", license_line(manifest)),
    ]
    first, *others = (row for row in rows if row[1])
    return table(first, others)


def statistics(manifest: Manifest) -> Statistics | None:
    """Return the manifest's statistics, or None where it has none that this release can read."""
    try:
        return Statistics.from_dict(manifest.statistics)
    except FormatError:
        return None


def buckets(manifest: Manifest, base: int) -> str:
    """Return the buckets of a base that have images, most frequent first, and below them their total."""
    filled = [(i, entry) for i, entry in manifest.buckets.items() if entry.count and entry.base_resolution == base]
    filled.sort(key=lambda item: (-item[1].count, item[0]))
    total = _images_at(manifest, base)
    known = statistics(manifest)
    lost = known.crop_loss_ppm_by_bucket if known else {}
    rows = [(*_bucket_cells(i, entry), share(entry.count, total), *_loss_cells(lost.get(i))) for i, entry in filled]
    if len(filled) > 1:
        losses = [lost[i] for i, _ in filled if i in lost]
        whole = reduce(add, losses) if len(losses) == len(filled) else None
        rows.append(("all", "", "", number(total), share(total, total), *_loss_cells(whole)))
    header = ("Bucket", "Size", "w / h", "Images", "Share", "Mean crop", "Largest crop")
    return table(header, rows, numbers=range(1, len(header)))


def _bucket_cells(bucket_id: str, entry: BucketEntry) -> tuple[str, str, str, str]:
    w, h = entry.scaled.w, entry.scaled.h
    thousandths = (2000 * w + h) // (2 * h)
    aspect = f"{thousandths // 1000}.{thousandths % 1000:03d}"
    return code(bucket_id), f"{w}x{h}", aspect, number(entry.count)


def _loss_cells(measure: Measure | None) -> tuple[str, str]:
    """Return mean and largest crop loss in percent."""
    if measure is None or not measure.images:
        return "", ""
    return share(measure.sum, measure.images * 1_000_000), share(measure.max, 1_000_000)


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


def _found_variants(manifest: Manifest) -> list[CaptionVariant]:
    found = [variant for variant in manifest.captions.variants if variant.images_with_ok_caption]
    return sorted(found, key=lambda variant: variant.priority)


def captions(manifest: Manifest) -> str:
    """Return the caption variants that some image has, by priority: who wrote them, how many there are, how long."""
    header = (
        "Variant", "Written by", "Prompt (sha256)", "Priority", "Images with it", "Share", "Chosen", "Share",
        "Mean length", "Longest",
    )  # fmt: skip
    images = images_exported(manifest)
    known = statistics(manifest)
    measures = known.caption_characters_by_variant if known else {}
    rows = []
    for variant in _found_variants(manifest):
        sources = _caption_sources(manifest, variant)
        measure = measures.get(variant.name)
        counts = (variant.images_with_ok_caption, variant.images_selected)
        # Ours are counted over exported images; other tools may count over all they saw.
        have, use = ((number(count), share(count, images) if count <= images else "") for count in counts)
        lengths = (number(measure.sum // measure.images), number(measure.max)) if measure else ("", "")
        models = ", ".join(map(inline, _told(sources, "model")))
        prompts = ", ".join(code(f"{prompt[:12]}…") for prompt in _told(sources, "prompt_sha256"))
        rows.append((
            code(variant.name), models, prompts, str(variant.priority),
            *have, *use, *lengths,
        ))  # fmt: skip
    return table(header, rows, numbers=range(3, len(header)))


def _caption_sources(manifest: Manifest, variant: CaptionVariant) -> list[Mapping[str, Any]]:
    """Return what the manifest says about where a variant comes from: one source, or several that share its name."""
    named = [source for source in manifest.caption_sources if source.get("id") == variant.source_id is not None]
    return named or [source for source in manifest.caption_sources if source.get("variant") == variant.name]


def _told(sources: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(str(source[key]) for source in sources if source.get(key)))


def outcomes(manifest: Manifest) -> str:
    """Return the funnel: images seen, every reason that some were left out, and images exported."""
    summary = manifest.summary
    left = whole = summary.get("images_seen", 0)
    rows = []
    for name in ("images_seen", *OUTCOMES[1:], "images_exported"):
        count = summary.get(name, 0)
        if name not in summary or (name in OUTCOMES[1:] and not count):
            continue
        left -= count if name in OUTCOMES[1:] else 0
        meaning = {"images_seen": "in the sources", **MEANINGS}.get(name, "")
        rows.append((code(name), meaning, number(count), share(count, whole), number(max(left, 0))))
    return table(("Outcome", "Meaning", "Images", "Share", "Images left"), rows, numbers=(2, 3, 4))


def sources(manifest: Manifest) -> str:
    """Return where the images come from."""
    header = ("Source", "Kind", "Images seen", "Share", "Size", "License", "Homepage", "Repository", "Revision",
              "Splits")  # fmt: skip
    whole = sum(source.images_seen or 0 for source in manifest.sources)
    return table(header, [_source_cells(source, whole) for source in manifest.sources], numbers=(2, 3, 4))


def _source_cells(source: SourceEntry, whole: int) -> Sequence[str]:
    url = source.homepage or source.url or ""
    repo = link(source.repo_id, f"https://huggingface.co/datasets/{source.repo_id}") if source.repo_id else ""
    return (
        inline(source.name),
        inline(source.kind),
        "" if source.images_seen is None else number(source.images_seen),
        "" if source.images_seen is None or source.images_seen == whole else share(source.images_seen, whole),
        "" if source.bytes is None else size(source.bytes),
        inline(source.license or ""),
        link(url, url) if url.startswith(("https://", "http://")) else "",
        repo,
        code(source.revision or ""),
        inline(", ".join(source.splits)),
    )


def changes(manifest: Manifest) -> str:
    """Return what became of the export since it was first built, newest first."""
    rows = [(inline(entry.created[:10]), inline(entry.what), code(entry.export_id)) for entry in manifest.history]
    return table(("Date", "Change", "Export"), rows[::-1])


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
