"""Distinct sizes: what the bucket law works on instead of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]

_GROWTH: Final = 4
"""How many times larger each list of known sizes is than the next one: there are few lists, and little is copied."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Distinct sizes, in pixels: both int64[sizes], in the order they first come."""

    width: Int64s
    height: Int64s


class SizeNumbers:
    """Numbers for distinct sizes, from 0, given out as sizes come."""

    def __init__(self) -> None:
        self._new: list[Int64s] = []
        self._count = 0
        # (sizes, their numbers), each ascending by size; sizes are width * 2**32 + height.
        self._known: list[tuple[Int64s, Int32s]] = []

    def number(self, width: npt.NDArray[np.integer], height: npt.NDArray[np.integer]) -> Int32s:
        """Return the number of each size. Sides must lie in 0 .. 2**31 - 1."""
        packed = np.left_shift(width, 32, dtype=np.int64)
        packed |= height
        encoded = pa.array(packed).dictionary_encode()
        numbers: Int32s = self._numbers(encoded.dictionary.to_numpy())[encoded.indices.to_numpy()]
        return numbers

    def sizes(self) -> Sizes:
        """Return the sizes so far: each stands at its number."""
        packed = np.concatenate([np.zeros(0, dtype=np.int64), *self._new])
        return Sizes(width=packed >> 32, height=packed & 0xFFFFFFFF)

    def _numbers(self, sizes: Int64s) -> Int32s:
        result = np.full(len(sizes), -1, dtype=np.int32)
        for known, numbers in self._known:
            at = np.minimum(np.searchsorted(known, sizes), len(known) - 1)
            hit = known[at] == sizes
            result[hit] = numbers[at[hit]]
        is_new = result < 0
        if is_new.any():
            new = sizes[is_new]
            result[is_new] = np.arange(self._count, self._count + len(new))
            self._count += len(new)
            self._new.append(new)
            self._learn(new, result[is_new])
        return result

    def _learn(self, sizes: Int64s, numbers: Int32s) -> None:
        while True:
            order = np.argsort(sizes)
            sizes, numbers = sizes[order], numbers[order]
            if not self._known or len(self._known[-1][0]) >= _GROWTH * len(sizes):
                break
            before = self._known.pop()
            sizes, numbers = np.concatenate([before[0], sizes]), np.concatenate([before[1], numbers])
        self._known.append((sizes, numbers))
