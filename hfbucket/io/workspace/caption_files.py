"""Files with captions for many images, read as rows some megabytes at a time: JSON lines, CSV, Parquet, text files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from hfbucket.core.meta import raw_bytes
from hfbucket.core.workspace.brought import BROUGHT, LONGEST_CAPTION_BYTES
from hfbucket.errors import WorkspaceError
from hfbucket.io import store
from hfbucket.io.tables import BUFFER_BYTES, batches, parquet_of

_BLOCK_BYTES: Final = 8 << 20
_CSV_BLOCK_BYTES: Final = 12 << 20
"""A row of CSV must fit, and pyarrow reads some of them ahead."""

_LONGEST_LINE_BYTES: Final = 256 << 20
_ROWS: Final = 16_384
_FILES: Final = 1_000
_TEXT: Final = ".txt"

ENDINGS: Final = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Some rows of a file."""

    #: Schema BROUGHT.
    table: pa.Table
    #: The beginnings of rows that cannot be read.
    unreadable: tuple[str, ...] = ()


def read_captions(file: str, columns: Mapping[str, str]) -> Iterator[Rows]:
    """Yield the rows of a file, or for a folder one for each `.txt` file below it; `-` is JSON lines on stdin.

    Args:
        columns: columns of the file to what of BROUGHT they are; if two are the same, the first that is not null.

    Raises:
        WorkspaceError: there is no such file, it is of no known kind, or it is damaged.
    """
    if file == "-":
        yield from _json_lines(sys.stdin.buffer, columns)
        return
    kind = store.kind_of(file)
    if kind == "nothing":
        raise WorkspaceError(f"{file}: no such file or folder")
    if kind == "folder":
        yield from _text_files(file)
        return
    ending = next((ending for ending in ENDINGS if file.lower().endswith(ending)), None)
    if ending is None:
        raise WorkspaceError(f"{file}: must end in {', '.join(ENDINGS)}, or be a folder of .txt files")
    with _damage(file), store.open_seekable(file) as opened:
        yield from _READERS[ending](opened, columns)


@contextmanager
def _damage(file: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, KeyError) as error:
        raise WorkspaceError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error


def _schema(columns: Mapping[str, str]) -> pa.Schema:
    return pa.schema([(name, BROUGHT.field(meaning).type) for name, meaning in columns.items()])


def _rows(table: pa.Table, columns: Mapping[str, str]) -> pa.Table:
    """Return a file's columns under the names of BROUGHT."""
    found: dict[str, list[pa.ChunkedArray]] = {}
    for name, meaning in columns.items():
        if name in table.column_names:
            kind = BROUGHT.field(meaning).type
            column = table[name]
            known = column.cast(kind) if _is_text(column.type) or kind != pa.binary() else column.cast(pa.string())
            found.setdefault(meaning, []).append(known.cast(kind))
    arrays = [
        pc.coalesce(*found[field.name]) if field.name in found else pa.nulls(table.num_rows, field.type)
        for field in BROUGHT
    ]
    return pa.table(arrays, schema=BROUGHT)


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_binary(kind) or types.is_large_string(kind)
                or types.is_large_binary(kind) or types.is_null(kind))  # fmt: skip


def _json_lines(file: BinaryIO, columns: Mapping[str, str]) -> Iterator[Rows]:
    schema = _schema(columns)
    for block in _blocks(file):
        try:
            table = pyarrow.json.read_json(
                pa.BufferReader(block),
                read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
                parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
            )
            yield Rows(table=_rows(table, columns))
        except (pa.ArrowException, UnicodeDecodeError):  # some line is odd: each is looked at alone
            yield _line_by_line(block, schema, columns)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines, some megabytes at a time; of a pipe what is there, so that nothing waits in it."""
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)
    rest = b""
    while data := read(_BLOCK_BYTES):
        head, newline, tail = data.rpartition(b"\n")
        if newline:
            if (block := rest + head).strip():
                yield block
            rest = tail
        else:
            rest += data
        if len(rest) > _LONGEST_LINE_BYTES:
            raise WorkspaceError(f"a line has more than {_LONGEST_LINE_BYTES} bytes: is this a file of JSON lines?")
    if rest.strip():
        yield rest


def _line_by_line(block: bytes, schema: pa.Schema, columns: Mapping[str, str]) -> Rows:
    rows: list[dict[str, Any]] = []
    unreadable = []
    for line in block.split(b"\n"):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig", "surrogateescape"))
            rows.append({field.name: _value(row, field) for field in schema})
        except (ValueError, RecursionError, TypeError):
            unreadable.append(line[:80].decode("utf-8", "replace"))
    table = pa.Table.from_pylist(rows, schema=schema)
    return Rows(table=_rows(table, columns), unreadable=tuple(unreadable))


def _value(row: object, field: pa.Field) -> bytes | float | None:
    """Return one field of a JSON object; TypeError where it is none, or the value is of another kind."""
    if not isinstance(row, dict):
        raise TypeError
    value = row.get(field.name)
    if value is None:
        return None
    if field.type == pa.float64():
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool):  # an id
        value = str(value)
    if not isinstance(value, str):
        raise TypeError
    return raw_bytes(value)


def _csv(delimiter: str) -> Callable[[BinaryIO, Mapping[str, str]], Iterator[Rows]]:
    def read(file: BinaryIO, columns: Mapping[str, str]) -> Iterator[Rows]:
        bad: list[str] = []

        def skip(row: Any) -> str:  # noqa: ANN401 (pyarrow.csv.InvalidRow)
            bad.append(str(row.text)[:80])
            return "skip"

        reader = pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=_schema(columns), include_columns=list(columns), include_missing_columns=True
            ),
        )
        for batch in reader:
            table = _rows(pa.Table.from_batches([batch]), columns)
            for start in range(0, table.num_rows, _ROWS):
                yield Rows(table=table.slice(start, _ROWS), unreadable=tuple(bad))
                bad.clear()
        if bad:
            yield Rows(table=BROUGHT.empty_table(), unreadable=tuple(bad))

    return read


def _parquet(file: BinaryIO, columns: Mapping[str, str]) -> Iterator[Rows]:
    with parquet_of(file, buffer_size=BUFFER_BYTES) as parquet:
        names = [name for name in columns if name in parquet.schema_arrow.names]
        for batch in batches(parquet, names, most=_ROWS, size_bytes=_CSV_BLOCK_BYTES):
            yield Rows(table=_rows(pa.Table.from_batches([batch]), columns))


_READERS: Final[Mapping[str, Callable[[BinaryIO, Mapping[str, str]], Iterator[Rows]]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _csv(","),
    ".tsv": _csv("\t"),
    ".parquet": _parquet,
}


def _text_files(folder: str) -> Iterator[Rows]:
    root = store.absolute(folder)
    paths = [file.path for file in store.walk(root) if file.path.lower().endswith(_TEXT.encode())]
    if not paths:
        raise WorkspaceError(f"{folder}: holds no .txt files")
    for start in range(0, len(paths), _FILES):
        some = paths[start : start + _FILES]
        limit = LONGEST_CAPTION_BYTES + 1
        texts = [store.read_bytes(store.join(root, path), limit_bytes=limit) for path in some]
        table = pa.table({"stem": [path[: -len(_TEXT)] for path in some], "text": texts})
        yield Rows(table=_rows(table, {"stem": "stem", "text": "text"}))
