"""Previews: source images made small, for contact sheets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hfbucket.core.card.previews import Preview, frame
from hfbucket.io.images.decode import decode_rgb
from hfbucket.io.images.encode import encode_jpeg
from hfbucket.io.images.resize import Box, resize

if TYPE_CHECKING:
    from PIL import Image

    from hfbucket.core.law.geometry import Geometry

_QUALITY: Final = 92
_MAX_PIXELS: Final = 50_000_000
"""Larger sources are not shown: the picture is not worth the memory."""


def make_preview(source: bytes, geometry: Geometry, *, max_pixels: int) -> Preview:
    """Return a source image made small enough for a contact sheet, with its crop box.

    Raises:
        SampleError: it cannot be decoded, or is too large to be worth it.
    """
    w, h, _ = _frame(geometry)
    decoded = decode_rgb(source, max_pixels=min(max_pixels, _MAX_PIXELS), at_least=(w, h))
    return preview_of(decoded.image, geometry)


def preview_of(image: Image.Image, geometry: Geometry) -> Preview:
    """Return a decoded image made small enough for a contact sheet, with its crop box."""
    w, h, box = _frame(geometry)
    small = resize(image, (w, h), (0, 0, w, h))
    return Preview(jpeg=encode_jpeg(small, quality=_QUALITY, subsampling="4:4:4"), box=box)


def _frame(geometry: Geometry) -> tuple[int, int, Box]:
    right, bottom = geometry.crop_left + geometry.w, geometry.crop_top + geometry.h
    return frame(geometry.resized_w, geometry.resized_h, (geometry.crop_left, geometry.crop_top, right, bottom))
