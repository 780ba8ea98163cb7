"""Single row groups of Parquet files, here or elsewhere, by column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from hfbucket.io.places import Place
from hfbucket.io.seekable import Seekable
from hfbucket.io.tables import batches, parquet_at, parquet_of, rows_at_once

_GAP_BYTES = 8192
"""Bytes between two columns that are cheaper read than left out."""


def batches_in_groups(
    place: Place,
    groups: Sequence[int],
    *,
    rows: tuple[int, int] | None = None,
    most: int | None = None,
    size_bytes: int | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of row groups, only the named columns, some at a time: as many as `rows_at_once` says.

    Memory for these, of a file elsewhere for a row group.

    Args:
        rows: the first of all these rows that is wanted, and the one after the last.

    Raises:
        ArrowInvalid: it is no Parquet file.
    """
    with ExitStack() as stack:
        elsewhere = None if isinstance(place, Path) else stack.enter_context(place.open())
        file = stack.enter_context(parquet_of(elsewhere) if elsewhere else parquet_at(str(place)))
        names = list(columns or file.schema_arrow.names)
        stop = 0
        for group in groups:
            start, stop = stop, stop + file.metadata.row_group(group).num_rows
            first, last = rows or (start, stop)
            if first >= stop or last <= start:
                continue
            if elsewhere:
                at_once = rows_at_once(file, group, names, most=most, size_bytes=size_bytes)
                table = read_group(elsewhere, file.metadata, group, names)
                found = iter(table.combine_chunks().to_batches(max_chunksize=at_once))
            else:  # one thread: so few rows are not worth a second one
                found = batches(file, names, [group], most=most, size_bytes=size_bytes)
            for batch in found:
                wanted = batch.slice(max(0, first - start), max(0, last - max(first, start)))
                start += batch.num_rows
                if wanted.num_rows:
                    yield wanted


def read_group(file: BinaryIO, footer: pq.FileMetaData, group: int, columns: Sequence[str]) -> pa.Table:
    """Return one row group of an open Parquet file, only the named columns; neighbours in the file come in one read.

    The reading is done here instead of by pyarrow's pre-buffering, for the reason that `parquet_of` has.
    """
    pieces: list[tuple[int, bytes]] = []
    for start, stop in _chunk_ranges(footer.row_group(group), columns):
        file.seek(start)
        pieces.append((start, file.read(stop - start)))
    return parquet_of(_Pieces(pieces), metadata=footer).read_row_group(group, list(columns), use_threads=False)


def _chunk_ranges(row_group: pq.RowGroupMetaData, columns: Sequence[str]) -> list[tuple[int, int]]:
    """Return where the named columns lie, from byte to byte, ascending; what is close together is one range."""
    chunks = []
    for number in range(row_group.num_columns):
        chunk = row_group.column(number)
        if chunk.path_in_schema.partition(".")[0] in columns:
            start = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)))
            chunks.append((start, start + chunk.total_compressed_size))
    ranges: list[tuple[int, int]] = []
    for start, stop in sorted(chunks):
        if ranges and start - ranges[-1][1] <= _GAP_BYTES:
            ranges[-1] = (ranges[-1][0], stop)
        else:
            ranges.append((start, stop))
    return ranges


class _Pieces(Seekable):
    """A file of which only some pieces are there: (first byte, bytes), ascending."""

    def __init__(self, pieces: Sequence[tuple[int, bytes]]) -> None:
        super().__init__(pieces[-1][0] + len(pieces[-1][1]) if pieces else 0)
        self._pieces = pieces

    def pread(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of the piece that a place lies in."""
        for start, piece in self._pieces:
            if start <= offset < start + len(piece):
                return piece[offset - start : offset - start + size]
        return b""
