"""Equal keys: inputs with one image_id, and images with one hash."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


def repeats(words: Words, rows: Int64s | None = None) -> tuple[Int64s, Int64s]:
    """Return the rows whose key stands in an earlier row, ascending, and for each the first row that has it.

    A key is the first 16 bytes of a SHA-256: of an image_id, where it must be unique in an export, or of an image.

    Args:
        words: uint64[n, >= 2], digests as big-endian words.
        rows: int64[rows] ascending: only these are looked at; without it all.
    """
    rows = np.arange(len(words)) if rows is None else rows
    heads = words[rows, 0]
    ordered = np.sort(heads)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if len(twice) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    # Few heads stand twice; only those rows are sorted by their whole key.
    suspects = rows[twice[np.minimum(np.searchsorted(twice, heads), len(twice) - 1)] == heads]
    suspects = suspects[np.lexsort((words[suspects, 1], words[suspects, 0]))]  # stable: equal keys in source order
    keys = words[suspects, :2]
    is_first = np.concatenate(([True], (keys[1:] != keys[:-1]).any(axis=1)))
    first = suspects[is_first][np.cumsum(is_first) - 1]
    again = np.flatnonzero(~is_first)
    again = again[np.argsort(suspects[again])]
    return suspects[again], first[again]
