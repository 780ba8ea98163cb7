"""Rows cut into row groups that end by rows or by bytes of text, and that the rows alone decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from hfbucket.core.text_bytes import row_bytes


class RowGroups:
    """Gathers rows: memory for those of one row group, one column and one table.

    A group ends with the row that makes it `most_rows` long or `most_bytes` of text heavy, however tables are cut.
    """

    def __init__(self, schema: pa.Schema, *, most_rows: int, most_bytes: int) -> None:
        self._schema, self._most_rows, self._most_bytes = schema, most_rows, most_bytes
        self._waiting: list[list[pa.Array]] = [[] for _ in schema]
        self._rows = self._weight = 0

    def add(self, table: pa.Table) -> Iterator[pa.Table]:
        """Take rows, and yield every group that is complete with them."""
        heavy = np.cumsum(row_bytes(table))
        start = before = 0
        while start < table.num_rows:
            ends = int(np.searchsorted(heavy, before + self._most_bytes - self._weight)) + 1
            piece = table.slice(start, min(ends - start, self._most_rows - self._rows))
            for chunks, column in zip(self._waiting, piece.columns, strict=True):
                chunks += column.chunks
            start, self._rows = start + piece.num_rows, self._rows + piece.num_rows
            self._weight, before = self._weight + int(heavy[start - 1]) - before, int(heavy[start - 1])
            if self._rows == self._most_rows or self._weight >= self._most_bytes:
                yield self._group()

    def rest(self) -> Iterator[pa.Table]:
        """Yield the last group, where rows are left for one."""
        if self._rows:
            yield self._group()

    def _group(self) -> pa.Table:
        self._rows = self._weight = 0
        return pa.table(list(map(_joined, self._waiting)), schema=self._schema)


def regrouped(tables: Iterable[pa.Table], schema: pa.Schema, *, most_rows: int, most_bytes: int) -> Iterator[pa.Table]:
    """Yield the rows of all tables again, as the groups of `RowGroups`."""
    groups = RowGroups(schema, most_rows=most_rows, most_bytes=most_bytes)
    for table in tables:
        yield from groups.add(table)
    yield from groups.rest()


def _joined(chunks: list[pa.Array]) -> pa.Array:
    """Return arrays as one, and let go of them."""
    whole = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
    chunks.clear()
    return whole
