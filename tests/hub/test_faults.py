"""Every fault that the loopback Hub can show, as the unmodified client meets it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from httpx2 import RemoteProtocolError
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from tests.hub.client import client_here
from tests.hub.faults import Kind
from tests.hub.loopback import LoopbackHub

LARGE = bytes(range(256)) * 100


@pytest.fixture(autouse=True)
def _client(hub: LoopbackHub, tmp_path: Path) -> Iterator[None]:
    hub.create("me/name")
    with client_here(hub, tmp_path / "home"):
        yield


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client would have waited."""
    found: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", found.append)
    return found


def upload() -> None:
    HfApi().upload_file(path_or_fileobj=LARGE, path_in_repo="large.tar", repo_id="me/name", repo_type="dataset")


def download() -> bytes:
    return Path(HfApi().hf_hub_download("me/name", "large.tar", repo_type="dataset")).read_bytes()


@pytest.mark.parametrize("endpoint", ["preupload", "lfs-batch", "put", "verify"])
@pytest.mark.parametrize("kind", ["status", "drop", "lost"])
def test_an_upload_is_tried_again(hub: LoopbackHub, waited: list[float], endpoint: str, kind: Kind) -> None:
    hub.faults.add(endpoint, kind, status=429, retry_after="2")
    upload()
    assert waited == [3 if kind == "status" else 1]
    assert len(hub.log.puts) == (2 if (endpoint, kind) == ("put", "lost") else 1)
    assert [request.fault for request in hub.log.requests if request.endpoint == endpoint] == [kind, None]
    assert hub.read(hub.repository("me/name").at("main"), "large.tar") == LARGE


@pytest.mark.parametrize(("kind", "commits"), [("status", 1), ("drop", 1), ("lost", 2)])
def test_a_commit_is_not_tried_again(hub: LoopbackHub, kind: Kind, commits: int) -> None:
    hub.faults.add("commit", kind, status=503)
    with pytest.raises((HfHubHTTPError, RemoteProtocolError)):
        upload()
    assert len(hub.repository("me/name").history()) == commits


@pytest.mark.parametrize("redirects", [False, True])
@pytest.mark.parametrize("kind", ["status", "drop", "cut", "slow"])
def test_a_download_comes_whole(hub: LoopbackHub, kind: Kind, redirects: bool) -> None:
    hub.commit("me/name", {"large.tar": LARGE})
    hub.redirects = redirects
    # The first request for a file asks for its head only.
    hub.faults.add("cdn" if redirects else "resolve", kind, status=429, calls={1 if redirects else 2})
    assert download() == LARGE


def test_a_download_is_not_tried_again_after_a_server_error(hub: LoopbackHub) -> None:
    hub.commit("me/name", {"large.tar": LARGE})
    hub.faults.add("resolve", "status", status=500, calls={2})
    with pytest.raises(HfHubHTTPError, match="500"):
        download()


def test_wrong_bytes_arrive_unnoticed_by_the_client(hub: LoopbackHub) -> None:
    hub.commit("me/name", {"large.tar": LARGE})
    hub.faults.add("resolve", "wrong", calls={2})
    arrived = download()
    assert arrived != LARGE
    assert len(arrived) == len(LARGE)


def test_an_upload_broken_on_its_way_is_not_kept(hub: LoopbackHub) -> None:
    hub.faults.add("put", "wrong")
    with pytest.raises(RuntimeError, match=r"Error while uploading 'large\.tar'"):
        upload()
    upload()
    assert [put.kept for put in hub.log.puts] == [False, True]


def test_faults_count_calls_of_what_they_name(hub: LoopbackHub) -> None:
    hub.faults.add("tree", "status", calls=range(2, 4))
    hub.faults.add("*", "slow", match="shard-7", calls=range(1, 100))
    calls = [("tree", "a"), ("info", "a"), ("tree", "b"), ("put", "x/shard-7"), ("tree", "y"), ("tree", "z")]
    met = [hub.faults.at(endpoint, path) for endpoint, path in calls]
    assert [fault.kind if fault else None for fault in met] == [None, None, "status", "slow", "status", None]
    hub.faults.clear()
    assert hub.faults.at("tree", "shard-7") is None


@pytest.mark.parametrize("head", [b"Content-Length: 100\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n64\r\n"])
def test_of_an_upload_cut_off_nothing_stays(hub: LoopbackHub, head: bytes) -> None:
    address = urlsplit(hub.endpoint)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(b"PUT /lfs/" + b"a" * 64 + b" HTTP/1.1\r\n" + head + b"x" * 50)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert [put.kept for put in hub.log.puts] == [False]
    assert [request.status for request in hub.log.requests] == [None]
    assert not list(hub.store.blobs.folder.glob("incoming-*"))


def test_the_hubs_own_way_to_say_when(hub: LoopbackHub, waited: list[float]) -> None:
    hub.faults.add("preupload", "status", status=429, headers={"RateLimit": '"api";r=0;t=7'})
    upload()
    assert waited == [8]


def test_a_late_answer(hub: LoopbackHub, waited: list[float]) -> None:
    hub.faults.add("info", "late", pause_s=30)
    assert HfApi().dataset_info("me/name").id == "me/name"
    assert waited == [30]


def test_a_slow_answer_comes_in_pieces(hub: LoopbackHub, waited: list[float]) -> None:
    hub.faults.add("info", "slow", pause_s=0.1)
    assert HfApi().dataset_info("me/name").id == "me/name"
    assert waited.count(0.1) >= 8  # the Hub sleeps by the same clock
    assert time.sleep == waited.append
