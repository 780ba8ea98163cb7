"""ICC profiles to sRGB: by lcms, the reference, or by compiled code with the very same bytes.

The compiled code is used for a profile once it has given the bytes of lcms for a million colours of it. That takes as
long as lcms takes for as many pixels, so a profile is tried when it has had so many: it is not done for one that comes
once, and is at worst as much work again.
"""

from __future__ import annotations

import io
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageCms

from hfbucket.io.images.memory import image_over
from hfbucket.io.images.resize import only_pillow
from hfbucket.io.images.shaper import Shaper, shaper_of

TRIED_PIXELS: Final = 1 << 20
_SPREAD: Final = 0x9E3779B1
"""2^32 by the golden ratio, made odd: its multiples are spread evenly."""


class Conversion:
    """The way from one profile to sRGB, for images of one mode.

    Raises:
        ImageCms.PyCMSError, OSError: there is none.
    """

    def __init__(self, profile: bytes, mode: str) -> None:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        self._profile = profile
        self._transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        self._pixels_by_lcms = 0

    def apply(self, image: Image.Image) -> Image.Image:
        """Return the image in mode RGB, as sRGB."""
        if self._pixels_by_lcms >= TRIED_PIXELS and image.mode == "RGB" and not only_pillow() and self._shaper:
            with suppress(ValueError):  # over 16 MiB, where Pillow was not told to take larger pieces of memory
                return self._shaper.apply(image)
        self._pixels_by_lcms += image.width * image.height
        return self.by_lcms(image)

    def by_lcms(self, image: Image.Image) -> Image.Image:
        """Return the same by lcms."""
        return ImageCms.applyTransform(image, self._transform) or image

    @cached_property
    def _shaper(self) -> Shaper | None:
        """What gives the bytes of lcms sooner."""
        shaper, colors = shaper_of(self._profile), many_colors()
        exact = shaper is not None and shaper.apply(colors).tobytes() == self.by_lcms(colors).tobytes()
        return shaper if exact else None


@lru_cache(maxsize=32)
def conversion_of(profile: bytes, mode: str) -> Conversion | None:
    """Return the conversion from a profile to sRGB, or None where it is sRGB itself within one level.

    Raises:
        ImageCms.PyCMSError, OSError: the profile is of no use.
    """
    conversion = Conversion(profile, mode)
    if mode == "CMYK":
        return conversion
    probe = _ramp(mode)
    difference = np.asarray(conversion.by_lcms(probe)).astype(int) - np.asarray(probe.convert("RGB")).astype(int)
    return conversion if np.abs(difference).max() > 1 else None


def many_colors() -> Image.Image:
    """Return one of every sixteen colours, evenly: every level of a channel with 4,096 pairs of the other two."""
    colors = np.arange(TRIED_PIXELS, dtype=np.uint32) * np.uint32(_SPREAD) >> np.uint32(8)
    return image_over(colors.astype("<u4"), (1024, TRIED_PIXELS // 1024))


def _ramp(mode: str) -> Image.Image:
    """Return every level of gray, and for RGB also a 17-step grid of all colours."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.linspace(0, 255, 17).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    return Image.fromarray(np.ascontiguousarray(grid))
