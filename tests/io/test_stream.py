"""Files read in one run, from any byte, over connections that break."""

from __future__ import annotations

import hashlib
from pathlib import Path

import fsspec
import pytest

from hfbucket.io.store import read_bytes, stream
from tests.hub.client import run_python
from tests.hub.loopback import LoopbackHub

DATA = bytes(range(256)) * 12_000

CODE = """
import hashlib, sys
from hfbucket.io import stream as module
data = b"".join(module.stream("hf://datasets/me/name/a/large.tar", int(sys.argv[1]), size_bytes=int(sys.argv[2])))
print(hashlib.sha256(data).hexdigest())
"""


@pytest.mark.parametrize("start", [0, 1, len(DATA) - 1, len(DATA)])
def test_from_any_byte(tmp_path: Path, start: int) -> None:
    (tmp_path / "file").write_bytes(DATA)
    fsspec.filesystem("memory").pipe_file("/stream/file", DATA)
    for url in (str(tmp_path / "file"), f"file://{tmp_path}/file", "memory://stream/file"):
        assert b"".join(stream(url, start)) == DATA[start:]


def test_no_file_and_short_files(tmp_path: Path) -> None:
    for url in (str(tmp_path / "none"), "memory://stream/none"):
        with pytest.raises(FileNotFoundError):
            read_bytes(url)
    fsspec.filesystem("memory").pipe_file("/stream/file", DATA)
    with pytest.raises(ConnectionError, match="ended at byte 3,072,000 of 3,072,001"):
        list(stream("memory://stream/file", size_bytes=len(DATA) + 1))
    assert len(read_bytes("memory://stream/file", limit_bytes=10)) < len(DATA)


@pytest.mark.parametrize("start", [0, 1_000_000])
def test_lost_connections_are_taken_up(hub: LoopbackHub, tmp_path: Path, start: int) -> None:
    hub.create("me/name")
    hub.commit("me/name", {"a/large.tar": DATA})
    hub.faults.add("resolve", "cut", calls=range(1, 5))
    done = run_python(hub, CODE, tmp_path / "home", str(start), str(len(DATA)))
    assert done.stdout.strip() == hashlib.sha256(DATA[start:]).hexdigest()
    ranges = [request.range or "bytes=0-" for request in hub.log.requests if request.endpoint == "resolve"]
    assert ranges[0] == f"bytes={start}-"
    assert len(ranges) == len(set(ranges)) == 5


def test_no_answer_and_no_file_on_the_hub(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create("me/name")
    said = run_python(hub, CODE, tmp_path / "home", "0", "1", check=False).stderr.splitlines()[-1]
    assert said == "FileNotFoundError: me/name/a/large.tar: no such file"
    assert hub.log.count("resolve") == 1
