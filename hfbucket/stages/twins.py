"""Twins by name: what the ledger and the plan say of images that went as duplicates."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.core.duplicates.find import Twins
from hfbucket.core.duplicates.words import details
from hfbucket.io.index_files import Index

Int64s = npt.NDArray[np.int64]

_AT_ONCE: Final = 1 << 20
"""Names looked up at once: those that stay lie anywhere in the index."""


def twin_words(index: Index, twins: Twins, dedupe: str, rows: Int64s) -> pa.Array:
    """Return what is said of each of these index rows, ascending; null for those that went for another reason."""
    at = np.searchsorted(twins.rows, rows)
    is_twin = np.append(twins.rows, -1)[at] == rows
    found = at[is_twin]
    words = details(_ids(index, twins.twin[found]), twins.distance[found], dedupe)
    places = np.cumsum(is_twin) - 1
    return words.take(pa.array(places, mask=~is_twin))


class TwinDetails:
    """The same for one stretch of the index after another; names are looked up many at a time."""

    def __init__(self, index: Index, twins: Twins, dedupe: str) -> None:
        self._index, self._twins, self._dedupe = index, twins, dedupe
        self._first, self._words = 0, pa.array([], pa.string())

    def between(self, start: int, stop: int) -> pa.Array:
        """Return what is said of the rows from `start` to `stop`; null for those that are no duplicates."""
        first, last = (int(edge) for edge in np.searchsorted(self._twins.rows, [start, stop]))
        if last > self._first + len(self._words):
            self._look_up(first, max(last, first + _AT_ONCE))
        places = np.full(stop - start, -1, dtype=np.int64)
        places[self._twins.rows[first:last] - start] = np.arange(first, last) - self._first
        return self._words.take(pa.array(places, mask=places < 0))

    def _look_up(self, first: int, last: int) -> None:
        here = slice(first, last)
        names = _ids(self._index, self._twins.twin[here])
        self._first, self._words = first, details(names, self._twins.distance[here], self._dedupe)


def _ids(index: Index, rows: Int64s) -> pa.Array:
    taken = index.take(rows, ("image_id",))["image_id"]
    return pa.concat_arrays([pa.array([], pa.string()), *taken.chunks])
