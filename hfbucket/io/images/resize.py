"""The bicubic, antialiased resize with a crop: as Pillow does it, or by compiled code with the very same pixels.

Pillow is the reference. The compiled code, where it was built, is used once it has given Pillow's pixels on pictures
that tell its orders of passes apart; so another arithmetic in another Pillow costs speed, never a changed byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image

from hfbucket.errors import ConfigError
from hfbucket.io.images.memory import image_over

try:
    from hfbucket.io.images import _resize
except ImportError:  # built without a compiler
    _resize = None  # type: ignore[assignment]

Size = tuple[int, int]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""

_ENVIRONMENT: Final = "HFBUCKET_KERNEL"
_PILLOW: Final = "pillow"
_AUTO: Final = "auto"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kernel:
    """Compiled code that gives the pixels of the Pillow that is installed."""

    #: One of `_resize.kernels()`.
    name: str
    #: Whether Pillow resizes columns before rows, from the size before and after.
    is_down_first: Callable[[Size, Size], bool]

    def resize(self, image: Image.Image, resized: Size, box: Box) -> Image.Image:
        """Return the part `box` of the RGB `image` after its resize to `resized`, in pixels.

        Raises:
            ValueError: the image's memory is in pieces.
        """
        left, top, right, bottom = box
        size = (right - left, bottom - top)
        down_first = self.is_down_first(image.size, resized)
        _, memory = image.__arrow_c_array__()
        pixels = _resize.bicubic(self.name, memory, image.size, resized, (left, top, *size), down_first)
        return image_over(pixels, size)


def resize(image: Image.Image, resized: Size, box: Box) -> Image.Image:
    """Return the part `box` of `image` after its bicubic resize to `resized`, in pixels."""
    chosen = kernel()
    if chosen is None or image.mode != "RGB":
        return _by_pillow(image, resized, box)
    try:
        return chosen.resize(image, resized, box)
    except ValueError:  # over 16 MiB, where Pillow was not told to take larger pieces of memory, as workers are
        return _by_pillow(image, resized, box)


def kernel() -> Kernel | None:
    """Return the fastest compiled kernel that this machine runs, or None for Pillow.

    The environment variable HFBUCKET_KERNEL names another one, or `pillow`; the pixels are the same.

    Raises:
        ConfigError: it names none that runs here.
    """
    return _kernel_named(os.environ.get(_ENVIRONMENT, _AUTO))


def only_pillow() -> bool:
    """Return whether HFBUCKET_KERNEL asks for Pillow alone, which holds for every step."""
    return os.environ.get(_ENVIRONMENT) == _PILLOW


@lru_cache(maxsize=8)
def _kernel_named(name: str) -> Kernel | None:
    names = _resize.kernels() if _resize else []
    if name not in (_AUTO, _PILLOW, *names):
        raise ConfigError(f"{_ENVIRONMENT} must be one of {', '.join((_AUTO, _PILLOW, *names))}, got {name!r}")
    if name == _PILLOW or not names:
        return None
    chosen = names[0] if name == _AUTO else name
    kernels = (Kernel(name=chosen, is_down_first=rule) for rule in (_much_lower, _never))
    return next(filter(_is_exact, kernels), None)


def _much_lower(size: Size, resized: Size) -> bool:
    """Return whether more than twice as many rows go as columns do: the rule of Pillow 13."""
    rows_gone, columns_gone = size[1] - resized[1], size[0] - resized[0]
    return rows_gone > max(0, 2 * columns_gone)


def _never(_size: Size, _resized: Size) -> bool:
    """Return False: Pillow before 13 takes rows first."""
    return False


def _is_exact(kernel: Kernel) -> bool:
    """Return whether the kernel gives Pillow's pixels: larger, smaller, both, and at the edge of the rule of passes."""
    noise = np.random.default_rng(1).integers(0, 2, (61, 53, 3), np.uint8) * np.uint8(255)
    image = Image.fromarray(noise)
    sizes = ((71, 83), (37, 41), (80, 31), (20, 90), (53, 40), (40, 61), (43, 41), (43, 40), (53, 61), (3, 5))
    return all(_pixels(kernel.resize, image, size) == _pixels(_by_pillow, image, size) for size in sizes)


def _pixels(way: Callable[[Image.Image, Size, Box], Image.Image], image: Image.Image, resized: Size) -> bytes:
    return way(image, resized, (1, 2, *resized)).tobytes()


def _by_pillow(image: Image.Image, resized: Size, box: Box) -> Image.Image:
    """Return what is asked for by Pillow; no step copies that changes nothing."""
    if image.size != resized:
        image = image.resize(resized, Image.Resampling.BICUBIC)
    return image if box == (0, 0, *image.size) else image.crop(box)
