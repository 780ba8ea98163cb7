"""Captions of a workspace out into a file: JSON lines, CSV or Parquet, some thousands at a time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.csv

from hfbucket.errors import WorkspaceError
from hfbucket.io.atomic import replacing
from hfbucket.io.tables import table_writer
from hfbucket.io.workspace.database import reading, some_rows

_BATCH: Final = 8192

CAPTIONS: Final = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("image_id", "key", "variant", "status", "source_id", "created")),
        pa.field("score", pa.float64()),
        pa.field("language", pa.string()),
        pa.field("text", pa.string()),
    ]
)
"""The columns of an exported file: what an import reads again."""

_NAMES: Final = ", ".join(f"images.{name}" if name == "key" else f"captions.{name}" for name in CAPTIONS.names)
_JSON: Final = "json_object(" + ", ".join(
    f"'{name}', {'images' if name == 'key' else 'captions'}.{name}" for name in CAPTIONS.names
) + ")"  # fmt: skip
_FROM: Final = (
    " FROM captions CROSS JOIN images USING (image_id) WHERE variant IN (SELECT value FROM json_each(:variants)) "
    "AND status IN (SELECT value FROM json_each(:statuses)) ORDER BY captions.image_id, variant"
)


def export_lines(path: str | os.PathLike[str], output: BinaryIO, values: Mapping[str, str]) -> int:
    """Write captions as JSON lines to an open file; return how many.

    Args:
        values: `variants` and `statuses`, JSON lists of those that are wanted.
    """
    count = 0
    for rows in _batches(path, f"SELECT {_JSON}{_FROM}", values):
        lines = b"\n".join(line for (line,) in rows) + b"\n"
        output.write(lines.decode("utf-8", "replace").encode("utf-8"))
        count += len(rows)
    return count


def export_file(path: str | os.PathLike[str], file: str, values: Mapping[str, str]) -> int:
    """Write captions as a file whose ending says of which kind: whole, or not at all; return how many.

    Raises:
        WorkspaceError: the ending is not known, or the workspace cannot be read.
    """
    ending = next((ending for ending in _WRITERS if file.lower().endswith(ending)), None)
    if ending is None:
        raise WorkspaceError(f"{file}: must end in {', '.join(_WRITERS)}")
    return _WRITERS[ending](path, file, values)


def variants_of(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of all variants, sorted by UTF-8."""
    with reading(path) as connection:
        names = connection.execute("SELECT variant FROM variants ORDER BY variant").fetchall()
    return tuple(name.decode("utf-8", "replace") for (name,) in names)


def _batches(path: str | os.PathLike[str], sql: str, values: Mapping[str, str]) -> Iterator[list[tuple[Any, ...]]]:
    with reading(path) as connection:
        cursor: sqlite3.Cursor = connection.execute(sql, values)
        yield from some_rows(cursor, text=-1, most=_BATCH)


def _tables(path: str | os.PathLike[str], values: Mapping[str, str]) -> Iterator[pa.Table]:
    for rows in _batches(path, f"SELECT {_NAMES}{_FROM}", values):
        columns = zip(*rows, strict=True)
        yield pa.table([_array(column, field.type) for column, field in zip(columns, CAPTIONS, strict=True)],
                       schema=CAPTIONS)  # fmt: skip


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if kind != pa.string():
        return pa.array(values, kind)
    raw = pa.array(values, pa.binary())
    try:
        return raw.cast(kind)
    except pa.ArrowInvalid:
        return pa.array([None if value is None else value.decode("utf-8", "replace") for value in values], kind)


def _write_json(path: str | os.PathLike[str], file: str, values: Mapping[str, str]) -> int:
    with _new_file(file) as temporary, temporary.open("wb") as output:
        return export_lines(path, output, values)


def _write_csv(path: str | os.PathLike[str], file: str, values: Mapping[str, str]) -> int:
    count = 0
    with (
        _new_file(file) as temporary,
        temporary.open("wb") as output,
        pyarrow.csv.CSVWriter(output, CAPTIONS) as writer,
    ):
        for table in _tables(path, values):
            writer.write_table(table)
            count += table.num_rows
    return count


def _write_parquet(path: str | os.PathLike[str], file: str, values: Mapping[str, str]) -> int:
    count = 0
    with table_writer(file, CAPTIONS) as writer:
        for table in _tables(path, values):
            writer.write_table(table)
            count += table.num_rows
    return count


@contextmanager
def _new_file(file: str) -> Iterator[Path]:
    Path(file).absolute().parent.mkdir(parents=True, exist_ok=True)
    with replacing(Path(file).absolute()) as temporary:
        yield temporary


_WRITERS: Final[Mapping[str, Callable[[str | os.PathLike[str], str, Mapping[str, str]], int]]] = {
    ".jsonl": _write_json,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
