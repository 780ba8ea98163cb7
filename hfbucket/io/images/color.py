"""Any decoded image to 8-bit sRGB (FORMAT section 5): depth, palette, profile, alpha, inks."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageCms

from hfbucket.errors import SampleError
from hfbucket.io.images.icc import conversion_of

_PROFILE_SPACE: Final = {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}
"""Pillow mode to the colour space that a fitting ICC profile names at byte 16 (ICC.1 section 7.2.6)."""

_PHOTOMETRIC: Final = 262  # a TIFF's PhotometricInterpretation
_WHITE_IS_ZERO: Final = 0


def to_rgb(image: Image.Image, *, bits: int, profile: bytes | None) -> tuple[Image.Image, tuple[str, ...]]:
    """Return `image` as 8-bit sRGB in mode RGB with nothing attached, and notes of what that took.

    Args:
        image: loaded, any mode of Pillow's.
        bits: of one stored channel, 1 to 16.
        profile: the ICC profile that stands beside the pixels.

    Raises:
        SampleError: integers over 16 bits or floats, whose range nothing states.
    """
    notes: list[str] = []
    if image.mode in ("I", "F"):
        raise SampleError("unsupported_format", f"pixels of mode {image.mode} (32 bit) have no stated range")
    if bits > 8:
        image = _eight_bits(image, bits)
        notes.append("depth_reduced")
    color, alpha = _split_alpha(image)
    if color.mode == "CMYK":
        notes.append("cmyk_converted")
    if profile:
        color, note = _to_srgb(color, profile)
        notes.extend(note)
    if color.mode != "RGB":
        color = color.convert("RGB")
    if alpha is not None and alpha.getextrema() != (255, 255):
        color.paste((255, 255, 255), mask=ImageChops.invert(alpha))
        notes.append("alpha_flattened")
    color.info = {}
    return color, tuple(notes)


def _eight_bits(image: Image.Image, bits: int) -> Image.Image:
    """Return the image's high bytes: Pillow has them already but for gray, which it would clip at 255."""
    transparent = image.info.get("transparency")
    if not image.mode.startswith("I;16"):
        if isinstance(transparent, tuple):
            image.info["transparency"] = tuple(value >> 8 for value in transparent)
        return image
    values = np.asarray(image)
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow minds that at 8 bits only
        values = (1 << bits) - 1 - values
    gray = Image.fromarray((values >> (bits - 8)).astype(np.uint8))
    if not isinstance(transparent, int):
        return gray
    opaque = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
    return Image.merge("LA", (gray, opaque))


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the image in L, RGB or CMYK, and its alpha channel, from whatever says it."""
    if image.mode in ("LA", "La") or image.has_transparency_data:
        straight, opaque = ("LA", "L") if image.mode in ("LA", "La") else ("RGBA", "RGB")
        if image.mode != straight:
            image = image.convert(straight)
        return image.convert(opaque), image.getchannel("A")
    if image.mode == "1":
        return image.convert("L"), None
    return (image if image.mode in _PROFILE_SPACE else image.convert("RGB")), None


def _to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    if profile[16:20] != _PROFILE_SPACE[image.mode]:
        return image, ("icc_ignored",)
    try:
        conversion = conversion_of(profile, image.mode)
        return (image, ()) if conversion is None else (conversion.apply(image), ("icc_converted",))
    except (ImageCms.PyCMSError, OSError):
        return image, ("icc_ignored",)
