"""Bytes move by the first way that works here, and are the same by each."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hfbucket.io import moves
from hfbucket.io.moves import copy_range, link_or_copy

DATA = os.urandom(3_000_000)


def copied(folder: Path, start: int, size_bytes: int) -> bytes:
    (folder / "old").write_bytes(DATA)
    with (folder / "old").open("rb") as old, (folder / "new").open("wb", buffering=0) as new:
        new.write(b"before")
        copy_range(old.fileno(), new.fileno(), start, size_bytes)
        new.write(b"after")
        assert old.tell() == 0
    return (folder / "new").read_bytes()


@pytest.mark.parametrize("ways", range(3))
@pytest.mark.parametrize(("start", "size_bytes"), [(0, 3_000_000), (512, 1_500_001), (7, 0)])
def test_every_way_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: int, start: int, size_bytes: int
) -> None:
    monkeypatch.setattr(moves, "_WAYS", moves._WAYS[-1 - ways :])
    assert copied(tmp_path, start, size_bytes) == b"before" + DATA[start : start + size_bytes] + b"after"


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP])
def test_a_way_that_closes_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    calls: list[int] = []

    def closing(source: int, target: int, start: int, size_bytes: int) -> int:
        calls.append(start)
        if len(calls) == 3:
            raise OSError(number, os.strerror(number))
        return moves._by_hand(source, target, start, min(size_bytes, 1000))

    def nothing(source: int, target: int, start: int, size_bytes: int) -> int:
        return 0

    monkeypatch.setattr(moves, "_WAYS", (closing, nothing, moves._by_hand))
    assert copied(tmp_path, 100, 2_000_000) == b"before" + DATA[100:2_000_100] + b"after"
    assert calls == [100, 1100, 2100]


def test_faults_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="ends 1000000 bytes before it should"):
        copied(tmp_path, 0, 4_000_000)

    def full(source: int, target: int, start: int, size_bytes: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(moves, "_WAYS", (full, moves._by_hand))
    with pytest.raises(OSError, match="No space left"):
        copied(tmp_path, 0, 1)


def test_link_or_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(DATA)
    link_or_copy(old, new)
    assert new.samefile(old)

    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    link_or_copy(old, tmp_path / "other")
    assert not (tmp_path / "other").samefile(old)
    assert (tmp_path / "other").read_bytes() == DATA
    assert {path.name for path in tmp_path.iterdir()} == {"old", "new", "other"}
