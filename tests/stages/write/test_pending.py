"""What is said, and what is left, where the shards of a plan cannot all be written."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hfbucket.config import Config
from hfbucket.core.events import Event, Progress
from hfbucket.errors import BuildError
from hfbucket.executors.engines import Workers
from hfbucket.stages.write import parts, pending
from hfbucket.stages.write.build import build
from tests.stages.pictures import draw_folder, draw_tar, tree

SETTINGS: dict[str, Any] = {"base": (128, 64), "workers": 0, "title": "T"}


@pytest.fixture
def photos(tmp_path: Path) -> str:
    return str(draw_folder(tmp_path / "photos", 20))


def failing(number: int) -> Callable[..., int]:
    """Return what fails with an error of the system."""

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    return fail


full = failing(errno.ENOSPC)


def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write large shards in parts, as several workers do, but in this process."""
    monkeypatch.setattr(parts, "_LEAST_SAMPLES", 2)
    monkeypatch.setattr(Workers, "at_once", property(lambda _: 2))


def test_a_full_disk_is_named_and_what_parts_take(photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, work = tmp_path / "out", tmp_path / "out.work"
    with monkeypatch.context() as patch:
        in_parts(patch)
        patch.setattr(os, "writev", full)
        name = "buckets/r128_p1024x1024/shard-00000.0-2.tar"
        words = (
            f"{name}: the disk is full: {work}/parts/{name}; large shards are written in parts, which lie in {work} "
            "until they are joined and take up to as much room again: if that is the disk, run the command again with "
            "fewer --workers (with 0 or 1 there are no parts), or move that folder to another disk and name it by "
            "--work-dir; what is done stays done"
        )
        with pytest.raises(BuildError, match=f"^{re.escape(words)}$"):
            build(photos, out, Config(**SETTINGS))
        patch.setattr(os, "writev", failing(errno.EFBIG))
        with pytest.raises(BuildError, match=r"of that size: .*; what is done stays done: run the same command again"):
            build(photos, out, Config(**SETTINGS))
    build(photos, tmp_path / "whole", Config(**SETTINGS))
    in_parts(monkeypatch)
    work.rename(tmp_path / "elsewhere")
    build(photos, out, Config(**SETTINGS, work_dir=str(tmp_path / "elsewhere")))
    assert tree(out) == tree(tmp_path / "whole")


def test_without_parts_nothing_is_said_of_them(photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", full)
    words = f"the disk is full: {tmp_path}/out/buckets/r[0-9]+_p[0-9x]+/shard-00000.tar; what is done stays done: run"
    with pytest.raises(BuildError, match=words):
        build(photos, tmp_path / "out", Config(**SETTINGS))


def left_by_the_killed(tmp_path: Path) -> list[Path]:
    """Write temporaries, as of workers that were killed, wherever workers write; return them."""
    work = tmp_path / "out.work"
    folders = [tmp_path / "out/buckets/p1024x1024", work / "receipts/p1024x1024", work / "parts/buckets/p1024x1024",
               work / "parts/receipts/p1024x1024", work / "spool"]  # fmt: skip
    left = [folder / ".shard-00000.tar.9432.tmp" for folder in folders]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    return left


@pytest.mark.parametrize("source", ["folder", "tar.gz"])
def test_an_error_leaves_nothing_half_written(
    source: str, photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "writev", full)
    left: list[Path] = []

    def killed(event: Event) -> None:
        if isinstance(event, Progress) and event.stage in ("spool", "write") and not left:
            left.extend(left_by_the_killed(tmp_path))

    source = photos if source == "folder" else str(draw_tar(tmp_path / "a.tar.gz", 20, mode="w:gz"))
    with pytest.raises(BuildError, match="the disk is full"):
        build(source, tmp_path / "out", Config(**SETTINGS), on_event=killed)
    assert len(left) == 5
    assert not [path for path in left if path.exists()]


def test_what_cannot_be_removed_hides_no_error(photos: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*folders: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folders[0]))

    monkeypatch.setattr(os, "writev", full)
    monkeypatch.setattr(pending, "remove_temporaries", refuse)
    with pytest.raises(BuildError, match="the disk is full"):
        build(photos, tmp_path / "out", Config(**SETTINGS))
