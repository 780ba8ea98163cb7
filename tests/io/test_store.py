from __future__ import annotations

import io
import os
import re
from pathlib import Path

import fsspec
import pytest
from fsspec import AbstractFileSystem

from hfbucket.errors import SourceError
from hfbucket.io import store
from hfbucket.sources.containers import files_of


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    names = {"b/2.jpg": b"22", "a.jpg": b"0123456789", "b.txt": b"t", "ü.png": b"u"}
    names |= {"b/.hidden/x.jpg": b"h", "._a.jpg": b"h"}
    if request.param == "local":
        for name, data in names.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
        return str(tmp_path)
    base = f"memory://store/{tmp_path.name}"
    for name, data in names.items():
        with fsspec.open(f"{base}/{name}", "wb") as file:
            file.write(data)
    return base


def test_walk_is_sorted_by_bytes_and_skips_hidden_names(root: str) -> None:
    files = store.walk(root)
    assert [file.path for file in files] == [b"a.jpg", b"b.txt", b"b/2.jpg", "ü.png".encode()]
    assert [file.size_bytes for file in files] == [10, 1, 2, 1]
    assert all(file.kind == "file" and file.version for file in files)
    assert [file.path for file in store.walk(root, deep=False)] == [b"a.jpg", b"b.txt", "ü.png".encode()]


def test_hidden_names_are_given_where_asked_for_and_not_entered(root: str) -> None:
    kinds = {file.path: file.kind for file in store.walk(root, hidden=True)}
    assert {path for path, kind in kinds.items() if kind == "hidden"} == {b"._a.jpg", b"b/.hidden"}
    assert [path for path, kind in kinds.items() if kind == "file"] == [file.path for file in store.walk(root)]
    assert list(kinds) == sorted(kinds)
    assert store.names_in(root) == [b"a.jpg", b"b.txt", "ü.png".encode()]


def test_globs_give_paths_below_their_root(root: str) -> None:
    assert store.glob(root, "*.jpg") == [b"a.jpg"]
    assert store.glob(root, "b*") == [b"b", b"b.txt"]
    assert store.glob(root, "**/*.jpg") == [b"a.jpg", b"b/2.jpg"]


def test_what_stands_at_a_url(root: str) -> None:
    assert store.kind_of(root) == "folder"
    assert store.kind_of(f"{root}/a.jpg") == "file"
    assert store.kind_of(f"{root}/none") == "nothing"
    with pytest.raises(OSError, match="none"):
        store.info(f"{root}/none")


@pytest.mark.parametrize("sequential", [False, True])
def test_random_reads_stop_at_the_end(root: str, sequential: bool) -> None:
    with store.RandomFile(store.join(root, b"a.jpg"), sequential=sequential) as file:
        assert file.size_bytes == 10
        assert file.pread(2, 3) == b"234"
        assert file.pread(8, 100) == b"89"
        assert file.pread(10, 1) == b""
        window = store.Window(file, 2, 5)
        assert window.read(2) == b"23"
        assert window.seek(-1, io.SEEK_END) == 4
        assert window.read() == b"6"
        assert window.read(1) == b""
        assert io.BufferedReader(store.Window(file, 0, 10)).read() == b"0123456789"
    with store.open_seekable(store.join(root, b"a.jpg")) as opened:
        opened.seek(7)
        assert opened.read() == b"789"
    assert store.read_bytes(store.join(root, b"a.jpg")) == b"0123456789"


def test_a_version_changes_with_the_bytes(root: str) -> None:
    url = store.join(root, b"a.jpg")
    before = store.info(url).version
    with fsspec.open(url, "wb") as file:
        file.write(b"other bytes")
    assert store.info(url).version != before


def test_wildcards_split_at_the_slash_before_them() -> None:
    assert store.split_glob("/a/b/*.tar") == ("/a/b", "*.tar")
    assert store.split_glob("s3://x/b-*/y.tar") == ("s3://x", "b-*/y.tar")
    assert store.split_glob("*.tar") == (".", "*.tar")
    assert store.split_glob("/a/b.tar") == ("/a/b.tar", None)


def test_links_are_followed_but_never_in_circles(tmp_path: Path) -> None:
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.jpg").write_bytes(b"a")
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "deep" / "up").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    os.mkfifo(tmp_path / "photos" / "pipe.jpg")
    files = {file.path: file.kind for file in store.walk(str(tmp_path / "photos"))}
    assert files == {b"linked/a.jpg": "file", b"gone.jpg": "missing", b"pipe.jpg": "other"}


def test_names_that_are_no_utf8_come_back_as_their_bytes(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg"
    try:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(b"x")
    except OSError:
        pytest.skip("this file system refuses names that are no UTF-8")
    assert [file.path for file in store.walk(str(tmp_path))] == [name]
    assert store.read_bytes(store.join(str(tmp_path), name)) == b"x"


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(SourceError, match="nosuch://x/y: cannot be opened"):
        store.read_bytes("nosuch://x/y")


class ClientError(Exception):
    """What a store's own client raises."""


class Unreachable(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store that does not answer."""

    protocol = "unreachable"
    tries = 0

    def info(self, path: str, **_options: object) -> dict[str, object]:
        """Say that nobody answers."""
        type(self).tries += 1
        raise ClientError("nobody answers")


@pytest.mark.parametrize("name", ["photos", "tars/*.tar"])
def test_a_store_that_does_not_answer_is_told_by_its_url(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfbucket.io.patience.WAIT_S", 0)
    monkeypatch.setattr(Unreachable, "tries", 0)
    monkeypatch.setattr(Unreachable, "isdir", Unreachable.info)
    fsspec.register_implementation("unreachable", Unreachable, clobber=True)
    with pytest.raises(OSError, match=rf"^unreachable://{re.escape(name)}: nobody answers$"):
        files_of(f"unreachable://{name}")
    assert Unreachable.tries == 2
