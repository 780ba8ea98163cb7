"""Parquet files, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hfbucket.core.row_groups import RowGroups
from hfbucket.errors import BuildError
from hfbucket.io.arrow import give_back
from hfbucket.io.atomic import replacing
from hfbucket.io.places import Place, Remote, made_here, place_of
from hfbucket.io.seekable import Seekable

ROW_GROUP_ROWS = 16_384
"""Rows of a row group where the writer does not say otherwise."""

GROUP_BYTES: Final = 1 << 24
"""Of captions and metadata: a row group ends where it has so many, for it is buffered, and read as a whole."""

AT_ONCE_BYTES: Final = 1 << 23
"""Of rows that are read at a time: half a kilobyte for each of `ROW_GROUP_ROWS`."""

_HEAVY_BYTES: Final = AT_ONCE_BYTES // 2
"""Of rows after which memory goes back to the system."""

_SMALL: Final[Mapping[str, Any]] = {"compression": "zstd"}
_QUICK: Final[Mapping[str, Any]] = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
"""How a table is written that is kept, and one that is read once and deleted."""

BUFFER_BYTES: Final = 1 << 18
"""Of a column that are read from a file at a time: its pages are unpacked as they come, not all held packed before."""


def write_table(
    place: str | Place,
    table: pa.Table,
    *,
    row_group_rows: int | None = None,
    metadata: Mapping[str, str] | None = None,
    flush: bool = True,
    quick: bool = False,
) -> None:
    """Write a table as one Parquet file, atomically, as `group_writer` does; `metadata` stands in its footer."""
    place = place if not isinstance(place, str) else place_of(place)
    most_rows = row_group_rows or ROW_GROUP_ROWS
    with made_here(place) as here, group_writer(here, table.schema, most_rows, flush=flush, quick=quick) as writer:
        writer.add(table)
        writer.end(metadata or {})


class GroupWriter:
    """Writes rows, as they come, in row groups that end by rows or by bytes of text (`core/row_groups.py`).

    Args:
        begin: gives the writer of the file, which nothing is of before a row group is full or the rows end.
    """

    def __init__(self, begin: Callable[[], pq.ParquetWriter], schema: pa.Schema, most_rows: int) -> None:
        self._begin = begin
        self._writer: pq.ParquetWriter | None = None
        self._groups = RowGroups(schema, most_rows=most_rows, most_bytes=GROUP_BYTES)
        #: How many rows it was given.
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        """Take some rows."""
        self.rows += table.num_rows
        self._write(self._groups.add(table))

    def end(self, metadata: Mapping[str, str]) -> None:
        """Write what is left, and what is to stand in the file's footer; no rows come after that."""
        self._write(self._groups.rest())
        # As the schema's it would stand there twice, in pyarrow's own form of that, too.
        self._begun().add_key_value_metadata(dict(metadata))

    def _begun(self) -> pq.ParquetWriter:
        if self._writer is None:
            self._writer = self._begin()
        return self._writer

    def _write(self, groups: Iterator[pa.Table]) -> None:
        for group in groups:
            self._begun().write_table(group, row_group_size=group.num_rows)
            heavy = group.nbytes >= GROUP_BYTES
            del group
            if heavy:
                give_back()


@contextmanager
def group_writer(
    path: str | os.PathLike[str], schema: pa.Schema, most_rows: int, *, flush: bool = True, quick: bool = False
) -> Iterator[GroupWriter]:
    """Yield a writer of rows whose file appears whole at `path` on leaving; as `table_writer`."""
    with ExitStack() as stack:
        begin = partial(table_writer, path, schema, flush=flush, quick=quick)
        writer = GroupWriter(lambda: stack.enter_context(begin()), schema, most_rows)
        yield writer
        writer.end({})


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
    """Yield a Parquet file's rows, only the named columns, a row group at a time, or some of one where it is heavy."""
    for (table,) in read_beside([(path, columns)]):
        yield table


def read_beside(files: Sequence[tuple[str | os.PathLike[str], Sequence[str]]]) -> Iterator[tuple[pa.Table, ...]]:
    """Yield rows of files that have as many, the same of each at a time, only these columns, whatever their groups."""
    with ExitStack() as stack:
        streams = [batches(stack.enter_context(_opened(path)), columns, use_threads=True) for path, columns in files]
        held: list[Any] = [next(stream, None) for stream in streams]
        while all(batch is not None for batch in held):
            rows = min(map(len, held))
            heavy = sum(batch.nbytes for batch in held) >= _HEAVY_BYTES
            yield tuple(
                pa.Table.from_batches([batch.slice(0, rows)]).select(list(columns))
                for batch, (_, columns) in zip(held, files, strict=True)
            )
            held = [batch.slice(rows) if len(batch) > rows else None for batch in held]
            if heavy:
                give_back()
            held = [next(stream, None) if rest is None else rest for rest, stream in zip(held, streams, strict=True)]
        if any(batch is not None for batch in held):
            raise ValueError("files that are read side by side must have as many rows")


def batches(
    file: pq.ParquetFile,
    columns: Sequence[str] | None = None,
    groups: Sequence[int] | None = None,
    *,
    most: int | None = None,
    size_bytes: int | None = None,
    use_threads: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Yield rows of an open file, of all or some row groups, as many at a time as `rows_at_once` says.

    One row group after another: a reader of several keeps what it read of each to the end.
    """
    names = list(file.schema_arrow.names if columns is None else columns)
    for group in range(file.num_row_groups) if groups is None else groups:
        rows = rows_at_once(file, group, names, most=most, size_bytes=size_bytes)
        yield from file.iter_batches(rows, row_groups=[group], columns=names, use_threads=use_threads)


def rows_at_once(
    file: pq.ParquetFile,
    group: int,
    columns: Sequence[str],
    *,
    most: int | None = None,
    size_bytes: int | None = None,
) -> int:
    """Return how many rows of a row group to read at a time: `most`, fewer where these columns are heavy."""
    row_bytes = _row_bytes(file.metadata.row_group(group), columns)
    return max(1, min(most or ROW_GROUP_ROWS, int((size_bytes or AT_ONCE_BYTES) // max(1, row_bytes))))


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
            else parquet_at(path, page_checksum_verification=True, buffer_size=BUFFER_BYTES)
        ) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk says so itself
            raise
        reason = " ".join(str(error).split())
        raise BuildError(f"{path}: is damaged ({reason}): delete it and run the same command again") from error
