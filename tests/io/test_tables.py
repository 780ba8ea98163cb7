"""Tables: rows of one value out of an open Parquet file."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket.io.row_groups import read_group
from hfbucket.io.table_search import read_where
from hfbucket.io.tables import parquet_of, read_beside, read_groups, read_table, write_table

ROWS = pa.table({"shard": ["a", "a", "b", None, "ü", "ü"], "number": [1, 2, 3, 4, 5, 6]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_table(tmp_path / "part.parquet", ROWS, row_group_rows=2)
    return tmp_path / "part.parquet"


@pytest.mark.parametrize(("value", "numbers"), [("a", [1, 2]), ("b", [3]), ("ü", [5, 6]), ("c", []), ("", [])])
def test_rows_of_a_value(path: Path, value: str, numbers: list[int]) -> None:
    with path.open("rb") as file:
        assert read_where(file, "shard", value, ["number"]).to_pydict() == {"number": numbers}


@pytest.mark.parametrize("quick", [False, True])
def test_quick_tables_read_alike(tmp_path: Path, quick: bool) -> None:
    write_table(tmp_path / "part.parquet", ROWS, metadata={"who": "me"}, row_group_rows=4, quick=quick)
    table = read_table(tmp_path / "part.parquet")
    assert table.equals(ROWS)
    assert table.schema.metadata == {b"who": b"me"}
    column = pq.read_metadata(tmp_path / "part.parquet").row_group(1).column(0)
    assert (column.compression, column.has_dictionary_page) == (("LZ4", False) if quick else ("ZSTD", True))


def test_large_row_groups_come_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfbucket.io.tables.ROW_GROUP_ROWS", 4)
    table = pa.table({"text": [str(n) for n in range(16)], "lists": [[n] * (n % 3) for n in range(16)]})
    write_table(tmp_path / "part.parquet", table, row_group_rows=10)
    pieces = [*read_groups(tmp_path / "part.parquet", ["lists", "text"])]
    assert [piece.num_rows for piece in pieces] == [4, 4, 2, 4, 2]
    assert pa.concat_tables(pieces).equals(table.select(["lists", "text"]))


def test_heavy_rows_come_in_smaller_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfbucket.io.tables.AT_ONCE_BYTES", 5000)
    table = pa.table({"n": range(16), "text": [f"{n:01000}" for n in range(16)]})
    write_table(tmp_path / "part.parquet", table, row_group_rows=10)
    pieces = [*read_groups(tmp_path / "part.parquet", ["text"])]
    assert [piece.num_rows for piece in pieces] == [4, 4, 2, 3, 3]
    assert pa.concat_tables(pieces).equals(table.select(["text"]))
    assert [piece.num_rows for piece in read_groups(tmp_path / "part.parquet", ["n"])] == [10, 6]
    write_table(tmp_path / "beside.parquet", table.select(["text"]), row_group_rows=7)
    files = [(tmp_path / "part.parquet", ["n"]), (tmp_path / "beside.parquet", ["text"])]
    beside = [*read_beside(files)]
    assert {len(one) for one, _ in beside} == {len(other) for _, other in beside} <= {1, 2, 3}
    assert pa.concat_tables([one.append_column("text", other["text"]) for one, other in beside]).equals(table)


def test_all_columns_in_the_files_order(path: Path) -> None:
    with path.open("rb") as file:
        assert read_where(file, "shard", "b").to_pylist() == [{"shard": "b", "number": 3}]


def test_row_groups_without_the_value_are_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[int]] = []
    pieces = pq.ParquetFile.iter_batches

    def noted(self: pq.ParquetFile, rows: int, *, row_groups: list[int], **options: Any) -> Iterator[pa.RecordBatch]:
        read.append(row_groups)
        return iter(pieces(self, rows, row_groups=row_groups, **options))

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    with path.open("rb") as file:
        read_where(file, "shard", "ü")
    assert read == [[2]]


def test_values_that_are_no_text_have_no_statistics_to_go_by(tmp_path: Path) -> None:
    pq.write_table(pa.table({"shard": pa.array([b"a"])}), tmp_path / "binary.parquet")
    with (tmp_path / "binary.parquet").open("rb") as file:
        assert read_where(file, "shard", "a").num_rows == 1


def test_a_missing_column_is_named(path: Path) -> None:
    with path.open("rb") as file, pytest.raises(pa.ArrowInvalid, match="has no column key"):
        read_where(file, "shard", "a", ["number", "key"])


def test_a_row_group_is_read_in_one_piece_for_neighbours(tmp_path: Path) -> None:
    noise = [os.urandom(100) for _ in range(400)]
    table = pa.table({"first": range(400), "wide": noise, "second": [str(n) for n in range(400)], "third": range(400)})
    write_table(tmp_path / "part.parquet", table, row_group_rows=200)
    footer = pq.read_metadata(tmp_path / "part.parquet")
    with Counted(tmp_path / "part.parquet") as counted:
        found = read_group(counted, footer, 1, ["first", "second", "third"])
    assert found.to_pydict() == table.slice(200).select(["first", "second", "third"]).to_pydict()
    assert counted.reads == 2  # the wide column is left out, what lies behind it comes at once


class Counted(io.FileIO):
    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(size) or b""


class Watched(io.BytesIO):
    """A file that knows which threads read it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.readers: set[int] = set()

    def read(self, size: int | None = -1, /) -> bytes:
        self.readers.add(threading.get_ident())
        return super().read(size)


READINGS: dict[str, Callable[[BinaryIO], Any]] = {
    "group": lambda file: read_group(file, pq.read_metadata(file), 0, ["number", "shard"]),
    "where": lambda file: read_where(file, "shard", "a"),
    "whole": lambda file: parquet_of(file).read(use_threads=False),
    "batches": lambda file: list(parquet_of(file).iter_batches(use_threads=False)),
}


@pytest.mark.parametrize("way", READINGS)
def test_no_thread_of_a_library_holds_bytes_of_a_file_of_python(
    path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """It would abort a process that ends meanwhile."""
    pieces: list[Watched] = []

    def watched(parts: list[tuple[int, bytes]]) -> Watched:
        whole = bytearray(parts[-1][0] + len(parts[-1][1]))
        for start, piece in parts:
            whole[start : start + len(piece)] = piece
        pieces.append(Watched(bytes(whole)))
        return pieces[-1]

    monkeypatch.setattr("hfbucket.io.row_groups._Pieces", watched)
    file = Watched(path.read_bytes())
    READINGS[way](file)
    assert file.readers | {reader for piece in pieces for reader in piece.readers} == {threading.get_ident()}
    assert len(pieces) == (way == "group")
