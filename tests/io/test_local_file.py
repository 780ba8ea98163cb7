"""A file is read if it is the one that was listed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hfbucket.io.local_file import read_unchanged


@pytest.mark.parametrize("data", [b"", b"some bytes", bytes(300_000)])
def test_reads_all_of_it(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    status = path.stat()
    assert read_unchanged(str(path), len(data), status.st_mtime_ns) == data
    assert read_unchanged(str(path), len(data) + 1, status.st_mtime_ns) is None
    assert read_unchanged(str(path), len(data), status.st_mtime_ns + 1) is None


def test_a_read_that_ends_early_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(range(100)))
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, max(1, size // 2)))
    assert read_unchanged(str(path), 100, path.stat().st_mtime_ns) == bytes(range(100))


def test_what_shrinks_meanwhile_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    monkeypatch.setattr(os, "read", lambda descriptor, size: b"")
    assert read_unchanged(str(path), 3, path.stat().st_mtime_ns) is None


def test_one_that_is_gone_names_itself(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        read_unchanged(str(tmp_path / "gone"), 1, 1)
    assert raised.value.filename == str(tmp_path / "gone")
