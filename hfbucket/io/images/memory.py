"""Images over memory that is filled already, so that no pixel is copied to hand it over."""

from __future__ import annotations

from typing import Any, Final

import PIL
import pyarrow as pa
from PIL import Image

_IS_LENT_AGAIN: Final = int(PIL.__version__.partition(".")[0]) >= 13
"""Pillow before 13 crashes when an image that stands over another's memory is asked for it, as compiled code does."""


def image_over(memory: Any, size: tuple[int, int]) -> Image.Image:  # noqa: ANN401 (what has a buffer)
    """Return an image in mode RGB whose pixels, four bytes each, are those in `memory`.

    It is read-only: Pillow copies it before it changes it. With a Pillow before 13 it is a copy.

    Args:
        memory: anything with a buffer; it lives as long as the image.
        size: width and height.
    """
    if not _IS_LENT_AGAIN:
        return Image.frombytes("RGB", size, memory, "raw", "RGBX")
    pixels = size[0] * size[1]
    values = pa.Array.from_buffers(pa.uint32(), pixels, [None, pa.py_buffer(memory)])
    return Image.fromarrow(values, "RGB", size)
