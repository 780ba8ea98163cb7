from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hfbucket.core.keys import digest_of
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.errors import BuildError
from hfbucket.io import tables
from hfbucket.io.index_files import Index, read_unit, write_unit
from hfbucket.schemas import INDEX


def _rows(names: list[str]) -> pa.Table:
    rows = [
        {
            "image_id": name, "digest": digest_of(name), "member": name, "offset": 0, "size_bytes": len(name),
            "mtime_ns": 0, "width": index + 1, "captions": [name, None],
        }
        for index, name in enumerate(names)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=INDEX)


def _unit(source: int, name: str) -> Unit:
    return Unit(source=source, kind="tars", url=f"/x/{name}", name=name, prefix="", size_bytes=1, version="1")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    monkeypatch.setattr(tables, "ROW_GROUP_ROWS", 2)
    facts = UnitFacts(ignored={"npy": 2}, meta_keys=("url",), notes=("ä",))
    pieces = [(0, "a", 5), (0, "empty", 0), (1, "b", 3)]
    units = []
    for source, name, rows in pieces:
        table = _rows([f"{name}{n}" for n in range(rows)])
        units.append(write_unit(tmp_path / f"{name}.parquet", _unit(source, name), table, facts))
    sources = tuple(SourceSpec(name=name, url="/x", kind="tars") for name in "ab")
    return Index(sources=sources, units=tuple(units))


def test_a_unit_reads_as_it_was_written(index: Index) -> None:
    for unit in index.units:
        assert read_unit(unit.file, unit.unit) == unit


def test_a_damaged_or_foreign_file_is_no_unit(tmp_path: Path) -> None:
    unit = _unit(0, "a")
    assert read_unit(str(tmp_path / "none.parquet"), unit) is None
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing more")
    assert read_unit(str(tmp_path / "bad.parquet"), unit) is None
    footer = b"\xff" * 40
    (tmp_path / "torn.parquet").write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    assert read_unit(str(tmp_path / "torn.parquet"), unit) is None
    tables.write_table(tmp_path / "foreign.parquet", pa.table({"a": [1]}))
    assert read_unit(str(tmp_path / "foreign.parquet"), unit) is None


def test_damaged_rows_are_named_with_what_to_do(index: Index) -> None:
    path = Path(index.units[0].file)
    data = bytearray(path.read_bytes())
    data[10] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(BuildError, match=r"a\.parquet: is damaged \(.*\): delete it and run the same command again"):
        index.columns("image_id")


def test_columns_are_whole_and_in_source_order(index: Index) -> None:
    assert index.rows == 8
    assert index.starts.tolist() == [0, 5, 5, 8]
    table = index.columns("width", "image_id")
    assert table.column_names == ["width", "image_id"]
    assert table["image_id"].to_pylist() == ["a0", "a1", "a2", "a3", "a4", "b0", "b1", "b2"]


@pytest.mark.parametrize("positions", [[], [7], [4, 5], [6, 0, 6, 3, 7, 1], list(range(8)), list(range(7, -1, -1))])
def test_take_gives_rows_in_the_order_asked(index: Index, positions: list[int]) -> None:
    ids = index.columns("image_id")["image_id"].to_pylist()
    taken = index.take(np.array(positions, dtype=np.int64), ["image_id", "captions"])
    assert taken["image_id"].to_pylist() == [ids[position] for position in positions]
    assert taken["captions"].to_pylist() == [[ids[position], None] for position in positions]


def test_unit_of_skips_empty_units(index: Index) -> None:
    assert index.unit_of(np.array([0, 4, 5, 7])).tolist() == [0, 0, 2, 2]


def test_facts_fold_by_source_and_hashes_differ(index: Index) -> None:
    assert index.facts(0).ignored == {"npy": 4}
    assert index.facts(1).notes == ("ä",)
    assert index.source_sha256(0) != index.source_sha256(1)
