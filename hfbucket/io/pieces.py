"""Rows that come bit by bit and are gone through several times: in memory while they are few, then in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final, cast

import pyarrow as pa

from hfbucket.errors import BuildError
from hfbucket.io.arrow import give_back

_MOST_BYTES: Final = 1 << 25
"""Of rows in memory."""

_PACKED: Final = pa.ipc.IpcWriteOptions(compression="lz4")


class Pieces:
    """Tables of one schema, one after another.

    Args:
        aside: the folder for a temporary file, which has no name there and is gone when this is; None for the system's.
    """

    def __init__(self, schema: pa.Schema, aside: Path | None = None) -> None:
        self.schema, self.num_rows = schema, 0
        self._aside = aside
        self._here: list[pa.Table] = []
        self._here_bytes = 0
        self._file: BinaryIO | None = None
        #: Of every table in the file, where each column begins there, and how long it is.
        self._there: list[dict[str, tuple[int, int]]] = []

    @classmethod
    def of(cls, table: pa.Table) -> Pieces:
        """Return a table, which stays in memory."""
        pieces = cls(table.schema)
        pieces.num_rows, pieces._here = table.num_rows, [table]
        return pieces

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, table: pa.Table) -> None:
        """Take the next rows.

        Raises:
            BuildError: there is no room for the file.
        """
        self.num_rows += table.num_rows
        self._here.append(table)
        self._here_bytes += table.nbytes
        if self._here_bytes > _MOST_BYTES or self._file is not None:
            self._put_aside()

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield all tables, only the named columns: memory for one of them, where they are many."""
        names = self.schema.names if columns is None else list(columns)
        schema = pa.schema([self.schema.field(name) for name in names])
        for places in self._there:
            yield pa.table([self._read(*places[name]) for name in names], schema=schema)
        for table in self._here:
            yield table.select(names)

    def chunks_of(self, column: str) -> Iterator[pa.Array]:
        """Yield the chunks of a column."""
        for table in self.tables([column]):
            yield from table[column].chunks

    def read(self) -> pa.Table:
        """Return all rows."""
        return pa.concat_tables([self.schema.empty_table(), *self.tables()])

    def _put_aside(self) -> None:
        try:
            if self._file is None:
                if self._aside is not None:
                    self._aside.mkdir(parents=True, exist_ok=True)
                self._file = cast("BinaryIO", TemporaryFile(dir=self._aside))  # noqa: SIM115 - closed on leaving
            for table in self._here:
                self._there.append({name: self._write(self._file, table.select([name])) for name in table.column_names})
            self._file.flush()
        except OSError as error:
            with suppress(OSError):  # that would be the same again
                self.__exit__()
            where = self._aside or "the folder for temporary files"
            raise BuildError(f"{where}: rows of a large source cannot be kept there: {error}") from error
        self._here, self._here_bytes = [], 0
        give_back()

    @staticmethod
    def _write(file: BinaryIO, column: pa.Table) -> tuple[int, int]:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, column.schema, options=_PACKED) as writer:
            writer.write_table(column)
        start = file.tell()
        file.write(sink.getvalue())
        return start, file.tell() - start

    def _read(self, start: int, size_bytes: int) -> pa.ChunkedArray:
        assert self._file is not None
        self._file.seek(start)
        with pa.ipc.open_stream(self._file.read(size_bytes)) as reader:
            return reader.read_all().column(0)
