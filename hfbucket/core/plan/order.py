"""The order of samples: as the sources give them, or shuffled by a hash that any machine computes alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

Int16s = npt.NDArray[np.int16]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_SORTED_AT_ONCE: Final = 1 << 18
"""About how many rows are sorted at once: shuffled buckets are cut into parts by their keys' first bits."""

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


def in_order(
    chunks: Callable[[], Iterator[tuple[Int64s, Int32s]]],
    bucket_of_size: Int16s,
    buckets: int,
    heads: Words | None,
    seed: int,
    rows: int,
) -> tuple[npt.NDArray[np.signedinteger], Int64s]:
    """Return rows by bucket and, in each, in source order or shuffled; and how many each bucket has, int64[buckets].

    Rows are distributed, not sorted: nothing but the result grows with their number.

    Args:
        chunks: yields (rows, their sizes), ascending by row, alike each time.
        bucket_of_size: int16[sizes], 0 or more for every size that is yielded.
        heads: uint64[n], bytes 0 to 8 of all rows' digests, to shuffle by; None for source order.
        seed: of the shuffle.
        rows: the number of all rows.
    """
    images = np.zeros(buckets, dtype=np.int64)
    for _, size in chunks():
        images += np.bincount(bucket_of_size[size], minlength=buckets)
    parts = _Parts(images, heads, seed)
    starts = parts.starts(((at, bucket_of_size[size]) for at, size in chunks()), images)
    members: npt.NDArray[np.signedinteger] = np.empty(int(images.sum()), np.int32 if rows < 2**31 else np.int64)
    cursor = starts[:-1].copy()
    for at, size in chunks():
        part = parts.of(at, bucket_of_size[size])
        order = np.argsort(part, kind="stable")
        ordered, here = part[order], np.bincount(part, minlength=len(cursor))
        within = np.arange(len(part)) - (np.cumsum(here) - here)[ordered]
        members[cursor[ordered] + within] = at[order]
        cursor += here
    if heads is not None:
        bounds = starts.tolist()
        for start, stop in pairwise(bounds):
            run = members[start:stop]
            members[start:stop] = run[np.argsort(shuffle_keys(heads[run], seed), kind="stable")]
    return members, images


class _Parts:
    """Stretches of the order of all rows: a bucket, or where it is shuffled and large, some of its keys' first bits."""

    def __init__(self, images: Int64s, heads: Words | None, seed: int) -> None:
        large = [0 if heads is None else (count // _SORTED_AT_ONCE).bit_length() for count in images.tolist()]
        self._bits = np.array(large, dtype=np.uint64)
        self._first = np.cumsum([0, *(1 << bits for bits in large)])
        self._heads, self._seed = heads, seed
        # Sorting 16-bit numbers is several times faster than sorting larger ones.
        self._kind = np.uint16 if self._first[-1] <= 2**16 else np.int64

    def of(self, rows: Int64s, bucket: Int16s) -> npt.NDArray[np.integer]:
        """Return the part of each row."""
        part = self._first[bucket]
        if self._heads is not None:
            keys = shuffle_keys(self._heads[rows], self._seed)
            part += (keys >> np.uint64(1) >> (np.uint64(63) - self._bits[bucket])).astype(np.int64)
        return part.astype(self._kind)

    def starts(self, chunks: Iterator[tuple[Int64s, Int16s]], images: Int64s) -> Int64s:
        """Return the place of the first row of every part, and their number at the end."""
        counts = images.copy()
        if self._bits.any():
            counts = np.zeros(int(self._first[-1]), dtype=np.int64)
            for rows, bucket in chunks:
                counts += np.bincount(self.of(rows, bucket), minlength=len(counts))
        return np.cumsum(np.append(0, counts))


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
