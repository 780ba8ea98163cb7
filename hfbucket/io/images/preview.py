"""Previews: source images made small, for contact sheets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from PIL import Image

from hfbucket.core.card.previews import Preview, frame
from hfbucket.io.images.decode import decode_rgb
from hfbucket.io.images.encode import encode_jpeg

if TYPE_CHECKING:
    from hfbucket.core.law.geometry import Geometry

_QUALITY: Final = 92
_MAX_PIXELS: Final = 50_000_000
"""Larger sources are not shown: the picture is not worth the memory."""


def make_preview(source: bytes, geometry: Geometry, *, max_pixels: int) -> Preview:
    """Return a source image made small enough for a contact sheet, with its crop box.

    Raises:
        SampleError: it cannot be decoded, or is too large to be worth it.
    """
    right, bottom = geometry.crop_left + geometry.w, geometry.crop_top + geometry.h
    crop = (geometry.crop_left, geometry.crop_top, right, bottom)
    w, h, box = frame(geometry.resized_w, geometry.resized_h, crop)
    decoded = decode_rgb(source, max_pixels=min(max_pixels, _MAX_PIXELS), at_least=(w, h)).image
    small = decoded.resize((w, h), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return Preview(jpeg=encode_jpeg(small, quality=_QUALITY, subsampling="4:4:4"), box=box)
