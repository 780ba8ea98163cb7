"""Annotation files: JSON, JSONL, CSV, TSV, Parquet, read record by record."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

import pyarrow as pa

from hfbucket.core.keys import text_of
from hfbucket.core.meta import parse_json
from hfbucket.errors import SourceError
from hfbucket.io import store
from hfbucket.io.tables import parquet_of
from hfbucket.sources.annotations.fields import has_captions, names_images
from hfbucket.sources.annotations.json_items import ARRAYS, first_items, json_items

EXTENSIONS: Final = ("json", "jsonl", "ndjson", "csv", "tsv", "txt", "parquet")
"""Of files that may be annotations."""

_HEAD_BYTES: Final = 64 << 10
_LONGEST_CELL: Final = 32 << 20
_PARQUET: Final = b"PAR1"
_GZIP: Final = b"\x1f\x8b"

Record = tuple[str, Any]
"""The array that a record stands in (`images` of COCO, else any other name), and the record."""


def name_of(url: str) -> str:
    """Return a file's name for people."""
    return text_of(store.split_name(url)[1])


def records(url: str) -> Iterator[Record]:
    """Yield the records of an annotation file, in its order.

    Raises:
        SourceError: it is empty, or what it is cannot be read.
    """
    head = store.read_bytes(url, limit_bytes=_HEAD_BYTES)[:_HEAD_BYTES]
    where = name_of(url)
    if not head.strip():
        raise SourceError(f"{where}: is empty: a record for every image was expected")
    if head.startswith(_GZIP):
        raise SourceError(f"{where}: is gzipped, which is not read: unpack it first")
    kind = _kind(where, head)
    if kind == "csv":
        return _csv_records(url, where, _delimiter(_decoded(head)))
    return _json_records(url, where) if kind == "json" else _parquet_records(url, where)


def looks_like_annotations(url: str, columns: Sequence[str]) -> bool:
    """Return whether a file's beginning is that of records that name images and their captions.

    Args:
        columns: further fields that hold captions.
    """
    head = store.read_bytes(url, limit_bytes=_HEAD_BYTES)[:_HEAD_BYTES]
    kind = _kind(name_of(url), head)
    if not head.strip():
        return False
    if kind == "parquet":
        return _table_of_annotations(url, columns)
    text = _decoded(head)
    if kind == "json":
        return _json_of_annotations(text, columns)
    header = next(csv.reader(io.StringIO(text), delimiter=_delimiter(text)), [])
    return names_images(header) and has_captions(header, columns)


def _json_of_annotations(text: str, columns: Sequence[str]) -> bool:
    alone = parse_json(text)
    if isinstance(alone, dict) and not any(isinstance(alone.get(array), list) for array in ARRAYS):
        return False  # of one image, which may be gone
    firsts = dict(first_items(text) or ())
    if "images" in firsts and len(firsts) == 1:  # captions come further on
        return isinstance(firsts["images"], dict) and {"id", "file_name"} <= firsts["images"].keys()
    return any(
        isinstance(item, dict) and names_images(item) and has_captions(item, columns)
        for name, item in firsts.items()
        if name != "images"
    )


def _table_of_annotations(url: str, columns: Sequence[str]) -> bool:
    try:
        with store.open_seekable(url) as opened, parquet_of(opened) as file:
            schema = file.schema_arrow
    except (pa.ArrowException, OSError):
        return False
    texts = [field.name for field in schema if _is_text(field.type)]
    return names_images(texts) and has_captions(texts, columns)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view())


def _kind(where: str, head: bytes) -> str:
    extension = where.rpartition(".")[2].lower()
    if head.startswith(_PARQUET):
        return "parquet"
    if extension in ("json", "jsonl", "ndjson"):
        return "json"
    if extension in ("csv", "tsv"):
        return "csv"
    return "json" if _decoded(head).lstrip()[:1] in ("{", "[") else "csv"


def _decoded(head: bytes) -> str:
    return head.decode("utf-8-sig", "surrogateescape")


def _delimiter(header: str) -> str:
    first = header.partition("\n")[0]
    return max(",\t;|", key=first.count)


@contextmanager
def _text_file(url: str, newline: str) -> Iterator[TextIO]:
    with (
        store.open_seekable(url) as raw,
        io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline=newline) as text,
    ):
        yield text


def _json_records(url: str, where: str) -> Iterator[Record]:
    with _text_file(url, "\n") as file:
        yield from json_items(file, where)


def _csv_records(url: str, where: str, delimiter: str) -> Iterator[Record]:
    numbers: set[str] | None = None
    for row in _csv_rows(url, where, delimiter):  # once for the columns that are numbers in every row
        known = set(row) if numbers is None else numbers
        numbers = {name for name in known if name not in row or isinstance(_number(row[name]), (int, float))}
        if not numbers:
            break
    for row in _csv_rows(url, where, delimiter):
        for name in numbers or ():
            if name in row and not names_images([name]):
                row[name] = _number(row[name])
        yield "", row


def _csv_rows(url: str, where: str, delimiter: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a CSV file as text, without empty cells."""
    before = csv.field_size_limit(_LONGEST_CELL)
    line = 1
    try:
        with _text_file(url, "") as file:
            rows = csv.reader(file, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(rows, [])]
            if not names_images(header):
                names = ", ".join(header)
                raise SourceError(f"{where}: its first line has no column that names images (it has: {names})")
            for row in rows:
                line = rows.line_num
                if len(row) > len(header):
                    raise SourceError(f"{where}: line {line} has {len(row)} cells, the first line {len(header)}")
                if row:
                    yield {name: cell for name, cell in zip(header, row, strict=False) if cell}
    except csv.Error as error:
        raise SourceError(f"{where}: after line {line}: cannot be read as CSV: {error}") from error
    finally:
        csv.field_size_limit(before)


def _number(cell: str) -> float | None:
    """Return the number that a cell is, written as JSON would; None for anything else."""
    value = parse_json(cell) if cell[:1] in "-0123456789" else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _parquet_records(url: str, where: str) -> Iterator[Record]:
    try:
        with store.open_seekable(url) as opened, parquet_of(opened) as file:
            kept = [field.name for field in file.schema_arrow if not _has_bytes(field.type)]
            for batch in file.iter_batches(columns=kept, use_threads=False):
                yield from (("", row) for row in batch.to_pylist())
    except pa.ArrowException as error:
        raise SourceError(f"{where}: cannot be read as Parquet: {error}") from error


def _has_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_bytes(kind.field(number).type) for number in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
