"""What the card's pictures have in common: font, colors, how they are saved. The same input gives the same bytes."""

from __future__ import annotations

import io
from functools import cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

WHITE: Final = (255, 255, 255)
INK: Final = (31, 41, 55)
MUTED: Final = (107, 114, 128)
GRID: Final = (229, 231, 235)
BLUE: Final = (59, 111, 212)
ORANGE: Final = (255, 140, 0)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size_px: int) -> Font:
    """Return Pillow's own font: no picture depends on the fonts of a machine."""
    return ImageFont.load_default(size_px)


def canvas(width_px: int, height_px: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return a white picture and a pen for it."""
    image = Image.new("RGB", (width_px, height_px), WHITE)
    return image, ImageDraw.Draw(image)


def text_width(text: str, size_px: int) -> int:
    """Return how wide a line of text is, in whole pixels."""
    return int(font(size_px).getlength(text) + 0.999)


def shortened(text: str, size_px: int, room_px: int) -> str:
    """Return the text, its middle left out where it is wider than its room."""
    if text_width(text, size_px) <= room_px:
        return text
    kept = len(text)
    while kept > 2 and text_width(_middle_out(text, kept), size_px) > room_px:
        kept -= 1
    return _middle_out(text, kept)


def _middle_out(text: str, kept: int) -> str:
    return f"{text[: (kept + 1) // 2]}...{text[len(text) - kept // 2 :]}"


def png(image: Image.Image) -> bytes:
    """Return the picture as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
