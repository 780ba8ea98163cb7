"""How heavy the captions of index rows are, about: what whoever takes many rows at once goes by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of captions, as the mean of some thousand rows that lie together."""

    #: First row of every piece, ascending from 0, and the mean of its rows.
    _first: list[int] = field(default_factory=list)
    _mean: list[int] = field(default_factory=list)

    def add(self, first: int, rows: int, size_bytes: int) -> None:
        """Take the next piece."""
        self._first.append(first)
        self._mean.append(-(-size_bytes // max(1, rows)))

    def of(self, rows: npt.NDArray[np.signedinteger]) -> Int64s:
        """Return the weight of every row, int64[rows]."""
        means = np.array(self._mean or [0], dtype=np.int64)
        return means[np.searchsorted(self._first, rows, side="right") - 1]
