"""How heavy the texts of a table's rows are, by what they say: the same however the table is chunked or sliced."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Int64s = npt.NDArray[np.int64]


def text_bytes(column: pa.ChunkedArray) -> Int64s:
    """Return how many bytes of text each row holds, int64[rows]: of a list those of its items, of a struct of all its
    fields, and 0 where there is no text."""
    kind = column.type
    if pa.types.is_list(kind):
        ends = np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy())
        items = text_bytes(pc.list_flatten(column))  # without any that stand behind a null
        sums: Int64s = np.diff(np.append(0, np.cumsum(items))[ends], prepend=0)
        return sums
    if pa.types.is_struct(kind):
        fields = (text_bytes(field) for field in column.flatten())
        return sum(fields, start=np.zeros(len(column), dtype=np.int64))
    if pa.types.is_string(kind):
        lengths: Int64s = pc.fill_null(pc.binary_length(column), 0).to_numpy().astype(np.int64)
        return lengths
    return np.zeros(len(column), dtype=np.int64)
