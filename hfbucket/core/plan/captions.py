"""Captions: which variant a sample gets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bools = npt.NDArray[np.bool_]


def ok_matrix(captions: pa.ChunkedArray, variants: int) -> Bools:
    """Return bool[n, variants]: which captions can be trained on, being neither null nor blank.

    Args:
        captions: list<string>, one entry per variant in order of priority; missing entries count as null.
    """
    ok = np.zeros((len(captions), variants), dtype=bool)
    start = 0
    for chunk in captions.chunks:
        _mark_ok(ok[start : start + len(chunk)], chunk)
        start += len(chunk)
    return ok


def _mark_ok(ok: Bools, captions: pa.ListArray) -> None:
    texts = pc.list_flatten(captions)
    blank = pc.or_(pc.equal(pc.binary_length(texts), 0), pc.utf8_is_space(texts))
    good = pc.fill_null(pc.invert(blank), False).to_numpy(zero_copy_only=False)
    lengths = pc.fill_null(pc.list_value_length(captions), 0).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(captions)), lengths)
    variant = np.arange(len(texts)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    known = good & (variant < ok.shape[1])
    ok[row[known], variant[known]] = True


def select(captions: pa.ChunkedArray, variants: int) -> npt.NDArray[np.int8]:
    """Return the selected variant of every sample, int8[n]: the first ok one by priority, -1 for none.

    Args:
        captions: as `ok_matrix` takes them.
        variants: at most 127.
    """
    ok = ok_matrix(captions, variants)
    return np.where(ok.any(axis=1), ok.argmax(axis=1), -1).astype(np.int8)
