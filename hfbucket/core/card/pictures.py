"""The card's pictures: their names, and what they show by the manifest: bars of the chart, rows of the sheets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hfbucket.core.card.facts import bases
from hfbucket.core.card.numbers import number, plural, share
from hfbucket.core.card.previews import Preview
from hfbucket.core.card.tables import statistics
from hfbucket.core.manifest.model import BucketEntry, Manifest

CHART_FILE: Final = "assets/buckets.png"
"""How images spread over buckets; one panel for every base."""

SHEET_ROWS: Final = 10
"""Buckets that a contact sheet shows: those with most images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One bucket of a chart."""

    w: int
    h: int
    images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One base resolution of a chart; bars from the tallest bucket to the widest."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SheetRow:
    """One bucket of a contact sheet."""

    lines: tuple[str, ...]
    previews: tuple[Preview, ...]


def sheet_file(base: int) -> str:
    """Return the path of a base's contact sheet below the export."""
    return f"assets/samples-{base}.jpg"


def chart(manifest: Manifest) -> str:
    """Return the chart as a picture in Markdown, or nothing where the export has none."""
    return _picture(manifest, CHART_FILE, "Images by bucket")


def sheet(manifest: Manifest, base: int) -> str:
    """Return a base's contact sheet as a picture in Markdown, or nothing where the export has none."""
    return _picture(manifest, sheet_file(base), f"Images of base {base} with their crop boxes")


def _picture(manifest: Manifest, file: str, text: str) -> str:
    return f"![{text}]({file})" if any(asset.file == file for asset in manifest.assets) else ""


def panels(manifest: Manifest) -> tuple[Panel, ...]:
    """Return the panels of the chart, largest base first."""
    found = []
    for base in bases(manifest):
        entries = [entry for _, entry in filled(manifest, base)]
        bars = sorted((Bar(w=e.scaled.w, h=e.scaled.h, images=e.count) for e in entries), key=_aspect)
        images = sum(bar.images for bar in bars)
        text = f"{number(images)} {plural('image', images)} in {len(bars)} {plural('bucket', len(bars))}"
        found.append(Panel(title=f"Base {base}: {text}", bars=tuple(bars)))
    return tuple(found)


def _aspect(bar: Bar) -> tuple[int, int, int]:
    # A float would do for the order of sides below 2**26; integers need no such thought.
    return (bar.w * 10**9 // bar.h, bar.w, bar.h)


def filled(manifest: Manifest, base: int) -> list[tuple[str, BucketEntry]]:
    """Return the buckets of a base that have images, most frequent first."""
    found = [(i, entry) for i, entry in manifest.buckets.items() if entry.count and entry.base_resolution == base]
    return sorted(found, key=lambda item: (-item[1].count, item[0]))


def sheet_title(manifest: Manifest, base: int, shown: int) -> str:
    """Return the line above a contact sheet."""
    count = len(filled(manifest, base))
    which = (
        f"its {count} {plural('bucket', count)}" if shown == count else f"the {shown} largest of its {count} buckets"
    )
    return f"Base {base}: images of {which}. Outlined: what the crop keeps. Dark: what it takes away."


def row_lines(manifest: Manifest, bucket_id: str) -> tuple[str, ...]:
    """Return what stands beside a bucket's images on a contact sheet."""
    entry, known = manifest.buckets[bucket_id], statistics(manifest)
    lines = (bucket_id, f"{entry.scaled.w} x {entry.scaled.h}", f"{number(entry.count)} {plural('image', entry.count)}")
    loss = known.crop_loss_ppm_by_bucket.get(bucket_id) if known else None
    return (*lines, f"{share(loss.sum, loss.images * 10**6)} cropped away") if loss else lines
