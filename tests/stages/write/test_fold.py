"""Tables of an export in row groups and parts: the rows that were given, and little of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket.stages.write.fold import write_parts

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string()), ("texts", pa.list_(pa.string()))])


def rows(start: int, stop: int, width: int = 1) -> pa.Table:
    numbers = range(start, stop)
    return pa.table([numbers, [f"{n:0{width}}" for n in numbers], [[str(n)] * (n % 3) for n in numbers]], schema=SCHEMA)


def test_pieces_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfbucket.stages.write.fold._GROUP_ROWS", 5)
    monkeypatch.setattr("hfbucket.stages.write.fold._GROUPS_PER_PART", 2)
    edges = [0, 3, 3, 5, 6, 23, 24, 27]
    tables = [rows(*edge) for edge in pairwise(edges)]
    parts = write_parts(tmp_path, "samples", SCHEMA, iter(tables))
    assert [(part.file, part.rows) for part in parts] == [
        (f"samples/part-0000{number}.parquet", size) for number, size in enumerate((10, 10, 7))
    ]
    files = [pq.ParquetFile(tmp_path / part.file) for part in parts]
    groups = [[file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)] for file in files]
    assert groups == [[5, 5], [5, 5], [5, 2]]
    assert pa.concat_tables([file.read() for file in files]).equals(rows(0, 27))
    for file in files:
        file.close()


@pytest.mark.parametrize("tables", [[], [SCHEMA.empty_table()]])
def test_nothing_comes_to_no_file(tmp_path: Path, tables: list[pa.Table]) -> None:
    assert write_parts(tmp_path, "samples", SCHEMA, iter(tables)) == ()
    assert [*tmp_path.iterdir()] == []


def test_no_more_than_a_row_group_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfbucket.stages.write.fold._GROUP_ROWS", 1000)
    group = rows(0, 1000, 1000).nbytes
    held = []

    def tables() -> Iterator[pa.Table]:
        before = pa.total_allocated_bytes()
        for start in range(0, 20_000, 300):
            table = rows(start, start + 300, 1000).slice(0)
            held.append(pa.total_allocated_bytes() - before)
            yield table

    write_parts(tmp_path, "samples", SCHEMA, tables())
    # The one that is filled, and the piece that comes: not the one that was written before.
    assert max(held) < 1.8 * group
