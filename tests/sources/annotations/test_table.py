"""The table of annotations: rows by their numbers, whatever batches they lie in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.sources.annotations import table as module
from hfbucket.sources.annotations.fields import Fields
from hfbucket.sources.annotations.table import Annotations, read_annotations


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Annotations:
    folder = tmp_path_factory.mktemp("annotations")
    records = [{"path": f"{n % 7}.jpg", "caption": f"c{n}", "n": n} for n in range(17)]
    (folder / "a.json").write_text(json.dumps(records))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH_ROWS", 2)
        return read_annotations([str(folder / "a.json")], Fields(), folder / "cache")


def test_records_of_one_image_come_together(said: Annotations) -> None:
    assert said.table["name"].to_pylist() == [f"{n}.jpg" for n in range(7)]
    assert said.table["captions"].to_pylist()[2] == ["c2", "c9", "c16"]
    assert said.table["meta"].to_pylist()[2] == '{"n":2}'
    assert (said.captions, len(said.table.to_batches())) == (3, 4)


@given(st.lists(st.integers(0, 6), max_size=9))
def test_rows_by_number(said: Annotations, numbers: list[int]) -> None:
    rows = said.rows(np.array(numbers, dtype=np.int64))
    assert rows.equals(said.table.combine_chunks().take(pa.array(numbers, pa.int64())))


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.csv"
    file.write_text("image,caption\n1.jpg,one\n")
    read_annotations([str(file)], Fields(), tmp_path / "cache")
    monkeypatch.setattr(module, "_made", None)
    assert read_annotations([str(file)], Fields(), tmp_path / "cache").table.num_rows == 1
