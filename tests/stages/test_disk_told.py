"""What a disk says comes as an error of ours that names the file, whatever call it was."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import hfbucket
from hfbucket.errors import PullError, PushError
from hfbucket.io.atomic import write_bytes
from tests.factories import make_export


def _full(number: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_flushing_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", _full)
    with pytest.raises(OSError, match="here"):
        write_bytes(tmp_path / "here", b"x")


def test_push_and_pull(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_export(tmp_path / "export", bases=(64,), divisible=8)
    monkeypatch.setattr("os.fsync", _full)
    words = r"the disk is full: .*there.*same command"
    with pytest.raises(PushError, match=words):
        hfbucket.push(tmp_path / "export", str(tmp_path / "there"), workers=0)
    assert not (tmp_path / "there/manifest.json").exists()
    with pytest.raises(PullError, match=words):
        hfbucket.pull(str(tmp_path / "export"), tmp_path / "there too")
    assert not (tmp_path / "there too/manifest.json").exists()
