"""Files of the Hub, read through a connection that does all that connections do."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from hfbucket.errors import SourceError
from hfbucket.io.hub.file import HubFile, hub_file
from hfbucket.io.hub.read import commit_of, download, open_hub_file
from tests.hub import files
from tests.hub.client import client_here
from tests.hub.history import Refused
from tests.hub.loopback import TOKEN, LoopbackHub
from tests.hub.messages import Call, Reply

LARGE = bytes(range(256)) * 4000 + b"the end"
SHARD = HubFile(repo_id="me/name", path="buckets/b 1/shard-00000.tar")


@pytest.fixture(autouse=True)
def _client(hub: LoopbackHub, tmp_path: Path) -> Iterator[None]:
    hub.create("me/name", private=True)
    hub.commit("me/name", {SHARD.path: LARGE, "manifest.json": b"{}", "a/b/manifest.json": b"[]"})
    with client_here(hub, tmp_path / "home"):
        yield


@pytest.fixture(autouse=True)
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited."""
    found: list[float] = []
    monkeypatch.setattr("time.sleep", found.append)
    return found


@pytest.fixture(params=["resolve", "cdn"])
def step(request: pytest.FixtureRequest, hub: LoopbackHub) -> str:
    """Who gives the bytes: the Hub, or the server it sends to."""
    hub.redirects = request.param == "cdn"
    return str(request.param)


def ranges(hub: LoopbackHub) -> list[str | None]:
    """Return the ranges that were asked for, None for all; nothing but files may have been."""
    assert {request.endpoint for request in hub.log.requests} <= {"resolve", "cdn"}
    asked = [request.range for request in hub.log.requests if request.status in (200, 206, 416, None)]
    hub.log.clear()
    return asked


def read(size: int = -1, **options: Any) -> bytes:
    with open_hub_file(SHARD, TOKEN, **options) as file:
        return file.read(size)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("hf://datasets/u/n/a/b.tar", HubFile(repo_id="u/n", path="a/b.tar")),
        ("hf://datasets/u/n@v1/b.tar", HubFile(repo_id="u/n", path="b.tar", revision="v1")),
        ("hf://datasets/u/n@refs/pr/3/b", HubFile(repo_id="u/n", path="b", revision="refs/pr/3")),
        ("hf://datasets/u/n@refs%2Fpr%2F3/b", HubFile(repo_id="u/n", path="b", revision="refs/pr/3")),
        ("hf://buckets/u/n/a/b.tar", HubFile(repo_id="u/n", path="a/b.tar", is_bucket=True)),
        ("hf://u/model/b.tar", None),
        ("hf://datasets/u/n", None),
        ("s3://datasets/u/n/b", None),
    ],
)
def test_urls(url: str, file: HubFile | None) -> None:
    assert hub_file(url) == file


@pytest.mark.usefixtures("step")
def test_a_file_is_one_response(hub: LoopbackHub) -> None:
    with open_hub_file(SHARD, TOKEN) as file:
        assert [file.read(size) for size in (1, 700, 0, 300_000)] == [LARGE[:1], LARGE[1:701], b"", LARGE[701:300_701]]
        assert file.read() == LARGE[300_701:]
        assert file.read(1) == b""
    assert ranges(hub) == [None]
    assert read(10, start=1000) == LARGE[1000:1010]
    assert ranges(hub) == ["bytes=1000-"]


@pytest.mark.parametrize("calls", [{1}, {1, 2}, {1, 2, 3, 4}])
def test_a_connection_that_is_cut_goes_on_at_the_right_byte(hub: LoopbackHub, calls: set[int], step: str) -> None:
    hub.faults.add(step, "cut", calls=calls)
    assert read() == LARGE
    asked = [request for request in hub.log.requests if request.endpoint == step]
    assert len(asked) == len(calls) + 1
    sent = 0  # of what is left, every cut lets half through
    for request in asked:
        assert request.range == (f"bytes={sent}-{len(LARGE) - 1}" if sent else None)
        sent += (len(LARGE) - sent) // 2
    assert [request.token for request in asked] == [step == "resolve"] * len(asked)


@pytest.mark.parametrize("calls", [{1}, {1, 2}])
def test_ranges_that_are_cut_come_whole(hub: LoopbackHub, calls: set[int], step: str) -> None:
    hub.faults.add(step, "cut", calls=calls)
    with open_hub_file(SHARD, TOKEN, size_bytes=len(LARGE)) as file:
        file.seek(-500_000, 2)
        assert file.read(1000) == LARGE[-500_000:-499_000]
        assert file.tell() == len(LARGE) - 499_000
        assert file.seek(100) == 100
        assert file.read(50) == LARGE[100:150]
        file.seek(0, 2)
        assert file.read(50) == b""
    start = len(LARGE) - 500_000
    cuts = [f"bytes={start + place}-{start + 999}" for place in (0, 500, 750)[: len(calls) + 1]]
    assert ranges(hub) == [*cuts, "bytes=100-149"]


@pytest.mark.parametrize(("status", "after", "waits"), [(429, "7", 8), (429, None, 1), (500, None, 1), (503, "3", 4)])
def test_a_busy_hub_is_waited_for(
    hub: LoopbackHub, waited: list[float], status: int, after: str | None, waits: float
) -> None:
    hub.faults.add("resolve", "status", status=status, retry_after=after)
    assert read() == LARGE
    assert waited == [waits]


@pytest.mark.parametrize("kind", ["drop", "lost"])
def test_an_answer_that_never_comes_is_asked_for_again(hub: LoopbackHub, kind: Any, step: str) -> None:
    hub.faults.add(step, kind, calls={1, 2})
    assert read() == LARGE


def test_trouble_of_minutes_is_outlasted(hub: LoopbackHub, waited: list[float], step: str) -> None:
    hub.faults.add(step, "cut")
    hub.faults.add(step, "status", status=503, calls=range(2, 48))
    assert read() == LARGE
    assert 200 < sum(waited) < 600


def test_a_slow_answer_is_read(hub: LoopbackHub, step: str) -> None:
    hub.faults.add(step, "slow", pause_s=0)
    assert read() == LARGE
    assert ranges(hub) == [None]


def test_an_answer_from_the_start_instead_of_the_middle_is_refused(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    content = files.content

    def whole(call: Call, *arguments: Any) -> Reply:
        return content(replace(call, headers={}), *arguments)

    monkeypatch.setattr(files, "content", whole)
    hub.faults.add(step, "cut")
    with pytest.raises(SourceError, match=f"asked for from byte {len(LARGE) // 2:,} on, it came from its start"):
        read()


def test_an_answer_from_another_byte_is_refused(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    content = files.content

    def shifted(call: Call, *arguments: Any) -> Reply:
        asked = call.headers.get("range")
        return content(replace(call, headers={"range": "bytes=1002-1009"} if asked else {}), *arguments)

    monkeypatch.setattr(files, "content", shifted)
    with open_hub_file(SHARD, TOKEN, size_bytes=len(LARGE)) as file:
        file.seek(1000)
        with pytest.raises(SourceError, match=r"asked for from byte 1,000 on, it came from byte 1,002 on"):
            file.read(8)
    assert hub.log.count("cdn") == (2 if step == "cdn" else 0)


def test_a_pull_request_can_be_read(hub: LoopbackHub) -> None:
    pull = hub.repository("me/name").open_pull("title", "", status="open")
    commit = hub.commit("me/name", {"manifest.json": b"{ }"}, ref=pull.ref)
    file = HubFile(repo_id="me/name", path="manifest.json", revision=pull.ref)
    assert commit_of(file, TOKEN) == commit.oid
    assert download(file, TOKEN).read_bytes() == open_hub_file(file, TOKEN).read() == b"{ }"


def test_what_stays_lost_is_an_error(hub: LoopbackHub, waited: list[float], step: str) -> None:
    hub.faults.add(step, "drop", calls=range(2, 1000))
    hub.faults.add(step, "cut")
    half = len(LARGE) // 2
    with (
        open_hub_file(SHARD, TOKEN) as file,
        pytest.raises(SourceError, match=f"byte {half:,}: the Hub cannot be read, after 10 tries") as error,
    ):
        file.read()
    assert sum(waited) > 60
    assert files.SIGNATURE not in "".join(traceback.format_exception(error.value))


def test_what_the_hub_refuses_is_an_error(hub: LoopbackHub) -> None:
    with pytest.raises(FileNotFoundError, match=r"me/name/none\.tar: no such file"):
        open_hub_file(HubFile(repo_id="me/name", path="none.tar"), TOKEN)
    with pytest.raises(SourceError, match=r"me/other/none\.tar: the Hub has no such dataset for you"):
        open_hub_file(HubFile(repo_id="me/other", path="none.tar"), TOKEN)
    hub.faults.add("resolve", "status", status=500, calls=range(1, 100))
    with pytest.raises(SourceError, match="byte 0: the Hub cannot be read, after 10 tries") as error:
        open_hub_file(SHARD, TOKEN)
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize(("status", "words"), [(403, "403 Forbidden"), (404, "404 Not Found")])
def test_what_the_other_server_refuses_is_told_of_that_server(hub: LoopbackHub, status: int, words: str) -> None:
    hub.redirects = True
    hub.faults.add("cdn", "status", status=status, calls=range(1, 100))
    for action, name in ((open_hub_file, SHARD), (download, SHARD.repo_id)):
        with pytest.raises(SourceError) as error:
            action(SHARD, TOKEN)
        assert str(error.value) == (
            f"{name}: localhost, to which the Hub sends for the bytes, refuses them ({words}); the signed address may "
            "have expired, so run the same command again; if that does not help, look at this machine's clock, and "
            "whether a firewall or proxy keeps you from that server"
        )
        assert files.SIGNATURE not in "".join(traceback.format_exception(error.value))


def test_a_token_is_never_told(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def echo(call: Call, *arguments: Any) -> Reply:
        raise Refused(403, f"not with {call.headers['authorization']}")

    monkeypatch.setattr(files, "content", echo)
    for action in (open_hub_file, download):
        with pytest.raises(SourceError, match="not with ") as error:
            action(SHARD, TOKEN)
        assert TOKEN not in "".join(traceback.format_exception(error.value))


def test_a_token_that_cannot_be_sent_is_an_error_at_once(waited: list[float]) -> None:
    for action in (open_hub_file, download):
        with pytest.raises(
            SourceError, match=r"the Hub cannot be read \(Illegal header value b'Bearer \*\*\*"
        ) as error:
            action(SHARD, TOKEN + "\n")
        assert TOKEN not in "".join(traceback.format_exception(error.value))
    assert waited == []


def test_the_client_s_cache_comes_first(hub: LoopbackHub) -> None:
    commit = hub.repository("me/name").at("main").oid
    assert commit_of(HubFile(repo_id="me/name", path="manifest.json"), TOKEN) == commit
    assert commit_of(HubFile(repo_id="me/name", path="a/b/manifest.json", revision=commit), TOKEN) == commit
    pinned = HubFile(repo_id="me/name", path=SHARD.path, revision=commit)
    assert download(pinned, TOKEN).read_bytes() == LARGE
    hub.log.clear()
    with open_hub_file(pinned, TOKEN, start=5) as file:
        assert file.read() == LARGE[5:]
    with open_hub_file(pinned, TOKEN, size_bytes=len(LARGE)) as file:
        assert file.read(3) == LARGE[:3]
    assert download(pinned, TOKEN).read_bytes() == LARGE
    assert ranges(hub) == []
    with pytest.MonkeyPatch.context() as patch:  # undone before what the client was told is
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        huggingface_hub.close_session()  # it has been told of the Hub already
        assert commit_of(HubFile(repo_id="me/name", path="manifest.json"), TOKEN) == commit
        for missing in (HubFile(repo_id="me/name", path="none.tar", revision=commit), SHARD):
            with pytest.raises(
                SourceError, match=r"switched off \(HF_HUB_OFFLINE\).* `hf download --repo-type dataset me/na"
            ):
                open_hub_file(missing, TOKEN)
        with pytest.raises(
            SourceError, match=r"me/other: the Hub is switched off \(HF_HUB_OFFLINE\), and its cache on this"
        ):
            commit_of(HubFile(repo_id="me/other", path="manifest.json"), TOKEN)


@pytest.mark.parametrize("kind", ["status", "drop", "lost", "cut"])
def test_a_manifest_comes_in_spite_of_faults(hub: LoopbackHub, kind: Any) -> None:
    hub.faults.add("resolve", kind, calls={1, 2, 4}, status=429, retry_after="2")
    assert download(HubFile(repo_id="me/name", path="manifest.json"), TOKEN).read_bytes() == b"{}"


@pytest.mark.parametrize("manifest", [b"{}", bytes(range(256)) * 3])
def test_a_manifest_that_arrives_damaged_is_asked_for_again(hub: LoopbackHub, manifest: bytes) -> None:
    hub.commit("me/name", {"manifest.json": manifest})
    hub.faults.add("resolve", "wrong", calls={2})  # the first asks for its hash
    file = HubFile(repo_id="me/name", path="manifest.json")
    assert download(file, TOKEN).read_bytes() == manifest
    assert download(file, TOKEN).read_bytes() == manifest
    hub.commit("me/name", {"manifest.json": manifest * 2})
    hub.faults.add("resolve", "wrong", calls=range(1, 100))
    with pytest.raises(SourceError, match=r"me/name/manifest\.json: arrived twice with other bytes"):
        download(file, TOKEN)
    hub.faults.clear()
    assert download(file, TOKEN).read_bytes() == manifest * 2
