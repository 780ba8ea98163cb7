"""How heavy the texts of a table's rows are, by what they say: the same however the table is chunked or sliced.

Without what computes on Arrow columns, as importing that takes longer than all else that a worker imports.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s = npt.NDArray[np.int64]

_TEXTS = frozenset({"caption", "captions", "meta"})


def row_bytes(table: pa.Table) -> Int64s:
    """Return how many bytes of captions and metadata each row holds, int64[rows]: what of a row may be of any size."""
    texts = (text_bytes(table[name]) for name in table.column_names if name in _TEXTS)
    return sum(texts, start=np.zeros(table.num_rows, dtype=np.int64))


def text_bytes(column: pa.ChunkedArray) -> Int64s:
    """Return how many bytes of text each row holds, int64[rows]: of a list those of its items, of a struct of all its
    fields, and 0 where there is no text."""
    return np.concatenate([np.zeros(0, dtype=np.int64), *map(_weights, column.chunks)])


def _weights(array: pa.Array) -> Int64s:
    kind = array.type
    weights = np.zeros(len(array), dtype=np.int64)
    if not len(array):
        return weights
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        weights = np.diff(offsets_of(array))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = offsets_of(array)
        items = _weights(array.values.slice(offsets[0], offsets[-1] - offsets[0]))
        weights = np.diff(np.append(0, np.cumsum(items))[offsets - offsets[0]])
    elif pa.types.is_struct(kind):
        weights = sum((_weights(array.field(number)) for number in range(kind.num_fields)), start=weights)
    return weights if not array.null_count else np.where(_is_valid(array), weights, 0)


def offsets_of(array: pa.Array) -> Int64s:
    """Return where each text or list begins in what all of them hold, and the last one ends, int64[n + 1]."""
    kind, buffer = array.type, array.buffers()[1]
    if buffer is None:  # of none
        return np.zeros(1, dtype=np.int64)
    is_large = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind) or pa.types.is_large_list(kind)
    offsets = np.frombuffer(buffer, dtype=np.int64 if is_large else np.int32)
    return offsets[array.offset : array.offset + len(array) + 1].astype(np.int64, copy=False)


def _is_valid(array: pa.Array) -> npt.NDArray[np.bool_]:
    bitmap = array.buffers()[0]
    if bitmap is None:  # of nothing but nulls
        return np.zeros(len(array), dtype=bool)
    first, skipped = divmod(array.offset, 8)
    bits = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8)[first:], count=skipped + len(array), bitorder="little")
    return bits[skipped:].astype(bool)
