"""Rows of some row groups, here and elsewhere: those that are asked for, few at a time where they are heavy."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from hfbucket.io.places import Place, Remote, made_here
from hfbucket.io.row_groups import batches_in_groups
from hfbucket.io.tables import table_writer

ROWS = pa.table({"n": range(20), "text": [f"{n:0{1000 if n > 9 else 1}}" for n in range(20)]})


@pytest.fixture(params=["here", "elsewhere"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    place = tmp_path / "t.parquet" if request.param == "here" else Remote(f"memory://{tmp_path}/t.parquet")
    with made_here(place) as here, table_writer(here, ROWS.schema, quick=True) as writer:
        for start, stop in ((0, 2), (2, 10), (10, 14), (14, 20)):
            writer.write_table(ROWS.slice(start, stop - start))
    return place


@pytest.mark.parametrize("rows", [None, (0, 12), (3, 4), (7, 11), (11, 12), (0, 0)])
def test_rows_that_are_wanted(place: Place, rows: tuple[int, int] | None) -> None:
    found = [batch.to_pydict()["n"] for batch in batches_in_groups(place, range(1, 3), rows=rows, most=5)]
    assert [n for some in found for n in some] == list(range(2, 14))[slice(*rows) if rows else slice(None)]
    assert max(map(len, found), default=0) <= 5


def test_heavy_rows_come_few_at_a_time(place: Place) -> None:
    found = list(batches_in_groups(place, range(4), size_bytes=2500, columns=["text"]))
    assert [batch.num_rows for batch in found] == [2, 8, 2, 2, 2, 2, 2]
    assert pa.Table.from_batches(found).equals(ROWS.select(["text"]))
    assert [batch.num_rows for batch in batches_in_groups(place, range(4), size_bytes=2500, columns=["n"])] == [
        2,
        8,
        4,
        6,
    ]
