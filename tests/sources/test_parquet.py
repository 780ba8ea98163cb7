from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket.config import Config
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.errors import SourceError
from hfbucket.sources import SOURCES, parquet
from tests.sources.drawn import image, put

PARQUET = SOURCES["parquet"]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def units(root: str | Path, config: Config | None = None) -> tuple[Unit, ...]:
    spec = SourceSpec(name="x", url=str(root), kind="parquet")
    return PARQUET.list_units(spec, 0, config or Config()).units


def scan(root: str | Path, config: Config | None = None) -> tuple[pa.Table, UnitFacts]:
    scans = [PARQUET.scan_unit(unit, config or Config()) for unit in units(root, config)]
    return pa.concat_tables([rows.read() for rows, _ in scans]), sum((facts for _, facts in scans), start=UnitFacts())


def structs(count: int) -> pa.Array:
    return pa.array([{"bytes": image(10 + number), "path": None} for number in range(count)], IMAGE)


def test_an_image_struct_is_found_by_itself(tmp_path: Path) -> None:
    table = pa.table({"image": structs(3), "text": ["a", None, ""], "n": [1, 2, None], "tags": [["x"], [], None]})
    pq.write_table(table, tmp_path / "0.parquet")
    found, facts = scan(tmp_path)
    assert found["image_id"].to_pylist() == ["0.parquet/0", "0.parquet/1", "0.parquet/2"]
    assert found["width"].to_pylist() == [10, 11, 12]
    assert found["captions"].to_pylist() == [[None, "a", None], [None, None, None], [None, "", None]]
    assert found["meta"].to_pylist()[0] == '{"n":1,"tags":["x"]}'
    assert facts.meta_keys == ("n", "tags", "text")
    assert facts.notes == ()


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_plain_bytes_are_found_by_looking(tmp_path: Path, kind: pa.DataType) -> None:
    columns = {"mask": pa.array([None, b"no image"], kind), "pixels": pa.array([image(), image(30)], kind)}
    if kind == pa.binary_view():
        columns = {name: column.cast(pa.binary()) for name, column in columns.items()}
    pq.write_table(pa.table(columns), tmp_path / "0.parquet")
    found, facts = scan(tmp_path)
    assert found["width"].to_pylist() == [12, 30]
    assert facts.notes == ("0.parquet has further columns of bytes, which are not kept: mask",)


def test_the_column_that_datasets_declares_is_taken(tmp_path: Path) -> None:
    table = pa.table({"thumb": structs(1), "full": structs(1)})
    info = {"info": {"features": {"full": {"_type": "Image"}, "thumb": {"bytes": {}, "path": {}}}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), tmp_path / "0.parquet")
    assert scan(tmp_path)[0].num_rows == 1


@pytest.mark.parametrize(
    ("columns", "image_column", "message"),
    [
        ({"a": "image", "b": "image"}, None,
         "several columns hold images: name it with --image-column; there are: a, b"),
        ({"url": "text"}, None, "no column holds images: name it with --image-column; there are: url"),
        ({"a": "image"}, "b", "no column 'b' for --image-column; there are: a"),
        ({"a": "image", "t": "text"}, "t", "column 't' must be bytes or struct<bytes, path>, got string"),
    ],
)  # fmt: skip
def test_an_unclear_column_stops(
    tmp_path: Path, columns: dict[str, str], image_column: str | None, message: str
) -> None:
    values = {"image": structs(1), "text": pa.array(["t"])}
    pq.write_table(pa.table({name: values[kind] for name, kind in columns.items()}), tmp_path / "0.parquet")
    with pytest.raises(SourceError) as error:
        scan(tmp_path, Config(image_column=image_column))
    assert str(error.value) == f"{tmp_path}/0.parquet: {message}"


def test_a_chosen_column_is_taken(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": structs(1), "b": pa.array([image(99)])}), tmp_path / "0.parquet")
    assert scan(tmp_path, Config(image_column="b"))[0]["width"].to_pylist() == [99]


def test_keys_name_rows_where_all_are_there_and_different(tmp_path: Path) -> None:
    pq.write_table(pa.table({"jpg": [image(), image()], "key": ["x/1", "é"]}), tmp_path / "good.parquet")
    pq.write_table(pa.table({"jpg": [image(), image()], "key": ["x", "x"]}), tmp_path / "same.parquet")
    pq.write_table(pa.table({"jpg": [image(), image()], "key": ["x", None]}), tmp_path / "some.parquet")
    ids = scan(tmp_path)[0]["image_id"].to_pylist()
    assert ids == [
        "good.parquet/x/1", "good.parquet/é", "same.parquet/0", "same.parquet/1", "some.parquet/0", "some.parquet/1",
    ]  # fmt: skip


def test_rows_without_bytes_are_source_errors_in_img2dataset_words(tmp_path: Path) -> None:
    table = pa.table({
        "jpg": pa.array([image(), None, b""], pa.binary()), "status": ["success", "failed_to_download", None],
        "error_message": [None, "HTTP Error 404: File not found", None],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "0.parquet")
    images = pa.array([None, {"bytes": None, "path": "/home/me/a.jpg"}], IMAGE)
    pq.write_table(pa.table({"image": images}), tmp_path / "1.parquet")
    found, _ = scan(tmp_path)
    assert found["outcome"].to_pylist() == [None, "source_errors", "decode_errors", "source_errors", "source_errors"]
    details = found["detail"].to_pylist()
    assert details[1] == "the row has no image bytes: failed_to_download: HTTP Error 404: File not found"
    assert details[3] == "the row has no image bytes"
    assert details[4].startswith("the row has a path but no image bytes: paths are not followed")


@pytest.mark.parametrize("store", ["local", "memory"])
def test_images_come_back_from_any_rows(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 2000)
    pq.write_table(pa.table({"image": structs(25)}), tmp_path / "0.parquet", row_group_size=10)
    root: str = str(tmp_path)
    if store == "memory":
        root = put(f"memory://parquet/{tmp_path.name}", {"0.parquet": (tmp_path / "0.parquet").read_bytes()})
    (unit,) = units(root)
    table = PARQUET.scan_unit(unit, Config())[0].read()
    assert not PARQUET.random_access(unit)
    for wanted in ([24, 0, 7], [3], list(range(25)), [12, 12]):
        read = list(PARQUET.read_rows(unit, table.take(pa.array(wanted)), Config()))
        assert [number for number, _ in read] == sorted(range(len(wanted)), key=wanted.__getitem__)
        assert all(data == image(10 + wanted[number]) for number, data in read)


@pytest.mark.parametrize("cut", [0, 4, 900])
def test_a_damaged_file_stops_with_its_name(tmp_path: Path, cut: int) -> None:
    pq.write_table(pa.table({"image": structs(3)}), tmp_path / "0.parquet")
    data = (tmp_path / "0.parquet").read_bytes()
    (tmp_path / "0.parquet").write_bytes(data[:cut])
    with pytest.raises(SourceError, match=r"0\.parquet: cannot be read as Parquet"):
        scan(tmp_path)


def test_types_without_json_have_text(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "image": structs(1), "t": [datetime.timedelta(seconds=2)], "d": [datetime.date(2020, 1, 2)],
        "m": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), "f": [float("inf")],
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "0.parquet")
    assert scan(tmp_path)[0]["meta"].to_pylist() == ['{"d":"2020-01-02","f":null,"m":[["k",1]],"t":"0:00:02"}']


def test_img2dataset_parquet_comes_as_it_is(shared_data: Path) -> None:
    table, _ = scan(shared_data / "wds" / "img2dataset_parquet")
    assert table.num_rows == 41
    assert table["outcome"].to_pylist().count("source_errors") == 2
    assert table["outcome"].null_count == 39
    assert sum(captions[0] is not None for captions in table["captions"].to_pylist()) == 41
