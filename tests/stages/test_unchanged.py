"""A file on the web that is replaced while it is read is told, whichever way it is read; nothing is kept of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hfbucket.config import Config
from hfbucket.core.units import Unit
from hfbucket.errors import SourceError
from hfbucket.io import patience
from hfbucket.sources import SOURCES
from hfbucket.sources.detect import looked_up
from hfbucket.sources.rows import look_at
from hfbucket.stages.copies import scanned
from hfbucket.stages.unchanged import check_unchanged
from hfbucket.stages.write.build import build
from hfbucket.stages.write.read import SourceReader
from hfbucket.stages.write.spool import SpoolTask, spool_unit
from hfbucket.stages.write.work import Work
from tests.file_server import FileServer, serving_files
from tests.stages.pictures import draw_tar

CONFIG = Config(base=(128,), workers=0)
COLUMNS = ("path", "member", "offset", "size_bytes", "mtime_ns")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(patience, "WAIT_S", 0.0)
    draw_tar(tmp_path / "web" / "a.tar", 6)
    whole = (tmp_path / "web" / "a.tar").read_bytes()
    (tmp_path / "web" / "parts").mkdir()
    for number in range(3):
        (tmp_path / "web" / "parts" / f"b.tar.{number:02d}").write_bytes(
            whole[number * 9_000 :][: 9_000 if number < 2 else None]
        )
    with serving_files(tmp_path / "web") as running:
        yield running


def unit_of(url: str) -> Unit:
    spec, files = looked_up(url, CONFIG)
    (unit,) = SOURCES[spec.kind].list_units(spec, 0, CONFIG, files).units
    return unit


def by_copy(unit: Unit, folder: Path, change: Callable[[], None]) -> None:
    change()
    scanned(unit, folder / "copies" / "copy", CONFIG, look_at, None)


def without_copy(unit: Unit, folder: Path, change: Callable[[], None]) -> None:
    change()
    scanned(unit, None, CONFIG, look_at, None)


def by_spool(unit: Unit, folder: Path, change: Callable[[], None]) -> None:
    table = scanned(unit, None, CONFIG, look_at, None)[0].read()
    change()
    rows = table.select(["path", "offset", "size_bytes"]).sort_by("offset")
    failure = spool_unit(SpoolTask(unit=unit, config=CONFIG, rows=rows, work=Work(folder=folder)))
    if failure is not None:
        assert failure.final
        raise SourceError(failure.reason)


def by_ranges(unit: Unit, folder: Path, change: Callable[[], None]) -> None:
    table = scanned(unit, None, CONFIG, look_at, None)[0].read()
    rows: list[dict[str, Any]] = [{**row, "unit": 0} for row in table.select(list(COLUMNS)).to_pylist()]
    place = {name: getattr(unit, name) for name in ("kind", "name", "url", "size_bytes", "version")}
    change()
    with SourceReader((place,), Work(folder=folder)) as reader:
        assert len(list(reader.read_all(rows[::2]))) == 3


@pytest.mark.parametrize(
    ("way", "name"),
    [(by_copy, "a.tar"), (by_copy, "parts"), (without_copy, "a.tar"), (without_copy, "parts"), (by_spool, "a.tar"),
     (by_spool, "parts"), (by_ranges, "a.tar")],
)  # fmt: skip
def test_what_changed_is_told_and_forgotten(
    server: FileServer, tmp_path: Path, way: Callable[[Unit, Path, Callable[[], None]], None], name: str
) -> None:
    unit = unit_of(f"{server.url}/{name}")
    last = server.folder / ("a.tar" if name == "a.tar" else "parts/b.tar.01")
    way(unit, tmp_path / "undisturbed", lambda: None)
    with pytest.raises(SourceError, match=f"{unit.url} changed after it was planned; run the same command again"):
        way(unit, tmp_path / "work", lambda: os.utime(last, ns=(0, 0)))
    assert not [path for path in (tmp_path / "work").rglob("*") if path.is_file()]
    check_unchanged(unit_of(f"{server.url}/{name}"))


def test_the_same_command_plans_it_anew(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of one file and half of another make no export."""
    draw_tar(tmp_path / "new.tar", 9)

    def replaced(unit: Unit) -> None:
        os.replace(tmp_path / "new.tar", server.folder / "a.tar")
        check_unchanged(unit)

    with monkeypatch.context() as patch:
        patch.setattr("hfbucket.stages.copies.check_unchanged", replaced)
        with pytest.raises(SourceError, match="changed after it was planned"):
            build(f"{server.url}/a.tar", tmp_path / "export", CONFIG)
    assert build(f"{server.url}/a.tar", tmp_path / "export", CONFIG).summary["images_seen"] == 9
