"""Contact sheets: small images of each bucket, whole, with the part that the crop keeps drawn in."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

from hfbucket.core.card.pictures import SheetRow
from hfbucket.core.card.previews import CELL_H_PX, CELL_W_PX, PREVIEWS, Preview
from hfbucket.io.images.drawing import GRID, INK, MUTED, ORANGE, canvas, font, shortened
from hfbucket.io.images.encode import encode_jpeg

_MARGIN_PX: Final = 24
_LABEL_PX: Final = 212
_GAP_PX: Final = 10
_HEAD_PX: Final = 44
_NAME_SIZE, _TEXT_SIZE = 19, 17
_QUALITY: Final = 80
_DIMMED: Final = 0.62
"""How much of the color is taken from what the crop takes away."""


def draw_sheet(rows: Sequence[SheetRow], title: str) -> bytes:
    """Return a contact sheet as JPEG."""
    width = 2 * _MARGIN_PX + _LABEL_PX + PREVIEWS * (CELL_W_PX + _GAP_PX) - _GAP_PX
    step = CELL_H_PX + 2 * _GAP_PX
    image, pen = canvas(width, _MARGIN_PX + _HEAD_PX + len(rows) * step + _MARGIN_PX - _GAP_PX)
    pen.text((_MARGIN_PX, _MARGIN_PX), shortened(title, _NAME_SIZE, width - 2 * _MARGIN_PX), INK, font(_NAME_SIZE))
    for number, row in enumerate(rows):
        top = _MARGIN_PX + _HEAD_PX + number * step
        pen.line((_MARGIN_PX, top - _GAP_PX, width - _MARGIN_PX, top - _GAP_PX), GRID, 1)
        _label(pen, row, top)
        for place, preview in enumerate(row.previews[:PREVIEWS]):
            left = _MARGIN_PX + _LABEL_PX + place * (CELL_W_PX + _GAP_PX)
            _paste(image, preview, left, top)
    return encode_jpeg(image, quality=_QUALITY, subsampling="4:2:0")


def _label(pen: ImageDraw.ImageDraw, row: SheetRow, top: int) -> None:
    for number, text in enumerate(row.lines):
        size, color = (_NAME_SIZE, INK) if number == 0 else (_TEXT_SIZE, MUTED)
        pen.text((_MARGIN_PX, top + number * 27), shortened(text, size, _LABEL_PX - 16), color, font(size))


def _paste(image: Image.Image, preview: Preview, left: int, top: int) -> None:
    """Put a preview into the middle of its cell, what the crop takes away dimmed, the crop box outlined."""
    with Image.open(io.BytesIO(preview.jpeg)) as opened:
        small = opened.convert("RGB")
    if preview.box != (0, 0, *small.size):
        kept = small.crop(preview.box)
        small = Image.blend(small, Image.new("RGB", small.size, (20, 20, 20)), _DIMMED)
        small.paste(kept, preview.box[:2])
    x0, y0, x1, y1 = preview.box
    ImageDraw.Draw(small).rectangle((x0, y0, x1 - 1, y1 - 1), outline=ORANGE, width=2)
    image.paste(small, (left + (CELL_W_PX - small.width) // 2, top + (CELL_H_PX - small.height) // 2))
