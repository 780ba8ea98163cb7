"""Rows of a Parquet file by the value of one of their columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hfbucket.io.tables import BUFFER_BYTES, batches, parquet_of


def read_where(file: BinaryIO, column: str, value: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of an open Parquet file whose text `column` is `value`, only the named columns.

    Row groups that by their statistics cannot hold the value are not read.

    Raises:
        ArrowInvalid: a column is missing.
    """
    parquet = parquet_of(file, buffer_size=BUFFER_BYTES)
    empty = parquet.schema_arrow.empty_table()
    names = empty.column_names if columns is None else list(columns)
    if missing := sorted({*names, column} - set(empty.column_names)):
        raise pa.ArrowInvalid(f"has no column {', '.join(missing)}")
    return pa.concat_tables([empty.select(names), *_pieces_where(parquet, column, value, names)])


def read_pieces_where(file: BinaryIO, column: str, value: str) -> Iterator[pa.Table]:
    """Yield what `read_where` returns of all columns, some rows at a time."""
    parquet = parquet_of(file, buffer_size=BUFFER_BYTES)
    return _pieces_where(parquet, column, value, parquet.schema_arrow.names)


def _pieces_where(parquet: pq.ParquetFile, column: str, value: str, names: Sequence[str]) -> Iterator[pa.Table]:
    columns = list(dict.fromkeys([*names, column]))
    footer = parquet.metadata
    groups = [group for group in range(footer.num_row_groups) if _may_hold(footer, group, column, value)]
    for batch in batches(parquet, columns, groups):
        found = pa.Table.from_batches([batch])
        yield found.filter(pc.equal(found[column], value)).select(names)


def _may_hold(metadata: pq.FileMetaData, group: int, column: str, value: str) -> bool:
    row_group = metadata.row_group(group)
    for number in range(row_group.num_columns):
        chunk = row_group.column(number)
        if chunk.path_in_schema == column:
            statistics = chunk.statistics
            known = statistics is not None and statistics.has_min_max and isinstance(statistics.min, str)
            return not known or statistics.min <= value <= statistics.max
    return True
