"""Parquet files, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hfbucket.errors import BuildError
from hfbucket.io.arrow import give_back
from hfbucket.io.atomic import replacing
from hfbucket.io.places import Place, Remote, made_here, place_of
from hfbucket.io.seekable import Seekable

ROW_GROUP_ROWS = 16_384
"""Rows of a row group where the writer does not say otherwise."""

_AT_ONCE_BYTES: Final = 1 << 23
"""Of rows that are read at a time: half a kilobyte for each of `ROW_GROUP_ROWS`."""

_SMALL: Final[Mapping[str, Any]] = {"compression": "zstd"}
_QUICK: Final[Mapping[str, Any]] = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
"""How a table is written that is kept, and one that is read once and deleted."""

_GAP_BYTES = 8192
"""Bytes between two columns that are cheaper read than left out."""


def write_table(
    place: str | Place,
    table: pa.Table,
    *,
    row_group_rows: int | None = None,
    metadata: Mapping[str, str] | None = None,
    flush: bool = True,
    quick: bool = False,
) -> None:
    """Write a table as one Parquet file, atomically, as `table_writer` does; `metadata` stands in its footer."""
    place = place if not isinstance(place, str) else place_of(place)
    with made_here(place) as here, table_writer(here, table.schema, flush=flush, quick=quick) as writer:
        light = max(1, table.num_rows * 2 * _AT_ONCE_BYTES // max(1, table.nbytes))  # a group is buffered
        writer.write_table(table, row_group_size=row_group_rows or min(ROW_GROUP_ROWS, light))
        if metadata is not None:  # as the schema's it would stand there twice, in pyarrow's own form of that, too
            writer.add_key_value_metadata(dict(metadata))


@contextmanager
def table_writer(
    path: str | os.PathLike[str], schema: pa.Schema, *, flush: bool = True, quick: bool = False
) -> Iterator[pq.ParquetWriter]:
    """Yield a writer whose file appears whole at `path` on leaving; each `write_table` starts a row group.

    Args:
        flush: as in `replacing`.
        quick: rather than small; for what is read back once, whole, and deleted.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with (
        replacing(Path(path), flush=flush) as temporary,
        temporary.open("wb") as file,
        # Page checksums let `verify` find damage in tables that no manifest has a hash of.
        pq.ParquetWriter(file, schema, write_page_checksum=True, **(_QUICK if quick else _SMALL)) as writer,
    ):
        yield writer


def read_table(path: str | os.PathLike[str] | Remote, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a Parquet file's rows, only the named columns, in the order they are named."""
    with _opened(path) as file:
        table = file.read(columns=None if columns is None else list(columns))
    return table if columns is None else table.select(list(columns))


def has_values(path: str | os.PathLike[str], column: str) -> bool:
    """Return whether a column of a Parquet file holds anything but nulls, by its footer."""
    with _opened(path) as file:
        groups = map(file.metadata.row_group, range(file.num_row_groups))
        chunks = (group.column(number) for group in groups for number in range(group.num_columns))
        return any(
            chunk.path_in_schema.partition(".")[0] == column
            and (chunk.statistics is None or chunk.num_values > (chunk.statistics.null_count or 0))
            for chunk in chunks
        )


def read_groups(path: str | os.PathLike[str], columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield a Parquet file's rows, only the named columns, a row group at a time, or some of one where it is large.

    Memory for these rows, and for the group's columns as they stand in the file.
    """
    with _opened(path) as file:
        rows = _rows_at_once([(file, columns)])
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(rows, row_groups=[group], columns=list(columns)):
                yield pa.Table.from_batches([batch]).select(list(columns))
                if rows < ROW_GROUP_ROWS:
                    del batch
                    give_back()


def read_beside(files: Sequence[tuple[str | os.PathLike[str], Sequence[str]]]) -> Iterator[tuple[pa.Table, ...]]:
    """Yield rows of files that have as many, the same of each at a time, only these columns, whatever their groups."""
    with ExitStack() as stack:
        opened = [(stack.enter_context(_opened(path)), list(columns)) for path, columns in files]
        rows = _rows_at_once(opened)
        for batches in zip(*(file.iter_batches(rows, columns=columns) for file, columns in opened), strict=True):
            tables = zip(map(pa.Table.from_batches, ([batch] for batch in batches)), opened, strict=True)
            yield tuple(table.select(columns) for table, (_, columns) in tables)
            if rows < ROW_GROUP_ROWS:
                del batches, tables
                give_back()


def _rows_at_once(opened: Sequence[tuple[pq.ParquetFile, Sequence[str]]]) -> int:
    """Return how many rows to read at a time of these columns of some files: fewer where a row is heavy."""
    row_bytes = sum(
        max((_row_bytes(file.metadata.row_group(group), columns) for group in range(file.num_row_groups)), default=0)
        for file, columns in opened
    )
    return max(1, min(ROW_GROUP_ROWS, int(_AT_ONCE_BYTES // max(1, row_bytes))))


def _row_bytes(group: pq.RowGroupMetaData, columns: Sequence[str]) -> float:
    chunks = map(group.column, range(group.num_columns))
    sizes = (chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.partition(".")[0] in columns)
    return float(sum(sizes) / max(1, group.num_rows))


def read_rows(path: str | os.PathLike[str] | Remote, rows: pa.Array, columns: Sequence[str]) -> pa.Table:
    """Return the rows at ascending positions (int64): memory for them and one row group.

    Row groups without any of them are not read.
    """
    wanted = rows.to_numpy(zero_copy_only=False)
    with _opened(path) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        starts = np.cumsum([0, *sizes])
        edges = np.searchsorted(wanted, starts)
        pieces = [
            file.read_row_group(group, columns=list(columns))
            .select(list(columns))
            .take(pa.array(wanted[edges[group] : edges[group + 1]] - starts[group]))
            for group in np.flatnonzero(np.diff(edges)).tolist()
        ]
        return pa.concat_tables(pieces or [file.schema_arrow.empty_table().select(list(columns))])


@contextmanager
def parquet_at(path: str | os.PathLike[str], **how: Any) -> Iterator[pq.ParquetFile]:  # noqa: ANN401 (of ParquetFile)
    """Yield a file of this machine as Parquet; as text pyarrow takes no name that is no UTF-8."""
    with pa.OSFile(os.fsencode(path)) as source, pq.ParquetFile(source, **how) as file:
        yield file


def parquet_of(file: BinaryIO | Seekable, **how: Any) -> pq.ParquetFile:  # noqa: ANN401 (of ParquetFile)
    """Return an open file of Python as Parquet, which only the calling thread reads; read it without `use_threads`.

    What pyarrow's own threads read ahead of such a file they may let go of when the process is about to end, and abort
    it (apache/arrow#45214).
    """
    return pq.ParquetFile(file, pre_buffer=False, **how)


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


def batches_in_group(
    place: Place, group: int, *, rows_at_once: int = ROW_GROUP_ROWS, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of one row group, only the named columns: from this machine with memory for some of them.

    Raises:
        ArrowInvalid: it is no Parquet file.
    """
    if isinstance(place, Path):
        with parquet_at(place) as parquet:
            # One thread: so few rows are not worth a second one.
            yield from parquet.iter_batches(
                batch_size=rows_at_once, row_groups=[group], columns=columns, use_threads=False
            )
        return
    with place.open() as file:
        footer = pq.read_metadata(file)
        table = read_group(file, footer, group, columns or footer.schema.to_arrow_schema().names)
    yield from table.combine_chunks().to_batches(max_chunksize=rows_at_once)


def read_where(file: BinaryIO, column: str, value: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of an open Parquet file whose text `column` is `value`, only the named columns.

    Row groups that by their statistics cannot hold the value are not read.

    Raises:
        ArrowInvalid: a column is missing.
    """
    parquet = parquet_of(file)
    empty = parquet.schema_arrow.empty_table()
    names = empty.column_names if columns is None else list(columns)
    if missing := sorted({*names, column} - set(empty.column_names)):
        raise pa.ArrowInvalid(f"has no column {', '.join(missing)}")
    return pa.concat_tables([empty.select(names), *_pieces_where(parquet, column, value, names)])


def read_pieces_where(file: BinaryIO, column: str, value: str) -> Iterator[pa.Table]:
    """Yield what `read_where` returns of all columns, some rows at a time."""
    parquet = parquet_of(file)
    return _pieces_where(parquet, column, value, parquet.schema_arrow.names)


def _pieces_where(parquet: pq.ParquetFile, column: str, value: str, names: Sequence[str]) -> Iterator[pa.Table]:
    import pyarrow.compute as pc  # who writes is spared it

    columns = list(dict.fromkeys([*names, column]))
    footer, rows = parquet.metadata, _rows_at_once([(parquet, columns)])
    groups = [group for group in range(footer.num_row_groups) if _may_hold(footer, group, column, value)]
    for batch in parquet.iter_batches(rows, row_groups=groups, columns=columns, use_threads=False):
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


@contextmanager
def _opened(path: str | os.PathLike[str] | Remote) -> Iterator[pq.ParquetFile]:
    """Yield a file of ours to read, every page checked; one elsewhere is brought here as a whole first.

    Raises:
        BuildError: it is damaged.
    """
    try:
        with (
            parquet_of(pa.BufferReader(path.read_bytes()), page_checksum_verification=True)
            if isinstance(path, Remote)
            else parquet_at(path, page_checksum_verification=True)
        ) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk says so itself
            raise
        reason = " ".join(str(error).split())
        raise BuildError(f"{path}: is damaged ({reason}): delete it and run the same command again") from error
