"""Images over memory that is filled already, so that no pixel is copied to hand it over."""

from __future__ import annotations

import pyarrow as pa
from PIL import Image


def image_over(memory: object, size: tuple[int, int]) -> Image.Image:
    """Return an image in mode RGB whose pixels, four bytes each, are those in `memory`.

    It is read-only: Pillow copies it before it changes it.

    Args:
        memory: anything with a buffer; it lives as long as the image.
        size: width and height.
    """
    pixels = size[0] * size[1]
    values = pa.Array.from_buffers(pa.uint32(), pixels, [None, pa.py_buffer(memory)])
    return Image.fromarrow(values, "RGB", size)
