"""Pixels to a bucket's size and to JPEG bytes: FORMAT section 5, by Pillow, the reference."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import PIL
from PIL import Image, features

from hfbucket.config import Config
from hfbucket.errors import SampleError
from hfbucket.io.images.resize import resize

if TYPE_CHECKING:
    from hfbucket.core.law.geometry import Geometry


def fit(image: Image.Image, geometry: Geometry) -> Image.Image:
    """Return `image` after the bicubic, antialiased cover resize and the crop, at the bucket's size.

    No step copies that changes nothing; where none changes anything, the image itself comes back.
    """
    left, top = geometry.crop_left, geometry.crop_top
    resized, box = (geometry.resized_w, geometry.resized_h), (left, top, left + geometry.w, top + geometry.h)
    if image.size == resized and box == (0, 0, *resized):
        return image
    return resize(image, resized, box)


def encode_jpeg(image: Image.Image, *, quality: int, subsampling: str) -> bytes:
    """Return `image` as a baseline JPEG without metadata.

    Args:
        image: RGB, as `decode_rgb` and `fit` give it.
        quality: 1 to 100.
        subsampling: 4:4:4, 4:2:2 or 4:2:0.

    Raises:
        SampleError: `encode_errors`, such as a side over 65,535 pixels.
    """
    buffer = io.BytesIO()
    try:
        image.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    except (OSError, ValueError) as error:
        raise SampleError("encode_errors", f"{image.width}x{image.height}: {error}") from error
    return buffer.getvalue()


def jpeg_subsampling(config: Config, geometry: Geometry, source_w: int, source_h: int) -> str:
    """Return the chroma subsampling of an image: `adaptive_scale` means 4:4:4 up to the threshold, else 4:2:0.

    The cover scale is max(W/w, H/h) with the bucket's size (W, H) and the source's (w, h), upright; compared in
    integers (FORMAT section 5).
    """
    if config.subsampling != "adaptive_scale":
        return config.subsampling
    numerator, denominator = config.subsampling_threshold.as_integer_ratio()
    small = geometry.w * denominator <= source_w * numerator and geometry.h * denominator <= source_h * numerator
    return "4:4:4" if small else "4:2:0"


def versions() -> dict[str, str]:
    """Return the versions that decide the bytes of an encoded image: `pillow` and `libjpeg`."""
    turbo = features.version("libjpeg_turbo")
    libjpeg = f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}"
    return {"pillow": PIL.__version__, "libjpeg": libjpeg}
