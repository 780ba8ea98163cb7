"""Files found by patterns of their names, and folders that cannot be listed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hfbucket.io.patterns import matching

FILES = (
    "buckets/a/1.tar", "buckets/a/2.tar", "buckets/b/1.tar", "buckets/b/1.txt", "buckets/c.tar", "top.tar", ".x.tmp",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("buckets/*/*.tar", ["buckets/a/1.tar", "buckets/a/2.tar", "buckets/b/1.tar"]),
        ("buckets/*/", ["buckets/a", "buckets/b"]),
        ("*.tar", ["top.tar"]),
        (".*.tmp", [".x.tmp"]),
        ("top.tar", ["top.tar"]),
        ("none/*/*.tar", []),
        ("top.tar/*", []),
    ],
)
def test_what_matches(folder: Path, pattern: str, found: list[str]) -> None:
    assert [path.relative_to(folder).as_posix() for path in matching(folder, pattern)] == found


def test_no_folder_has_nothing(tmp_path: Path) -> None:
    assert matching(tmp_path / "none", "*") == []


def test_a_folder_that_cannot_be_listed_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listdir = os.listdir

    def refuse(path: Path) -> list[str]:
        if Path(path).name == "b":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(PermissionError):
        matching(folder, "buckets/*/*.tar")
    assert matching(folder, "buckets/*/")
