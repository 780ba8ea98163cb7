"""Files read in one run, from any byte, over connections that break."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import cast

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.io import patience
from hfbucket.io import stream as module
from hfbucket.io.ahead import BUDGET_BYTES
from hfbucket.io.ranges import RemoteFile
from hfbucket.io.store import read_bytes, stream
from tests.file_server import serving_files
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


@pytest.mark.parametrize(("start", "step"), [(0, "resolve"), (1_000_000, "cdn")])
def test_lost_connections_are_taken_up(hub: LoopbackHub, tmp_path: Path, start: int, step: str) -> None:
    hub.create("me/name")
    hub.commit("me/name", {"a/large.tar": DATA})
    hub.redirects = step == "cdn"
    hub.faults.add(step, "cut", calls=range(1, 5))
    done = run_python(hub, CODE, tmp_path / "home", str(start), str(len(DATA)))
    assert done.stdout.strip() == hashlib.sha256(DATA[start:]).hexdigest()
    ranges = [request.range or "bytes=0-" for request in hub.log.requests if request.endpoint == step]
    assert ranges[0] == f"bytes={start}-"
    assert len(ranges) == len(set(ranges)) == 5


@pytest.mark.parametrize("size", [None, 3_072_000])
def test_what_one_answer_gives_slowly_comes_by_ranges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    monkeypatch.setattr(module, "_TRIAL_BYTES", 1_000_000)
    monkeypatch.setattr(module, "_FAST", 1e15)
    monkeypatch.setattr(module, "BLOCK_BYTES", 300_000)
    monkeypatch.setattr(module, "_PIECE_BYTES", 100_000)
    (tmp_path / "a.tar").write_bytes(DATA)
    with serving_files(tmp_path) as server:
        server.faults[:] = [None, None, "cut", "status"]
        monkeypatch.setattr(patience, "WAIT_S", 0.0)
        assert b"".join(stream(f"{server.url}/a.tar", 1_000, size_bytes=size)) == DATA[1_000:]
        asked = {request.range for request in server.requests()}
        begins = range(1_101_000, len(DATA), 300_000)
        ranges = {f"bytes={begin}-{min(begin + 300_000, len(DATA)) - 1}" for begin in begins}
        assert asked == {"bytes=1000-", "bytes=1001000-1100999", *ranges}
        monkeypatch.setattr(module, "_FAST", 0)
        server.forget()
        assert b"".join(stream(f"{server.url}/a.tar")) == DATA
        assert [request.range for request in server.requests()] == [None]


@given(st.integers(0, 900 << 20), st.integers(0, 3 << 20))
def test_ranges_stay_within_the_budget(size: int, start: int) -> None:
    class Far:
        size_bytes = size
        lock = threading.Lock()
        asked = 0

        def read(self, begin: int, end: int) -> bytes:
            with self.lock:
                self.asked += end - begin
            return cast("bytes", range(end - begin))  # as long as these, and takes no memory

    far = Far()
    came = used = 0
    for piece in module._by_ranges(cast("RemoteFile", far), start):
        came += len(piece)
        assert far.asked - used <= BUDGET_BYTES
        used = came
    assert came == max(0, size - start)


def test_no_answer_and_no_file_on_the_hub(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create("me/name")
    said = run_python(hub, CODE, tmp_path / "home", "0", "1", check=False).stderr.splitlines()[-1]
    assert said == "FileNotFoundError: me/name/a/large.tar: no such file"
    assert hub.log.count("resolve") == 1
