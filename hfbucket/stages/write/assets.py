"""The pictures of a card: drawn from the manifest, and from previews of images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hfbucket.core.card.facts import bases
from hfbucket.core.card.pictures import (
    CHART_FILE,
    SHEET_ROWS,
    SheetRow,
    filled,
    panels,
    row_lines,
    sheet_file,
    sheet_title,
)
from hfbucket.core.card.previews import Preview
from hfbucket.core.manifest.model import Asset, Manifest
from hfbucket.io.images.chart import draw_chart
from hfbucket.io.images.contact_sheet import draw_sheet
from hfbucket.io.places import Place, write_bytes


def write_assets(export: Place, manifest: Manifest, previews: Mapping[str, Sequence[Preview]]) -> tuple[Asset, ...]:
    """Write the chart, and a contact sheet for every base that has images to show; return what was written.

    Args:
        previews: images to show of each bucket.
    """
    written = []
    for file, data in _pictures(manifest, previews):
        place = export / file
        if isinstance(place, Path):
            place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, data)
        written.append(Asset(file=file, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))
    return tuple(written)


def _pictures(manifest: Manifest, previews: Mapping[str, Sequence[Preview]]) -> Iterator[tuple[str, bytes]]:
    yield CHART_FILE, draw_chart(panels(manifest))
    for base in bases(manifest):
        shown = [bucket_id for bucket_id, _ in filled(manifest, base) if bucket_id in previews][:SHEET_ROWS]
        rows = [SheetRow(lines=row_lines(manifest, i), previews=tuple(previews[i])) for i in shown]
        if rows:
            yield sheet_file(base), draw_sheet(rows, sheet_title(manifest, base, len(rows)))
