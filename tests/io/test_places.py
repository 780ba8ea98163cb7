"""Places: the same for a folder of this machine and one elsewhere."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from hfbucket.io import places
from hfbucket.io.places import Place, Remote


@pytest.fixture(params=["here", "elsewhere"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield tmp_path if request.param == "here" else Remote("memory://data/places")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def test_urls_and_paths_are_places(tmp_path: Path) -> None:
    assert places.place_of("s3://bucket/export/") == Remote("s3://bucket/export")
    assert places.place_of(f"file://{tmp_path}") == tmp_path
    assert places.place_of(tmp_path) == tmp_path


def test_files_are_made_here_and_stand_there_whole(folder: Place) -> None:
    with places.made_here(folder / "a/b.txt") as here:
        here.write_bytes(b"whole")
        assert here.name == "b.txt"
    assert (folder / "a/b.txt").read_bytes() == b"whole"
    places.write_bytes(folder / "a/b.txt", b"new")
    assert places.size_bytes(folder / "a/b.txt") == 3
    assert [places.below(path, folder) for path in places.matching(folder, "*/*.txt")] == ["a/b.txt"]
    with places.made_here(folder / "c.txt"):
        pass  # nothing is made
    with suppress(KeyError), places.made_here(folder / "d.txt") as here:
        here.with_name("half").write_bytes(b"")
        raise KeyError
    assert [(folder / name).exists() for name in ("c.txt", "d.txt")] == [False, False]
    is_there, size_of = places.present(folder), places.sizes(folder)
    assert [(is_there(name), size_of(name)) for name in ("a/b.txt", "d.txt")] == [(True, 3), (False, 0)]
    assert places.open_random(folder / "a/b.txt").pread(1, 9) == b"ew"
    places.remove_tree(folder / "a")
    places.remove_tree(folder / "a")
    assert not (folder / "a").exists()


def test_a_sign_is_given_while_a_file_is_brought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_SIGN_EVERY_S", 0.001)
    signs: list[None] = []
    put = Remote.put

    def patient(place: Remote, source: Path | bytes) -> None:
        while len(signs) < 3:
            time.sleep(0.001)
        put(place, source)

    monkeypatch.setattr(Remote, "put", patient)
    place = Remote("memory://data/slow")
    with places.made_here(place, sign=lambda: signs.append(None)) as here:
        here.write_bytes(b"whole")
    assert place.read_bytes() == b"whole"


def test_room_is_known_of_this_machine_alone(folder: Place) -> None:
    assert (places.free_bytes(folder) is None) == isinstance(folder, Remote)


def test_half_written_files_go(folder: Place) -> None:
    places.write_bytes(folder / ".a.tar.123.tmp", b"half")
    places.write_bytes(folder / "a.tmp", b"somebody's")
    places.remove_temporaries(folder)
    assert [(folder / name).exists() for name in (".a.tar.123.tmp", "a.tmp")] == [False, True]


def test_results_come_in_order_and_errors_where_they_belong(folder: Place) -> None:
    assert list(places.in_order(lambda number: number * 2, range(40), at=folder, at_once=3)) == list(range(0, 80, 2))
    inverses = places.in_order(lambda number: 1 / number, [1, 2, 0, 4], at=folder, at_once=2)
    assert (next(inverses), next(inverses)) == (1.0, 0.5)
    with pytest.raises(ZeroDivisionError):
        next(inverses)


@pytest.mark.skipif(os.name != "posix", reason="processes are looked for by POSIX signals")
def test_what_killed_processes_left_aside_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    host = socket.gethostname()
    left, used = tmp_path / f"hfbucket-{host}-{ended.pid}-a", tmp_path / f"hfbucket-{host}-{os.getpid()}-b"
    others = tmp_path / f"hfbucket-{host}-elsewhere-{ended.pid}-c"
    for path in (left, used, others):
        path.mkdir()
    with places.scratch() as folder:
        assert folder.parent == tmp_path
        assert sorted(tmp_path.iterdir()) == sorted([folder, used, others])
    assert sorted(tmp_path.iterdir()) == sorted([used, others])
