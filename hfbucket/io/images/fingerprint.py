"""What images are compared by: a hash of their bytes, of their pixels, or one that stays near when both change.

The difference hash follows the idea of dHash (N. Krawetz, "Kind of Like That", 2013), in whole numbers throughout:

1. The image is decoded upright to RGB; a JPEG at the smallest scale of its codec that keeps 144x128 pixels.
2. A pixel's gray is 299 R + 587 G + 114 B (ITU-R BT.601, in thousandths).
3. Gray is averaged over 9 x 8 equal boxes that cover the image; a pixel on an edge counts in each box by the share
   that lies in it. With pixels cut into ninths and eighths, every box weighs width * height, so that sums compare as
   averages do.
4. Bit 8 y + x, counted from the highest, is 1 where box (x, y) is brighter than box (x + 1, y) by more than one level
   of 255.

An image has a difference hash only where it shows enough: half of the 64 neighbours, or more, must differ by more than
one level, and at least eight of them in each direction. Bare walls, gradients and things on white would all look alike.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from hfbucket.io.images.decode import decode_rgb

VERSION: Final = 1
"""Raised whenever one of the functions gives something else for the same image."""

_COLUMNS, _ROWS = 9, 8
_GRAY: Final = np.array([299, 587, 114], dtype=np.int64)
_LEVEL: Final = 1000
"""One level of 255 of gray."""

_AT_LEAST: Final = (144, 128)
_LEAST_DIFFERENT: Final = 32
_LEAST_EACH_WAY: Final = 8

Int64s = npt.NDArray[np.int64]


def bytes_hash(data: bytes) -> bytes:
    """Return the SHA-256 of encoded bytes."""
    return hashlib.sha256(data).digest()


def pixels_hash(data: bytes, *, max_pixels: int) -> bytes:
    """Return the SHA-256 of `WxH`, a newline and the upright RGB pixels, three bytes each, row by row.

    Raises:
        SampleError: the image cannot be decoded.
    """
    image = decode_rgb(data, max_pixels=max_pixels).image
    hasher = hashlib.sha256(b"%dx%d\n" % image.size)
    hasher.update(image.tobytes())
    return hasher.digest()


def difference_hash(data: bytes, *, max_pixels: int) -> int | None:
    """Return the 64 bits of the difference hash, or None where the image does not show enough.

    Raises:
        SampleError: the image cannot be decoded.
    """
    return hash_of(decode_rgb(data, max_pixels=max_pixels, at_least=_AT_LEAST).image)


def hash_of(image: Image.Image) -> int | None:
    """Return the difference hash of an RGB image as it is, or None where it does not show enough."""
    boxes = box_sums(np.asarray(image))
    falls = boxes[:, :-1] - boxes[:, 1:]
    level = image.width * image.height * _LEVEL
    darker, brighter = falls > level, falls < -level
    each_way = (int(np.count_nonzero(darker)), int(np.count_nonzero(brighter)))
    if sum(each_way) < _LEAST_DIFFERENT or min(each_way) < _LEAST_EACH_WAY:
        return None
    return int.from_bytes(np.packbits(darker).tobytes(), "big")


def box_sums(pixels: npt.NDArray[np.uint8]) -> Int64s:
    """Return the gray of each box, int64[8, 9], times width and height of the image and 1000.

    Args:
        pixels: uint8[h, w, 3].
    """
    height, width, _ = pixels.shape
    rows = _boxes(pixels.reshape(height, width * 3), _ROWS).reshape(_ROWS, width, 3)
    return _boxes((rows @ _GRAY).T, _COLUMNS).T


def _boxes(values: npt.NDArray[Any], count: int) -> Int64s:
    """Return the sums over `count` equal boxes of the first axis, times `count`."""
    length = len(values)
    edges = [divmod(number * length, count) for number in range(count + 1)]
    sums = np.empty((count, *values.shape[1:]), dtype=np.int64)
    for number, ((start, before), (stop, after)) in enumerate(pairwise(edges)):
        box = values[start:stop].sum(axis=0, dtype=np.int64) * count
        if before:
            box -= values[start].astype(np.int64) * before
        if after:
            box += values[stop].astype(np.int64) * after
        sums[number] = box
    return sums
