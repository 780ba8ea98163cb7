"""What the Hub sends to another server for is read there without the Hub's client, where nothing speaks against it."""

from __future__ import annotations

import base64
import gzip
import os
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier
from typing import Any, ClassVar

import huggingface_hub
import pytest
import trustme
import urllib3
from huggingface_hub.utils._http import default_client_factory

from hfbucket.io.hub import straight
from hfbucket.io.hub.file import LOST, HubFile
from hfbucket.io.hub.ranges import Answer, HubRanges
from tests.file_server import FileServer, serving_files
from tests.hub import files
from tests.hub.client import client_here, run_python
from tests.hub.loopback import TOKEN, LoopbackHub
from tests.hub.messages import Call, Reply

LARGE = bytes(range(256)) * 20_000 + b"the end"
SHARD = HubFile(repo_id="me/name", path="buckets/b 1/shard-00000.tar")


@pytest.fixture(autouse=True)
def _client(hub: LoopbackHub, tmp_path: Path) -> Iterator[None]:
    hub.create("me/name", private=True)
    hub.commit("me/name", {SHARD.path: LARGE, "small.json": b"{}"})
    hub.redirects = True
    with client_here(hub, tmp_path / "home"):
        yield


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """What came of every question that went straight to the other server: its status."""
    found: list[int | None] = []
    ask = straight.ask

    def listening(url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse | None:
        answer = ask(url, headers)
        found.append(None if answer is None else answer.status)
        return answer

    monkeypatch.setattr(straight, "ask", listening)
    return found


def read(source: HubRanges) -> bytes:
    with Answer(source) as answer:
        return answer.read()


def steps(hub: LoopbackHub) -> list[tuple[str, bool, int | None]]:
    """Return what was asked of whom, whether with the token, and what came of it."""
    found = [(request.endpoint, request.token, request.status) for request in hub.log.requests]
    hub.log.clear()
    return found


def test_bytes_come_from_the_other_server(hub: LoopbackHub, asked: list[int | None]) -> None:
    source = HubRanges(SHARD, TOKEN)
    assert read(source) == LARGE
    assert steps(hub) == [("resolve", True, 302), ("cdn", False, 200)]
    assert source.read(10, 2_000_010) == LARGE[10:2_000_010]
    assert source.read(5, 6) == LARGE[5:6]
    assert asked == [200, 206, 206]
    assert len({request.connection for request in hub.log.requests}) == 1
    assert steps(hub) == [("cdn", False, 206)] * 2


def test_threads_ask_the_hub_once(hub: LoopbackHub, asked: list[int | None]) -> None:
    source, together = HubRanges(SHARD, TOKEN), Barrier(8)

    def part(number: int) -> bytes:
        together.wait()
        return source.read(number * 1000, number * 1000 + 700)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(part, range(8))) == [LARGE[start : start + 700] for start in range(0, 8000, 1000)]
    assert asked == [206] * 8
    assert hub.log.count("resolve") == 1


def test_what_the_hub_gives_itself_comes_from_it(hub: LoopbackHub, asked: list[int | None]) -> None:
    assert HubRanges(HubFile(repo_id="me/name", path="small.json"), TOKEN).read(0, 2) == b"{}"
    assert steps(hub) == [("resolve", True, 206)]
    assert asked == []


def test_an_address_that_is_good_no_longer_is_asked_for_again(hub: LoopbackHub, asked: list[int | None]) -> None:
    source = HubRanges(SHARD, TOKEN)
    hub.faults.add("cdn", "status", status=403, calls={2})
    for _ in range(3):
        assert source.read(0, 100) == LARGE[:100]
    assert asked == [206, 403, 206, 206]
    said = [("resolve", True, 302), ("cdn", False, 206)]
    assert steps(hub) == [*said, ("cdn", False, 403), *said, ("cdn", False, 206)]


def test_where_a_new_address_is_no_good_either_the_client_reads(hub: LoopbackHub, asked: list[int | None]) -> None:
    source = HubRanges(SHARD, TOKEN)
    hub.faults.add("cdn", "status", status=403, calls={1})
    assert [source.read(0, 100), source.read(7, 9)] == [LARGE[:100], LARGE[7:9]]
    assert asked == [403]
    said = [("resolve", True, 302), ("cdn", False, 403), ("resolve", True, 302)]
    assert steps(hub) == [*said, ("cdn", False, 206), ("cdn", False, 206)]


def test_where_nothing_answers_the_client_reads(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, asked: list[int | None]
) -> None:
    monkeypatch.setattr(straight, "connections", lambda *_: urllib3.ProxyManager("http://127.0.0.1:9", retries=False))
    source = HubRanges(SHARD, TOKEN)
    assert [read(source), source.read(7, 9)] == [LARGE, LARGE[7:9]]
    assert asked == [None]
    assert not any(token for endpoint, token, _ in steps(hub) if endpoint == "cdn")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for_by_the_client(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, asked: list[int | None], status: int
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    hub.faults.add("cdn", "status", status=status, retry_after="7", calls={1, 2})
    source = HubRanges(SHARD, TOKEN)
    assert [read(source), read(source)] == [LARGE, LARGE]
    assert waited == [8]
    assert asked == [status, 200]


def test_a_connection_that_is_cut_goes_on_there(hub: LoopbackHub, asked: list[int | None]) -> None:
    hub.faults.add("cdn", "cut", calls={1, 2})
    assert read(HubRanges(SHARD, TOKEN)) == LARGE
    assert asked == [200, 206, 206]
    half = len(LARGE) // 2
    ranges = [request.range for request in hub.log.requests if request.endpoint == "cdn"]
    quarter = half + (len(LARGE) - half) // 2
    assert ranges == [None, f"bytes={half}-{len(LARGE) - 1}", f"bytes={quarter}-{len(LARGE) - 1}"]
    assert hub.log.count("resolve") == 1


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets variables that name proxies, where none is named."""

    def named(**variables: str) -> None:
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(variable)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        huggingface_hub.close_session()

    return named


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
def test_proxies_are_used(hub: LoopbackHub, proxied: Callable[..., None], asked: list[int | None], name: str) -> None:
    proxied(**{name: hub.endpoint})  # which answers what comes as to a proxy like any other request
    source = HubRanges(SHARD, TOKEN)
    assert [read(source), source.read(7, 9)] == [LARGE, LARGE[7:9]]
    assert asked == [200, 206]
    assert [request.is_proxied for request in hub.log.requests] == [name != "HTTPS_PROXY"] * 3
    assert steps(hub) == [("resolve", True, 302), ("cdn", False, 200), ("cdn", False, 206)]


def test_who_needs_no_proxy_is_asked_without(
    hub: LoopbackHub, proxied: Callable[..., None], asked: list[int | None]
) -> None:
    proxied(http_proxy=hub.endpoint.removeprefix("http://"), no_proxy="localhost")
    assert read(HubRanges(SHARD, TOKEN)) == LARGE
    assert asked == [200]
    assert [request.is_proxied for request in hub.log.requests] == [True, False]


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_proxies_of_other_kinds_are_left_to_the_client(proxied: Callable[..., None], name: str) -> None:
    proxied(https_proxy="https://127.0.0.1:9", **{name: "socks5://127.0.0.1:9"})
    assert not straight.is_open()


def test_a_client_of_the_user_s_reads(hub: LoopbackHub, asked: list[int | None]) -> None:
    made = []

    def factory() -> Any:
        made.append(default_client_factory())
        return made[-1]

    huggingface_hub.set_client_factory(factory)
    try:
        assert read(HubRanges(SHARD, TOKEN)) == LARGE
    finally:
        huggingface_hub.set_client_factory(default_client_factory)
    assert len(made) == 1
    assert asked == []
    assert steps(hub) == [("resolve", True, 302), ("cdn", False, 200)]


def test_a_client_with_other_names_inside_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert straight.is_open()
    monkeypatch.delattr("huggingface_hub.utils._http._GLOBAL_CLIENT_FACTORY")
    assert not straight.is_open()


def test_what_comes_packed_is_left_to_the_client(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, asked: list[int | None]
) -> None:
    def packed(call: Call, sha256: str, headers: dict[str, str]) -> Reply:
        return Reply(content=gzip.compress(LARGE), headers={**headers, "Content-Encoding": "gzip"})

    monkeypatch.setattr(files, "content", packed)
    assert read(HubRanges(SHARD, TOKEN)) == LARGE
    assert asked == [200]
    assert hub.log.count("cdn") == 2


@pytest.fixture
def https(tmp_path: Path) -> Iterator[tuple[FileServer, Path]]:
    """A file server by https, and the certificate of who vouches for it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(certificate)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a").write_bytes(LARGE)
    with serving_files(tmp_path / "served", certificate=certificate) as server:
        yield server, tmp_path / "authority.pem"


def test_certificates_are_those_of_the_client(https: tuple[FileServer, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    server, authority = https
    straight._certificates.cache_clear()
    assert straight.ask(f"{server.url}/a", {}) is None
    with pytest.raises(LOST, match="CERTIFICATE_VERIFY_FAILED"):
        huggingface_hub.get_session().get(f"{server.url}/a")
    assert server.requests() == []
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    straight._certificates.cache_clear()
    answer = straight.ask(f"{server.url}/a", {})
    assert answer is not None
    assert answer.read() == LARGE
    straight._certificates.cache_clear()


class _Proxy(socketserver.ThreadingTCPServer):
    """A proxy for https."""

    daemon_threads = True
    block_on_close = False  # connections are kept


class _Tunnel(socketserver.BaseRequestHandler):
    """One connection through it, to wherever it is asked for."""

    asked: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.request.recv(65536)
        self.asked.append(head)
        host, port = head.split()[1].decode().rsplit(":", 1)
        with socket.create_connection((host, int(port))) as there:
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self._pass_on, args=(there, self.request))
            back.start()
            self._pass_on(self.request, there)
            back.join()

    def _pass_on(self, here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(65536):
                there.sendall(data)
            there.shutdown(socket.SHUT_WR)


def test_https_goes_through_a_tunnel_of_the_proxy(
    https: tuple[FileServer, Path], proxied: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, authority = https
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    straight._certificates.cache_clear()
    with _Proxy(("127.0.0.1", 0), _Tunnel) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        proxied(https_proxy=f"http://me:p%40ss@127.0.0.1:{proxy.server_address[1]}")
        answer = straight.ask(f"{server.url}/a", {})
        assert answer is not None
        assert answer.read() == LARGE
        proxy.shutdown()
        thread.join()
    (asked,) = _Tunnel.asked
    assert f"CONNECT {server.url.removeprefix('https://')} ".encode() in asked
    assert b"uthorization: Basic " + base64.b64encode(b"me:p@ss") in asked
    assert [name for name in server.requests()[0].headers if "authorization" in name.lower()] == []
    straight._certificates.cache_clear()


FORKED = """
import os, sys
from hfbucket.io.ranges import RemoteFile
data = bytes(range(256)) * 20_000
file = RemoteFile(sys.argv[1], size_bytes=len(data))
assert file.read(0, 100) == data[:100]
children = []
for number in range(2):
    children.append(os.fork())
    if not children[-1]:
        for start in range(number, 300_000, 3_000):
            assert file.read(start, start + 2_000) == data[start : start + 2_000]
        os._exit(0)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kind", ["hf", "http"])
def test_processes_that_are_forked_off_have_connections_of_their_own(
    hub: LoopbackHub, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.tar").write_bytes(LARGE)
    with serving_files(tmp_path / "files") as server:
        hub.log.clear()
        url = f"{server.url}/a.tar" if kind == "http" else f"hf://datasets/me/name/{SHARD.path}"
        run_python(hub, FORKED, tmp_path / "other-home", url)
        connections = [request.connection for request in server.requests()]
    connections += [request.connection for request in hub.log.requests if request.endpoint == "cdn"]
    assert len(connections) == 201
    assert sorted(map(connections.count, set(connections))) == [1, 100, 100]
