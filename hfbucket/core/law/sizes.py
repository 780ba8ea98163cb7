"""Distinct sizes: what the bucket law works on instead of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """The distinct sizes among some images, in pixels."""

    #: int64[sizes], in the order the sizes first come.
    width: Int64s
    height: Int64s
    #: How many images have each size, int64[sizes].
    images: Int64s
    #: Which size each image has, int32[images].
    of_image: npt.NDArray[np.int32]


def distinct_sizes(width: npt.NDArray[np.integer], height: npt.NDArray[np.integer]) -> Sizes:
    """Return the distinct sizes of images. Sides must lie in 0 .. 2**31 - 1."""
    packed = np.left_shift(width, 32, dtype=np.int64)
    packed |= height
    encoded = pa.array(packed).dictionary_encode()
    sizes, of_image = encoded.dictionary.to_numpy(), encoded.indices.to_numpy()
    images = np.bincount(of_image, minlength=len(sizes))
    return Sizes(width=sizes >> 32, height=sizes & 0xFFFFFFFF, images=images, of_image=of_image)
