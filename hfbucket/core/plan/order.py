"""The order of samples: as the sources give them, or shuffled by a hash that any machine computes alike."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


def shuffle_keys(words: Words, seed: int) -> Words:
    """Return one sort key per image, uint64[n]: a hash of its digest and the seed.

    splitmix64's finaliser over the digest's first 8 bytes, whitened by that of the seed. It is a bijection: only
    images whose digests share 8 bytes tie, and a stable sort leaves those in source order.

    Args:
        words: uint64[n], bytes 0 to 8 of the digests, big-endian.
        seed: any integer; its lowest 64 bits count.
    """
    whitening = _mix(np.array([seed % 2**64], dtype=np.uint64))
    return _mix(words ^ whitening)


def _mix(words: Words) -> Words:
    """Return splitmix64 of every word (Steele, Lea, Flood 2014), modulo 2**64."""
    words = words + _GOLDEN
    words = (words ^ (words >> np.uint64(30))) * _MIX_1
    words = (words ^ (words >> np.uint64(27))) * _MIX_2
    return words ^ (words >> np.uint64(31))
