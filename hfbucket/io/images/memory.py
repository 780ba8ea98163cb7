"""RGB images in memory that others filled: no pixel is copied."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
from PIL import Image

_PIXEL: Final = pa.uint32()
"""Pillow keeps four bytes for a pixel in mode RGB; the last one says nothing."""


def image_of(pixels: Any, size: tuple[int, int]) -> Image.Image:  # noqa: ANN401 - whatever has the buffer protocol
    """Return an RGB image over the bytes of `pixels`, four to a pixel, row after row.

    Pillow copies it before it changes it, so `pixels` stay as they are; they live as long as the image does.
    """
    array = pa.Array.from_buffers(_PIXEL, size[0] * size[1], [None, pa.py_buffer(pixels)])
    return Image.fromarrow(array, "RGB", size)
