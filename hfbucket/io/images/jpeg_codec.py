"""The pixels of plain JPEGs by libjpeg-turbo called directly, where they are those of the Pillow that is installed.

Pillow is the reference. Its own way to the same library hands over a file in pieces, rows one by one, and takes a fifth
longer. The direct way is taken once it has given Pillow's pixels on pictures of every kind that it is asked for; so a
Pillow with another JPEG library costs speed, never a changed byte. It is strict: at the first thing that is odd in a
file it gives nothing, and Pillow says what becomes of it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Final

import numpy as np
from PIL import Image

from hfbucket.io.images.jpeg import SOS, segments
from hfbucket.io.images.memory import image_over
from hfbucket.io.images.resize import only_pillow

try:
    import simplejpeg
except ImportError:  # no wheel for this platform
    simplejpeg = None

REDUCTIONS: Final = (8, 4, 2, 1)
"""What a picture's sides may be divided by while it is decoded, by Pillow as well."""

_PILLOW: Final = "pillow"
_SIZES: Final = ((61, 53), (3, 2))
_SUBSAMPLINGS: Final = ("444", "422", "420", "440", "411")
_QUALITIES: Final = (10, 95)


def codec() -> str:
    """Return the name of what decodes plain JPEGs: `simplejpeg`, or `pillow`, which HFBUCKET_KERNEL=pillow asks for."""
    return _PILLOW if simplejpeg is None or only_pillow() or not _is_exact() else "simplejpeg"


def decode(data: bytes, size: tuple[int, int], *, smaller: int = 1) -> Image.Image | None:
    """Return the pixels of a plain JPEG in mode RGB, or None where Pillow has to read them.

    The image stands over memory that is not its own: it is read-only, Pillow copies it before it changes it.

    Args:
        data: the whole file.
        size: width and height, as stored.
        smaller: one of `REDUCTIONS`: both sides are divided by it, rounded up, as `Image.draft` of Pillow does.
    """
    return None if codec() == _PILLOW else _directly(data, size, smaller)


def reduction(size: tuple[int, int], at_least: tuple[int, int]) -> int:
    """Return the largest of `REDUCTIONS` that leaves so many pixels a side, as `Image.draft` of Pillow chooses it."""
    scale = min(side // least for side, least in zip(size, at_least, strict=True))
    return next((smaller for smaller in REDUCTIONS if smaller <= scale), 1)


def _directly(data: bytes, size: tuple[int, int], smaller: int) -> Image.Image | None:
    width, height = (-(-side // smaller) for side in size)
    try:
        pixels = simplejpeg.decode_jpeg(
            data, "RGBX", fastdct=False, fastupsample=False, strict=True,
            min_width=width, min_height=height, min_factor=smaller,
        )  # fmt: skip
    except ValueError:
        return None
    if pixels.shape != (height, width, 4):
        return None
    return image_over(pixels, (width, height))


@lru_cache(maxsize=1)
def _is_exact() -> bool:
    """Return whether the pixels are Pillow's."""
    for data, smaller in product(_pictures(), REDUCTIONS):
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            size, at_least = image.size, (image.width // smaller, image.height // smaller)
            if not all(at_least):
                continue
            image.draft(None, at_least)
            seen = _directly(data, size, smaller)
            if seen is None or seen.tobytes() != image.tobytes():
                return False
    return True


def _pictures() -> Iterator[bytes]:
    """Yield noise and something smooth, odd sizes, every subsampling, coarse and fine; progressive, whole and cut."""
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 2, (53, 61, 3), np.uint8) * np.uint8(255))
    for picture in (noise, noise.resize((5, 4)).resize(noise.size)):
        for size, subsampling, quality in product(_SIZES, _SUBSAMPLINGS, _QUALITIES):
            pixels = np.ascontiguousarray(np.asarray(picture.crop((0, 0, *size))))
            yield simplejpeg.encode_jpeg(pixels, quality, "RGB", subsampling)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", progressive=True)
        yield buffer.getvalue()
        scans = [part for part in segments(buffer.getvalue()) if part.marker == SOS]
        yield buffer.getvalue()[: scans[0].end] + b"\xff\xd9"
