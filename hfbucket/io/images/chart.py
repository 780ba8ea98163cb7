"""The chart of a card: images by bucket, a panel for each base, bars from the tallest shape to the widest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

from hfbucket.core.card.pictures import Bar, Panel
from hfbucket.io.images.drawing import BLUE, GRID, INK, MUTED, WHITE, canvas, font, png, text_width

_WIDTH_PX: Final = 1600
_MARGIN_PX: Final = 36
_AXIS_PX: Final = 110
"""Room left of the bars for the numbers of the axis."""

_TITLE_PX, _PLOT_PX, _GAP_PX = 60, 300, 36
"""Heights: a panel's title, its bars with their numbers, the space between two panels."""

_FEET_PX: Final = {False: 84, True: 156}
"""Height of the shapes and sizes below the bars: sizes written level, or upright."""

_SHAPE_PX: Final = 34
_TITLE_SIZE, _SMALL_SIZE, _TINY_SIZE = 30, 19, 15


def draw_chart(panels: Sequence[Panel]) -> bytes:
    """Return the chart as PNG; its height follows from the number of panels."""
    heights = [_TITLE_PX + _PLOT_PX + _FEET_PX[_is_upright(panel)] + _GAP_PX for panel in panels]
    image, pen = canvas(_WIDTH_PX, 2 * _MARGIN_PX + sum(heights) - _GAP_PX)
    for number, panel in enumerate(panels):
        _panel(image, pen, panel, _MARGIN_PX + sum(heights[:number]))
    return png(image)


def _slot(panel: Panel) -> int:
    """Return the room of one bar."""
    return min((_WIDTH_PX - 2 * _MARGIN_PX - _AXIS_PX) // len(panel.bars), 150)


def _is_upright(panel: Panel) -> bool:
    """Return whether the sizes of some bars are too wide to be written level."""
    return any(text_width(_size(bar), _SMALL_SIZE) > _slot(panel) - 8 for bar in panel.bars)


def _size(bar: Bar) -> str:
    return f"{bar.w} x {bar.h}"


def _panel(image: Image.Image, pen: ImageDraw.ImageDraw, panel: Panel, top: int) -> None:
    pen.text((_MARGIN_PX, top), panel.title, INK, font(_TITLE_SIZE))
    floor = top + _TITLE_PX + _PLOT_PX
    step = _step(max(bar.images for bar in panel.bars))
    highest = -(-max(bar.images for bar in panel.bars) // step) * step
    room = _PLOT_PX - 30  # the number on top of the highest bar
    for value in range(0, highest + 1, step):
        y = floor - value * room // highest
        pen.line((_MARGIN_PX + _AXIS_PX, y, _WIDTH_PX - _MARGIN_PX, y), GRID if value else MUTED, 2)
        text = _short(value)
        place = (_MARGIN_PX + _AXIS_PX - 14 - text_width(text, _SMALL_SIZE), y)
        pen.text(place, text, MUTED, font(_SMALL_SIZE), anchor="lm")
    slot, widest = _slot(panel), max((_short(bar.images) for bar in panel.bars), key=len)
    left = _MARGIN_PX + _AXIS_PX + (_WIDTH_PX - 2 * _MARGIN_PX - _AXIS_PX - slot * len(panel.bars)) // 2
    size = next((size for size in (_SMALL_SIZE, _TINY_SIZE) if text_width(widest, size) <= slot - 4), 0)
    for number, bar in enumerate(panel.bars):
        middle, height = left + number * slot + slot // 2, max(bar.images * room // highest, 2)
        thick = max(3, min(slot * 7 // 10, 72))
        pen.rectangle((middle - thick // 2, floor - height, middle - thick // 2 + thick - 1, floor - 1), BLUE)
        if size:
            pen.text((middle, floor - height - 6), _short(bar.images), INK, font(size), anchor="mb")
        _shape(pen, bar, middle, floor + 12 + _SHAPE_PX // 2, max(4, min(_SHAPE_PX, slot - 4)))
        if not _is_upright(panel):
            pen.text((middle, floor + _SHAPE_PX + 24), _size(bar), MUTED, font(_SMALL_SIZE), anchor="ma")
        elif slot >= _SMALL_SIZE:
            _upright(image, _size(bar), middle, floor + _SHAPE_PX + 22)


def _shape(pen: ImageDraw.ImageDraw, bar: Bar, middle: int, center: int, room: int) -> None:
    """Draw the outline of a bucket, its longer side as long as the room."""
    longer = max(bar.w, bar.h)
    w, h = (max(4, side * room // longer) for side in (bar.w, bar.h))
    box = (middle - w // 2, center - h // 2, middle - w // 2 + w - 1, center - h // 2 + h - 1)
    pen.rectangle(box, WHITE, MUTED, 2)


def _upright(image: Image.Image, text: str, middle: int, top: int) -> None:
    """Write a line from below to above, its end at the top."""
    width = text_width(text, _SMALL_SIZE)
    line, pen = canvas(width, _SMALL_SIZE + 6)
    pen.text((0, 0), text, MUTED, font(_SMALL_SIZE))
    image.paste(line.transpose(Image.Transpose.ROTATE_90), (middle - (_SMALL_SIZE + 6) // 2, top))


def _step(largest: int) -> int:
    """Return the distance of grid lines, 1, 2 or 5 times a power of ten, that gives at most four above zero."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power * 4 >= largest:
                return factor * power
        power *= 10


def _short(value: int) -> str:
    """Return a number in at most five characters: 950, 1.2k, 34k, 1.2M."""
    for unit, name in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if value >= unit:
            tenths = value * 10 // unit
            whole = tenths >= 100 or not tenths % 10
            return f"{tenths // 10}{name}" if whole else f"{tenths // 10}.{tenths % 10}{name}"
    return str(value)
