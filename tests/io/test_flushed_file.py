"""What is written is there, whole, whatever the system takes at once; the disk is told early."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hfbucket.io import flushed_file
from hfbucket.io.flushed_file import FlushedFile


def test_a_system_that_takes_less_than_it_is_given_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, writev = os.write, os.writev
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: max(1, len(data) // 2)]))
    monkeypatch.setattr(os, "writev", lambda fd, parts: writev(fd, list(parts)[: max(1, len(parts) // 2)]))
    parts = [b"a" * 5, b"b" * 700, b"", b"c" * 3]
    with FlushedFile(tmp_path / "file") as file:
        file.write(*parts)
        for part in parts:
            file.write(part)
        assert file.size_bytes == 2 * 708
    assert (tmp_path / "file").read_bytes() == 2 * b"".join(parts)


def test_parts_are_as_many_as_one_likes(tmp_path: Path) -> None:
    parts = [b"%d," % number for number in range(5_000)]  # one call of Linux takes 1,024
    with FlushedFile(tmp_path / "file") as file:
        file.write(*parts)
    assert (tmp_path / "file").read_bytes() == b"".join(parts)


def test_the_disk_is_told_of_every_byte_once_there_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(flushed_file, "begin_flush", lambda _, start, size: told.append((start, size)))
    piece = 3 << 19
    with FlushedFile(tmp_path / "file") as file:
        for _ in range(8):
            file.write(bytes(piece))
        file.flush()
    assert told == [(0, 3 * piece), (3 * piece, 3 * piece)]


def test_leaving_closes_the_file(tmp_path: Path) -> None:
    with FlushedFile(tmp_path / "file") as file:
        file.write(b"all")
    with pytest.raises(ValueError, match="closed file"):
        file.flush()


def fail(*_: object) -> int:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("named", [None, "whole"])
def test_errors_name_what_the_file_is_to_be_called(
    named: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FlushedFile(tmp_path / "file", named=None if named is None else tmp_path / named) as file:
        monkeypatch.setattr(os, "writev", fail)
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output error") as writing:
            file.write(b"all")
        with pytest.raises(OSError, match="Input/output error") as flushing:
            file.flush()
    assert {writing.value.filename, flushing.value.filename} == {str(tmp_path / (named or "file"))}
