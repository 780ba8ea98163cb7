"""A file hashed by a thread is the file that was asked for, and what waits for the thread has a bound."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hfbucket.io import hashed_file
from hfbucket.io.hashed_file import HashedFile

MOST = 6 << 20
"""More than may wait, so that the thread has to keep up."""


def pieces(seed: int, *, most_bytes: int, total: int) -> list[bytes]:
    """Return pieces of all sizes, nothing among them."""
    draw = random.Random(seed)
    found: list[bytes] = []
    while total > 0:
        found.append(draw.randbytes(draw.choice([0, 1, 512, draw.randrange(most_bytes)])))
        total -= len(found[-1])
    return found


@pytest.mark.parametrize(("most_bytes", "total"), [(100, 3000), (200_000, MOST), (3 << 20, 3 * MOST), (2000, 2 << 20)])
def test_all_bytes_are_there_in_order_with_their_hash(tmp_path: Path, most_bytes: int, total: int) -> None:
    parts = pieces(total, most_bytes=most_bytes, total=total)
    with HashedFile(tmp_path / "file") as file:
        for start in range(0, len(parts), 3):
            file.write(*parts[start : start + 3])
        sha256 = file.finish()
    data = (tmp_path / "file").read_bytes()
    assert data == b"".join(parts)
    assert (file.size_bytes, sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_full_disk_reaches_who_fills_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "writev", full)
    with HashedFile(tmp_path / "file") as file, pytest.raises(OSError, match="No space left on device"):
        file.write(bytes(1 << 20))


def test_an_error_of_the_thread_reaches_who_fills_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with HashedFile(tmp_path / "file") as file:
        file.write(bytes(1 << 20))
        monkeypatch.setattr(os, "fsync", broken)
        file.end()
        with pytest.raises(OSError, match="Input/output error"):
            file.finish()


def test_no_more_waits_than_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = 0
    most = 0
    hashed = hashlib.sha256()

    class Slow:
        def update(self, data: bytes) -> None:
            nonlocal waiting
            time.sleep(0.001)
            waiting -= len(data)
            hashed.update(data)

        def hexdigest(self) -> str:
            return hashed.hexdigest()

    piece = 300_000
    monkeypatch.setattr(hashed_file, "hashlib", SimpleNamespace(sha256=Slow))
    with HashedFile(tmp_path / "file") as file:
        for _ in range(100):
            waiting += piece
            file.write(bytes(piece))
            most = max(most, waiting)
        assert file.finish() == hashlib.sha256(bytes(100 * piece)).hexdigest()
    # What waits to be handed over, what was, and the turn that the thread is at.
    limits = vars(hashed_file)
    assert piece < most <= limits["_WAITING_BYTES"] + 2 * (limits["_TURN_BYTES"] + piece)


def test_leaving_early_closes_the_file(tmp_path: Path) -> None:
    with HashedFile(tmp_path / "file") as file:
        file.write(bytes(10 << 20))
    with HashedFile(tmp_path / "file") as file:
        file.write(b"anew")
        file.finish()
    assert (tmp_path / "file").read_bytes() == b"anew"
