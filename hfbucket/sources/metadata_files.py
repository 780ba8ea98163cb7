"""metadata.jsonl, .csv and .parquet in the imagefolder convention: a row per image, named by `file_name`."""

from __future__ import annotations

import csv
import io
import json
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa

from hfbucket.core.keys import text_of
from hfbucket.core.meta import meta_json, parse_json, raw_bytes
from hfbucket.errors import SourceError
from hfbucket.io import store
from hfbucket.io.tables import parquet_of

NAMES: Final = (b"metadata.jsonl", b"metadata.csv", b"metadata.parquet")
FILE_NAME: Final = "file_name"
_LONGEST_CELL: Final = 1 << 30


def is_metadata(path: bytes) -> bool:
    """Return whether a file is one of these, by its name."""
    return path.rpartition(b"/")[2] in NAMES


def read_all(root: str, paths: Iterable[bytes], texts: Iterable[str]) -> tuple[dict[bytes, str], list[str]]:
    """Return the row, as JSON text, of every file that metadata files name, and what a user should be told.

    Where several files name one image, the one nearest to it wins.

    Args:
        root: what `paths` and the result's keys lie below.
        texts: columns that stay text in CSV, whatever they look like.

    Raises:
        SourceError: a file cannot be parsed, or two of one folder name the same image.
    """
    rows: dict[bytes, str] = {}
    owner: dict[bytes, bytes] = {}
    notes: list[str] = []
    for path in sorted(paths, key=lambda path: (path.count(b"/"), path)):
        own, told = _read(root, path, frozenset(texts))
        notes += told
        for place in own:
            _refuse_two(owner.get(place), path, place)
            owner[place] = path
        rows |= own
    return rows, notes


def _read(root: str, path: bytes, texts: frozenset[str]) -> tuple[dict[bytes, str], list[str]]:
    """Return what one file says, by path below the root, and what of it is not used."""
    where = text_of(path)
    kind = path.rpartition(b".")[2]
    parse = {b"jsonl": _json_lines, b"csv": _csv_rows, b"parquet": _parquet_rows}[kind]
    own: dict[bytes, str] = {}
    unnamed: list[int] = []
    outside: list[str] = []
    again: list[str] = []
    for number, row in enumerate(parse(store.join(root, path), where, texts), start=1):
        name = row.pop(FILE_NAME, None)
        if not isinstance(name, str) or not name:
            unnamed.append(number)
            if number == 1 and name is None:
                columns = ", ".join(map(str, row)) or "none"
                return {}, [f"{where} has no {FILE_NAME} in its first row (it has {columns}): not used"]
        elif (place := _below(path.rpartition(b"/")[0], name)) is None:
            outside.append(name)
        elif place in own:
            again.append(name)
        else:
            own[place] = meta_json(row) if kind == b"parquet" else json.dumps(row)
    told: list[tuple[Sequence[object], str]] = [
        (unnamed, "rows have no file_name, such as row"),
        (outside, "rows name files that are not below the source, such as"),
        (again, "rows name a file that an earlier one names, such as"),
    ]
    return own, [f"{where}: {len(found)} {what} {found[0]}: not used" for found, what in told if found]


def _refuse_two(first: bytes | None, second: bytes, place: bytes) -> None:
    if first is not None and first.rpartition(b"/")[0] == second.rpartition(b"/")[0]:
        names = f"{text_of(first)} and {text_of(second)}"
        raise SourceError(f"{names} both name {text_of(place)}: keep one metadata file per folder")


def _below(folder: bytes, name: str) -> bytes | None:
    """Return the path below the root that a file name in a folder's metadata means; None where it leads outside."""
    place = raw_bytes(name)
    if b"/" not in folder + place and place not in (b".", b".."):
        return folder + b"/" + place if folder else place
    path = posixpath.normpath(posixpath.join(folder, place))
    return None if path.startswith((b"/", b"../")) or path in (b"..", b".") else path


def _json_lines(url: str, where: str, texts: frozenset[str]) -> Iterator[dict[str, Any]]:
    text = store.read_bytes(url).decode("utf-8-sig", "surrogateescape")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            row = parse_json(line)
            if not isinstance(row, dict):
                raise SourceError(f"{where}: line {number} must be a JSON object, got {line.strip()!r:.80}")
            yield row


def _csv_rows(url: str, where: str, texts: frozenset[str]) -> Iterator[dict[str, Any]]:
    text = store.read_bytes(url).decode("utf-8-sig", "surrogateescape")
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True))
    except csv.Error as error:
        raise SourceError(f"{where}: cannot be read as CSV: {error}") from error
    finally:
        csv.field_size_limit(before)
    if any("" in row for row in rows):
        raise SourceError(f"{where}: a row has more cells than the first line has names")
    for column in rows[0] if rows else ():
        if column not in texts and column != FILE_NAME:
            _give_type(rows, column)
    yield from rows


def _give_type(rows: list[dict[str, Any]], column: str) -> None:
    """Make a column of CSV text numbers where every cell is one, written as JSON would; empty cells become null."""
    cells = [row[column] or None for row in rows]
    numbers = [None if cell is None else parse_json(cell) for cell in cells]
    plain = all(
        cell is None or (isinstance(number, (int, float)) and not isinstance(number, bool))
        for cell, number in zip(cells, numbers, strict=True)
    )
    for row, cell, number in zip(rows, cells, numbers, strict=True):
        row[column] = number if plain else cell


def _parquet_rows(url: str, where: str, texts: frozenset[str]) -> Iterator[dict[str, Any]]:
    try:
        with store.open_seekable(url) as opened, parquet_of(opened) as file:
            for batch in file.iter_batches(use_threads=False):
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise SourceError(f"{where}: cannot be read as Parquet: {error}") from error
