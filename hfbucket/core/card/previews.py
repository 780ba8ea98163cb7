"""Previews: images of a bucket made small for a contact sheet, each in a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PREVIEWS: Final = 5
"""Images that it shows of each bucket."""

CELL_W_PX, CELL_H_PX = 200, 150
"""The room for one image on a contact sheet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """A whole source image made small: its pixels as JPEG, and the part that the crop keeps."""

    jpeg: bytes
    #: In pixels of the small image, right and bottom exclusive.
    box: tuple[int, int, int, int]


def frame(resized_w: int, resized_h: int, crop: Sequence[int]) -> tuple[int, int, tuple[int, int, int, int]]:
    """Return the size of a resized image made to fit a cell, never larger, and its crop box there.

    Args:
        crop: left, top, right and bottom in the resized image; right and bottom exclusive.
    """
    # The side that is larger for its room decides: w / CELL_W_PX against h / CELL_H_PX, in integers.
    wide = resized_w * CELL_H_PX >= resized_h * CELL_W_PX
    room, side = (CELL_W_PX, resized_w) if wide else (CELL_H_PX, resized_h)
    part = min(room, side)
    w, h = (max(1, (2 * length * part + side) // (2 * side)) for length in (resized_w, resized_h))
    x0, y0, x1, y1 = ((2 * end * part + side) // (2 * side) for end in crop)
    left, top = min(x0, w - 1), min(y0, h - 1)
    return w, h, (left, top, max(min(x1, w), left + 1), max(min(y1, h), top + 1))
