"""Sources on the web give the rows and bytes that they give here, with few requests and no byte too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from hfbucket.config import Config
from hfbucket.core.units import Unit
from hfbucket.errors import SourceError
from hfbucket.io import patience
from hfbucket.sources import SOURCES, contents, folder
from hfbucket.sources.detect import looked_up, resolve
from hfbucket.stages.write.build import build
from tests.file_server import FileServer, serving_files
from tests.stages.pictures import draw_folder, draw_parquet, draw_tar, tree

COUNT = 40
CONFIG = Config(base=(128, 64), workers=0, max_shard_samples=9)
WHERE = ("photos", "tars/a.tar", "gz/b.tar.gz", "tables/c.parquet")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(patience, "WAIT_S", 0.0)
    root = tmp_path / "files"
    draw_folder(root / "photos", COUNT)
    for number in range(0, COUNT, 3):
        (root / "photos" / f"{number:04d}.json").write_text(f'{{"number": {number}}}')
    draw_tar(root / "tars" / "a.tar", COUNT)
    draw_tar(root / "gz" / "b.tar.gz", COUNT, mode="w:gz")
    draw_parquet(root / "tables" / "c.parquet", COUNT)
    with serving_files(root) as running:
        yield running


def units_of(url: str) -> tuple[Unit, ...]:
    spec = resolve(url, CONFIG)
    return SOURCES[spec.kind].list_units(spec, 0, CONFIG).units


def scanned(unit: Unit) -> pa.Table:
    rows, _ = SOURCES[unit.kind].scan_unit(unit, CONFIG)
    return rows.read().drop_columns(["mtime_ns"])


@pytest.mark.parametrize("name", WHERE)
def test_rows_and_bytes_are_those_of_local_files(server: FileServer, name: str) -> None:
    for here, there in zip(units_of(str(server.folder / name)), units_of(f"{server.url}/{name}"), strict=True):
        rows = scanned(here)
        assert rows.num_rows == COUNT
        assert scanned(there).equals(rows)
        read = SOURCES[here.kind].read_rows
        assert dict(read(there, rows, CONFIG)) == dict(read(here, rows, CONFIG))


@pytest.mark.parametrize("name", WHERE)
def test_builds_are_those_of_local_files(server: FileServer, tmp_path: Path, name: str) -> None:
    here = build([f"x={server.folder / name}"], tmp_path / "here", CONFIG)
    server.forget()
    there = build([f"x={server.url}/{name}"], tmp_path / "there", CONFIG)
    assert there.buckets == here.buckets
    assert tree(tmp_path / "there") == tree(tmp_path / "here")
    if "tar" in name:
        whole = [request for request in server.requests() if request.method == "GET" and request.sent_bytes > 1_000]
        assert [(request.path, request.range) for request in whole] == [(f"/{name}", None)]


def test_listing_asks_for_every_size_once(server: FileServer) -> None:
    folder = [("GET", "/tars"), ("GET", "/tars/"), ("HEAD", "/tars"), ("HEAD", "/tars/")]
    for name in ("tars/a.tar", "tars", "tars/*.tar"):
        server.forget()
        spec, files = looked_up(f"{server.url}/{name}", CONFIG)
        listing = SOURCES["tars"].list_units(spec, 0, CONFIG, files)
        assert [unit.name for unit in listing.units] == ["a.tar"]
        asked = Counter((request.method, request.path) for request in server.requests())
        assert asked["HEAD", "/tars/a.tar"] == 1
        for there in folder:
            asked.pop(there, None)
        assert {path for _, path in asked} <= {"/tars/a.tar", "/tars/*.tar"}
        assert server.sent_bytes() < 1_000


def test_every_file_of_a_folder_is_asked_for_once(server: FileServer) -> None:
    (unit,) = units_of(f"{server.url}/photos")
    server.forget()
    table = scanned(unit)
    asked = Counter(request.path for request in server.requests())
    assert set(asked.values()) == {1}
    assert len(asked) == 2 * COUNT + len(range(0, COUNT, 3))
    assert len({request.connection for request in server.requests()}) <= 33
    server.forget()
    list(folder.read_rows(unit, table, CONFIG))
    assert Counter(request.path for request in server.requests()) == {f"/photos/{n:04d}.jpg": 1 for n in range(COUNT)}


def test_images_of_a_server_that_gives_no_parts_of_files(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_HEAD_BYTES", 100)  # so that no header is in it
    (here,), (there,) = units_of(str(server.folder / "photos")), units_of(f"{server.url}/photos")
    server.faults[:] = ["whole"] * 10_000
    assert scanned(there).equals(scanned(here))


def test_what_cannot_be_read_is_told_and_the_rest_is_read(server: FileServer) -> None:
    (unit,) = units_of(f"{server.url}/photos")
    entries = list(unit.entries)
    entries[0] = entries[0]._replace(json=b"none.json", json_bytes=10)
    entries[4] = entries[4]._replace(text_bytes=17 << 20)
    rows, facts = folder.scan_unit(replace(unit, entries=tuple(entries)), CONFIG)
    table = rows.read()
    told = {row["member"]: (row["outcome"], row["detail"]) for row in table.to_pylist()}
    assert told.pop("0000.jpg") == ("source_errors", "what lies beside it cannot be read: FileNotFoundError")
    assert set(told.values()) == {(None, None)}
    assert table["captions"].to_pylist()[5] == scanned(unit)["captions"].to_pylist()[5]
    assert "0004.txt cannot be read: has 17825792 bytes, more than 16777216; its image goes without" in facts.notes
    (server.folder / "photos" / "0020.jpg").unlink()
    with pytest.raises(SourceError, match=r"0020\.jpg: is gone since the folder was listed"):
        folder.scan_unit(unit, CONFIG)


@pytest.mark.parametrize("place", ["photos", "photos/0003.jpg", "photos/*.jpg"])
def test_images_of_a_server_that_tells_no_lengths_say_so(server: FileServer, place: str) -> None:
    server.chunked = True
    (unit,) = units_of(f"{server.url}/{place}")
    assert {*scanned(unit)["detail"].to_pylist()} == {"its server does not say how long it is: download it first"}
    count = len(unit.entries)
    with pytest.raises(SourceError) as told:
        build([f"{server.url}/{place}"], server.folder / "out", CONFIG)
    assert str(told.value) == (
        f"nothing would be exported: of {count} images {count} source_errors, such as {unit.name!r}: its server does "
        "not say how long it is: download it first"
    )


@pytest.mark.parametrize("name", ["tars/a.tar", "tars", "tars/*.tar", "gz/b.tar.gz"])
def test_tars_of_a_server_that_tells_no_lengths_say_so(server: FileServer, name: str) -> None:
    server.chunked = True
    said = "tar(.gz)?: its server does not say how long it is: download it first$"
    with pytest.raises(SourceError, match=f"^source '.*' holds no images: found nothing else. [ab].{said}"):
        build([f"{server.url}/{name}"], server.folder / "out", CONFIG)


def test_a_tar_that_broke_off_while_it_was_read(server: FileServer) -> None:
    (unit,) = units_of(f"{server.url}/tars/a.tar")
    server.faults[:] = ["cut", None, "status", "drop"]
    assert scanned(unit).equals(scanned(units_of(str(server.folder / "tars" / "a.tar"))[0]))
