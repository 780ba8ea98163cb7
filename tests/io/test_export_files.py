"""What there is of an export on a disk, and what cannot be told."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hfbucket.io.export_files import ledger_parts, list_files


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger/part-00000.parquet").touch()
    scandir = os.scandir

    def fails(path: Any) -> Iterator[os.DirEntry[str]]:
        if os.fspath(path).endswith("ledger"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fails)
    with pytest.raises(OSError, match="Input/output error"):
        list_files(str(tmp_path))


def test_nothing_is_listed_where_there_is_no_folder(tmp_path: Path) -> None:
    assert list_files(str(tmp_path / "nothing")) == {}


def test_parts_of_a_ledger_come_in_order_as_far_as_they_go(tmp_path: Path) -> None:
    assert ledger_parts(tmp_path) == ()
    (tmp_path / "ledger").mkdir()
    assert ledger_parts(tmp_path) == ()
    names = [f"part-{number:05d}.parquet" for number in (1, 0, 3)]
    for name in (*names, "notes.txt"):
        (tmp_path / "ledger" / name).touch()
    assert [path.name for path in ledger_parts(tmp_path)] == ["part-00000.parquet", "part-00001.parquet"]


def test_a_ledger_that_cannot_be_looked_for_is_not_a_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), self)

    monkeypatch.setattr(Path, "stat", fails)
    with pytest.raises(OSError, match="Input/output error"):
        ledger_parts(tmp_path)
