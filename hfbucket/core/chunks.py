"""Chunks: long arrays a stretch at a time, so that temporaries stay small however many rows there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

CHUNK_ROWS: Final = 1 << 20
"""Rows for which temporaries live at a time."""


def chunks(rows: int) -> Iterator[slice]:
    """Yield slices that together are all rows."""
    for start in range(0, rows, CHUNK_ROWS):
        yield slice(start, min(start + CHUNK_ROWS, rows))


def counts(values: npt.NDArray[np.integer], kinds: int) -> npt.NDArray[np.int64]:
    """Return how often each of the values 0 to kinds - 1 stands in an array, int64[kinds]."""
    result = np.zeros(kinds, dtype=np.int64)
    for here in chunks(len(values)):
        result += np.bincount(values[here], minlength=kinds)
    return result


def rows_where(values: npt.NDArray[np.integer], wanted: npt.NDArray[np.bool_], most: int) -> npt.NDArray[np.int64]:
    """Return the first rows, at most so many, whose value v has `wanted[v]`."""
    found = np.zeros(0, dtype=np.int64)
    for here in chunks(len(values)):
        found = np.concatenate([found, here.start + np.flatnonzero(wanted[values[here]])])[:most]
        if len(found) == most:
            break
    return found
