"""Equal keys: inputs with one image_id, and images with one hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hfbucket.core.chunks import chunks

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """Rows that share their key with others, int64[repeats]: by key, those of one key in source order."""

    rows: Int64s
    #: bool[repeats]: the first of each key.
    is_first: Bools

    def among(self, eligible: Bools) -> tuple[Int64s, Int64s]:
        """Return the rows whose key an earlier row has, ascending, and for each the first row that has it.

        Args:
            eligible: bool[repeats], which of `rows` count.
        """
        rows, key = self.rows[eligible], np.cumsum(self.is_first)[eligible]
        is_first = np.append(True, key[1:] != key[:-1])[: len(key)]
        first = rows[is_first][np.cumsum(is_first) - 1]
        again = np.flatnonzero(~is_first)
        again = again[np.argsort(rows[again])]
        return rows[again], first[again]


def find_repeats(heads: Words, keys: Callable[[Int64s], Words]) -> Repeats:
    """Return the rows that share their key with another one.

    A key is the first 16 bytes of a SHA-256: of an image_id, where it must be unique in an export, or of an image.

    Args:
        heads: uint64[n], the first 8 bytes of each row's key, as big-endian words.
        keys: returns the whole keys of some rows, ascending, as uint64[·, >= 2]: few rows share even their heads.
    """
    suspects = _sharing(heads)
    if len(suspects) == 0:
        return Repeats(rows=suspects, is_first=np.zeros(0, dtype=bool))
    words = keys(suspects)[:, :2]
    order = np.lexsort((words[:, 1], words[:, 0]))  # stable: equal keys in source order
    words = words[order]
    differs = np.concatenate(([True], (words[1:] != words[:-1]).any(axis=1), [True]))
    shares = ~(differs[:-1] & differs[1:])
    return Repeats(rows=suspects[order][shares], is_first=differs[:-1][shares])


def _sharing(heads: Words) -> Int64s:
    """Return the rows whose head another row has, too, ascending."""
    ordered = np.sort(heads)
    twice = [np.zeros(0, dtype=np.uint64)]
    for here in chunks(max(len(heads) - 1, 0)):
        left = ordered[here]
        twice.append(left[left == ordered[here.start + 1 : here.stop + 1]])
    known = np.unique(np.concatenate(twice))
    del ordered
    found = [np.zeros(0, dtype=np.int64)]
    if len(known):
        for here in chunks(len(heads)):
            at = np.minimum(np.searchsorted(known, heads[here]), len(known) - 1)
            found.append(here.start + np.flatnonzero(known[at] == heads[here]))
    return np.concatenate(found)


def repeats(words: Words, rows: Int64s | None = None) -> tuple[Int64s, Int64s]:
    """Return the rows whose key stands in an earlier row, ascending, and for each the first row that has it.

    Args:
        words: uint64[n, >= 2], digests as big-endian words.
        rows: int64[rows] ascending: only these are looked at; without it all.
    """
    looked_at = words if rows is None else words[rows]
    found = find_repeats(looked_at[:, 0], lambda places: looked_at[places])
    again, first = found.among(np.ones(len(found.rows), dtype=bool))
    return (again, first) if rows is None else (rows[again], rows[first])
