"""Files far away, over http with all that may go wrong there: the right bytes, or an error that tells."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.http import HTTPFileSystem

from hfbucket.errors import SourceError
from hfbucket.io import http, patience, store
from hfbucket.io.ranges import RemoteFile
from tests.file_server import Fault, FileServer, serving_files
from tests.hub.client import run_python
from tests.hub.loopback import LoopbackHub

DATA = bytes(range(256)) * 40_000


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(patience, "WAIT_S", 0.0)
    (tmp_path / "files" / "deep").mkdir(parents=True)
    (tmp_path / "files" / "a.tar").write_bytes(DATA)
    (tmp_path / "files" / "deep" / "b.txt").write_bytes(b"caption")
    with serving_files(tmp_path / "files") as running:
        yield running


def test_ranges_are_asked_for_on_few_connections(server: FileServer) -> None:
    file = RemoteFile(f"{server.url}/a.tar")
    assert file.size_bytes == len(DATA)
    server.forget()
    for start in range(0, 1_000_000, 50_000):
        assert file.read(start, start + 1_000) == DATA[start : start + 1_000]
    asked = [request for request in server.requests() if request.method == "GET"]
    assert [request.range for request in asked] == [f"bytes={n}-{n + 999}" for n in range(0, 1_000_000, 50_000)]
    assert len({request.connection for request in asked}) == 1
    assert file.read(len(DATA) - 5, len(DATA)) == DATA[-5:]


@pytest.mark.parametrize("fault", ["status", "drop", "cut"])
@pytest.mark.parametrize("start", [0, 5, 1_000_000])
def test_what_passes_is_waited_out(server: FileServer, fault: Fault, start: int) -> None:
    file = RemoteFile(f"{server.url}/a.tar", size_bytes=len(DATA))
    for _ in range(2):  # before it is known that the server has ranges, and after
        server.faults[:] = [fault] * 5
        assert file.read(start, start + 700_000) == DATA[start : start + 700_000]
        assert not server.faults
    server.faults[:] = [fault] * (12 if fault == "drop" else 6)  # the client tries a lost one again by itself
    with pytest.raises(ConnectionError, match=f"{server.url}/a.tar: the (connection is lost|server answers 503)"):
        file.read(start, start + 700_000)


@pytest.mark.parametrize("fault", ["status", "drop", "cut"])
@pytest.mark.parametrize("start", [0, 1_000_000])
def test_a_stream_goes_on_where_it_broke_off(server: FileServer, fault: Fault, start: int) -> None:
    server.faults[:] = [fault] * 4
    url = f"{server.url}/a.tar"
    assert b"".join(store.stream(url, start, size_bytes=len(DATA))) == DATA[start:]
    assert len(server.requests()) == 5
    server.faults[:] = [fault] * (12 if fault == "drop" else 6)  # the client tries a lost one again by itself
    if fault == "cut":  # half of what is left comes every time, so it comes to its end
        assert store.read_bytes(url) == DATA
    else:
        with pytest.raises(ConnectionError, match=f"{url}: the (connection is lost|server answers 503)"):
            store.read_bytes(url)


def test_one_request_is_all_that_a_stream_needs(server: FileServer) -> None:
    assert store.read_bytes(f"{server.url}/a.tar") == DATA
    assert [(request.method, request.range) for request in server.requests()] == [("GET", None)]


def test_servers_without_ranges(server: FileServer) -> None:
    url = f"{server.url}/a.tar"
    server.faults[:] = ["whole"] * 20
    assert store.read_bytes(url) == DATA
    words = f"{url}: its server gives no parts of files: download it first"
    with pytest.raises(SourceError, match=words):
        RemoteFile(url).read(5, 10)
    with pytest.raises(SourceError, match="its server gives no parts of files: download it first"):
        list(store.stream(url, 5))
    server.faults[:] = [None]  # one machine behind the name has them, another has not
    assert RemoteFile(url).read(5, 10) == DATA[5:10]
    server.faults[:] = ["whole"] * 20
    with pytest.raises(SourceError, match=words):
        RemoteFile(url).read(5, 10)


def test_what_is_not_there_or_shorter_than_it_was(server: FileServer) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.tar: no such file"):
        store.read_bytes(f"{server.url}/none.tar")
    with pytest.raises(FileNotFoundError):
        RemoteFile(f"{server.url}/none.tar")
    file = RemoteFile(f"{server.url}/none.tar", size_bytes=100)
    with pytest.raises(FileNotFoundError, match=r"none\.tar: no such file"):
        file.read(0, 10)
    file = RemoteFile(f"{server.url}/deep/b.txt", size_bytes=1_000)
    assert file.read(4, 100) == b"ion"
    server.faults[:] = ["other"]
    assert file.read(0, 7) == b"captio"


@pytest.mark.parametrize("known", [False, True])
def test_refusals(server: FileServer, known: bool) -> None:
    file = RemoteFile(f"{server.url}/a.tar", size_bytes=len(DATA))
    if known:
        file.read(5, 6)
    server.faults[:] = ["denied"]
    with pytest.raises(PermissionError, match=r"a\.tar: the server answers 403"):
        file.read(5, 10)
    server.faults[:] = ["denied"]
    with pytest.raises(PermissionError, match=r"a\.tar: the server answers 403"):
        list(store.stream(file.url))


@pytest.mark.parametrize("fault", ["status", "drop"])
def test_looking_waits_out_what_passes(server: FileServer, fault: Fault) -> None:
    server.head_faults[:] = [fault] * 4
    assert store.kind_of(f"{server.url}/a.tar") == "file"
    server.head_faults[:] = [fault] * 4
    assert store.info(f"{server.url}/a.tar").size_bytes == len(DATA)
    server.head_faults[:] = [fault] * 4
    assert [file.size_bytes for file in store.walk(server.url)] == [len(DATA), 7]
    assert not server.head_faults
    server.head_faults[:] = [fault] * (12 if fault == "drop" else 6)
    with pytest.raises(ConnectionError, match=r"a\.tar: the (connection is lost|server answers 503)"):
        store.kind_of(f"{server.url}/a.tar")


def test_looking_tells_why_it_cannot(server: FileServer) -> None:
    server.head_faults[:], server.faults[:] = ["denied"], ["denied"]
    with pytest.raises(PermissionError, match=r"a\.tar: the server answers 403"):
        store.kind_of(f"{server.url}/a.tar")
    server.head_faults[:] = ["denied"]  # who may not ask may read
    assert store.info(f"{server.url}/a.tar").size_bytes == len(DATA)


def test_where_no_server_is_that_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(patience, "WAIT_S", 1.0)
    monkeypatch.setattr("time.sleep", waited.append)
    url = "http://127.0.0.1:9/x.tar"
    with pytest.raises(ConnectionRefusedError, match=f"^{url}: no server answers there .*Connection refused"):
        store.kind_of(url)
    assert waited == [1]
    with pytest.raises(ConnectionRefusedError, match=f"^{url}: no server answers there"):
        RemoteFile(url, size_bytes=10).read(0, 10)  # in the middle of a build it may be starting again
    assert waited == [1, 1, 2, 4, 8, 16]


def test_another_range_than_was_asked_for_is_refused(server: FileServer) -> None:
    server.faults[:] = ["shifted"]
    with pytest.raises(SourceError, match=r"a\.tar: asked for from byte 1,000 on, it came from byte 1,001 on"):
        RemoteFile(f"{server.url}/a.tar", size_bytes=len(DATA)).read(1_000, 2_000)


def test_ranges_of_another_version_are_refused(server: FileServer) -> None:
    url = f"{server.url}/a.tar"
    file = RemoteFile(url, size_bytes=len(DATA), version=store.info(url).version)
    assert file.read(5, 10) == DATA[5:10]
    os.utime(server.folder / "a.tar", ns=(0, 0))
    with pytest.raises(SourceError, match=f"^{url} changed after it was planned; run the same command again"):
        file.read(5, 10)
    assert RemoteFile(url, version="10240000;mtime=1").read(5, 10) == DATA[5:10]  # nothing that could be compared


def test_headers_of_the_file_system_go_along(server: FileServer) -> None:
    fs = fsspec.filesystem("http", headers={"X-Mine": "yes"}, skip_instance_cache=True)
    with closing(http.Answer(fs, f"{server.url}/deep/b.txt", 3)) as answer:
        assert answer.read(100) == b"tion"
    assert http.read_range(fs, f"{server.url}/a.tar", 3, 6) == DATA[3:6]
    heads = [request.headers for request in server.requests()]
    assert {head["X-Mine"] for head in heads} == {"yes"}
    assert {head["Accept-Encoding"] for head in heads} == {"identity"}


def test_a_login_in_the_url_goes_along(server: FileServer) -> None:
    url = f"{server.url}/a.tar".replace("//", "//me:a%20word@")
    assert store.read_bytes(url) == RemoteFile(url).read(0, len(DATA)) == DATA
    said = [(request.method, {key.lower(): value for key, value in request.headers.items()}) for request in server.log]
    assert [(method, heads.get("authorization")) for method, heads in said] == [
        (method, "Basic bWU6YSB3b3Jk") for method in ("GET", "HEAD", "GET")
    ]


def test_settings_of_the_client_are_heeded(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fsspec.config.conf, "http", {"client_kwargs": {"headers": {"X-Mine": "yes"}}})
    HTTPFileSystem.clear_instance_cache()
    url = f"{server.url}/a.tar"
    server.faults[:] = [None, "status", "cut"]
    assert store.read_bytes(url) == RemoteFile(url).read(0, len(DATA)) == DATA
    assert {request.headers["X-Mine"] for request in server.requests()} == {"yes"}
    server.faults[:] = ["whole"]
    with pytest.raises(SourceError, match="its server gives no parts of files: download it first"):
        RemoteFile(url).read(5, 10)
    with pytest.raises(FileNotFoundError):
        store.read_bytes(f"{server.url}/none.tar")
    HTTPFileSystem.clear_instance_cache()


def test_listing_looks_into_no_file(server: FileServer) -> None:
    assert store.kind_of(f"{server.url}/a.tar") == "file"
    assert store.kind_of(f"{server.url}/deep") == "folder"
    assert store.kind_of(f"{server.url}/none") == "nothing"
    found = store.walk(server.url)
    assert [(file.path, file.size_bytes) for file in found] == [(b"a.tar", len(DATA)), (b"deep/b.txt", 7)]
    assert len({file.version for file in found}) == 2
    assert store.glob(server.url, "*.tar") == [b"a.tar"]
    assert server.sent_bytes() < 3_000


HUB_CODE = """
from hfbucket.io.ranges import RemoteFile
file = RemoteFile("hf://datasets/me/name/a.tar")
assert file.size_bytes == 10_240_000
for start in range(0, 10_000_000, 1_000_000):
    assert file.read(start, start + 100_000) == (bytes(range(256)) * 40_000)[start : start + 100_000]
"""


def test_ranges_of_the_hub_share_a_connection(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create("me/name")
    hub.commit("me/name", {"a.tar": DATA})
    hub.faults.add("resolve", "cut", calls={3})
    run_python(hub, HUB_CODE, tmp_path / "home")
    asked = [request for request in hub.log.requests if request.endpoint == "resolve"]
    assert len(asked) == 11
    assert asked[3].range == "bytes=2050000-2099999"
    assert len({request.connection for request in asked}) == 2  # another after the one that was cut


def test_where_the_hub_sends_to_is_asked_until_it_refuses(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create("me/name", private=True)
    hub.commit("me/name", {"a.tar": DATA})
    hub.redirects = True
    hub.faults.add("cdn", "status", status=403, calls={5})
    run_python(hub, HUB_CODE, tmp_path / "home")
    asked = [(request.endpoint, request.token) for request in hub.log.requests if request.method == "GET"]
    asked = [each for each in asked if each[0] in ("resolve", "cdn")]
    assert asked == [("resolve", True), *[("cdn", False)] * 5, ("resolve", True), *[("cdn", False)] * 7][: len(asked)]
    assert len(asked) == 13
