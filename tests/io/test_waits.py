"""Who waits for another machine is told of it: once, and once that it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from hfbucket.config import Config
from hfbucket.core.events import Event, Notice, OnEvent, ignore
from hfbucket.errors import SourceError
from hfbucket.io import patience, store, waits
from hfbucket.io.hub.file import HubFile
from hfbucket.io.hub.ranges import HubRanges
from hfbucket.io.ranges import RemoteFile
from hfbucket.io.remote import Remote
from hfbucket.io.waits import Waiting, host_of, told_to, tries, trouble, waits_told, watched
from hfbucket.stages.report import plan
from tests.file_server import FileServer, serving_files
from tests.hub.client import client_here
from tests.hub.loopback import TOKEN, LoopbackHub
from tests.stages.pictures import draw_folder, draw_tar

TRYING = "it is tried 6 times, over 0 s at least"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "WAIT_S", 0.0)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever does not come at once is late."""
    monkeypatch.setattr(waits, "TELL_AFTER_S", 0.0)
    monkeypatch.setattr(waits, "LISTED_AFTER_S", 0.0)
    monkeypatch.setattr(waits, "_SLOW", float("inf"))
    monkeypatch.setattr(waits, "_LOOK_EVERY_S", 0.001)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    draw_folder(tmp_path / "files", 5)
    with serving_files(tmp_path / "files") as running:
        yield running


class Told:
    """Takes what is told; `came` is set by the first."""

    def __init__(self) -> None:
        self.all: list[Waiting] = []
        self.came = threading.Event()

    def __call__(self, waiting: Waiting) -> None:
        self.all.append(waiting)
        self.came.set()


@pytest.mark.usefixtures("at_once")
def test_what_does_not_come_is_told_and_that_it_came() -> None:
    told = Told()
    with told_to(told):
        for _ in range(2):
            told.came.clear()
            with watched(lambda: "server:80", "it is tried"):
                assert told.came.wait(60)
        with watched(lambda: "server:80", "it is tried"):
            pass
    assert told.all == [
        Waiting(host="server:80", why="no answer for 0 s", trying="it is tried"),
        Waiting(host="server:80", why=""),
    ] * 2  # fmt: skip


def test_what_comes_in_time_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(waits, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(waits, "_LOOK_EVERY_S", 0.001)
    told = Told()
    with (
        told_to(told),
        watched(lambda: "small", "it is tried"),
        watched(lambda: "large", "", size_bytes=10**6),
        watched(lambda: "listing", "", after_s=waits.LISTED_AFTER_S),
    ):
        with watched(lambda: "ended", ""):
            clock[0] = 4.9
        clock[0] = 6.0
        assert told.came.wait(60)
    assert told.all == [
        Waiting(host="small", why="no answer for 6 s", trying="it is tried"), Waiting(host="small", why=""),
    ]  # fmt: skip


@pytest.mark.usefixtures("at_once")
def test_an_answer_that_never_came_does_not_go_on() -> None:
    def lost() -> None:
        with watched(lambda: "server:80", "it is tried"):
            assert told.came.wait(60)
            raise ConnectionError

    told = Told()
    with told_to(told), pytest.raises(ConnectionError):
        lost()
    assert [waiting.why for waiting in told.all] == ["no answer for 0 s"]


def test_a_host_is_told_once_whoever_waits_for_it() -> None:
    told = Told()
    with told_to(told):
        for host in "aba":
            trouble(host, "x" * 1000, "it is tried")
        waits.take(Waiting(host="a", why=""))
        waits.take(Waiting(host="a", why=""))
        trouble("a", "y", "it is tried")
    trouble("a", "nobody is told", "")
    assert [(waiting.host, waiting.why) for waiting in told.all] == [
        ("a", "x" * 300), ("b", "x" * 300), ("a", ""), ("a", "y"),
    ]  # fmt: skip


def test_who_is_told_stands_for_a_block() -> None:
    outer, inner = Told(), Told()
    with told_to(outer):
        with suppress(KeyboardInterrupt), told_to(inner):
            trouble("a", "x", "")
            raise KeyboardInterrupt
        trouble("b", "x", "")
    assert ([w.host for w in outer.all], [w.host for w in inner.all]) == (["b"], ["a"])


def test_a_stage_gives_notices() -> None:
    @waits_told
    def stage(name: str, *, on_event: OnEvent = ignore) -> str:
        trouble(name, "no answer for 5 s", tries(6, 31))
        waits.take(Waiting(host=name, why=""))
        return name

    events: list[Event] = []
    assert stage("a:80", on_event=events.append) == "a:80"
    assert stage("a:80") == "a:80"
    assert events == [
        Notice(
            level="warning", text="waiting for a:80: no answer for 5 s; it is tried 6 times, over 31 s at least"
        ),
        Notice(level="info", text="a:80 answers again"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://me:secret@server:80/a/b?key=1", "server:80"),
        ("https://server/a", "server"),
        ("s3://bucket/a/b", "s3://bucket"),
        ("hf://buckets/me/name/a", "hf://buckets"),
    ],
)
def test_hosts(url: str, host: str) -> None:
    assert host_of(url) == host


def test_how_long_something_is_tried() -> None:
    assert tries(6, 31) == "it is tried 6 times, over 31 s at least"
    assert tries(10, 183.5) == "it is tried 10 times, over 3 minutes at least"


@pytest.mark.parametrize("how", ["range", "stream", "info"])
def test_a_server_that_fails_is_told_from_the_third_try_on(server: FileServer, how: str) -> None:
    url, told = f"{server.url}/0000.txt", Told()
    ask: dict[str, Callable[[], object]] = {
        "range": partial(RemoteFile(url, size_bytes=9).read, 0, 9),
        "stream": partial(store.read_bytes, url),
        "info": partial(store.info, url),
    }
    host = host_of(url)
    with told_to(told):
        for failures, expected in ((2, 0), (3, 2), (5, 4)):
            faults = server.head_faults if how == "info" else server.faults
            faults[:] = ["status"] * failures
            ask[how]()
            assert len(told.all) == expected
    assert told.all == [
        Waiting(host=host, why="the server answers 503 Service Unavailable", trying=TRYING),
        Waiting(host=host, why=""),
    ] * 2  # fmt: skip


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("how", ["range", "info"])
def test_a_server_that_does_not_answer_is_told(server: FileServer, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    url, told = f"{server.url}/0000.txt", Told()
    monkeypatch.setattr("tests.file_server.time.sleep", lambda _: told.came.wait(60))  # it answers when that is told
    with told_to(told):
        RemoteFile(url, size_bytes=9).read(0, 9) if how == "range" else store.info(url)
    assert told.all[:2] == [
        Waiting(host=host_of(url), why="no answer for 0 s", trying=TRYING),
        Waiting(host=host_of(url), why=""),
    ]


def test_a_plan_tells_it(server: FileServer) -> None:
    events: list[Event] = []
    draw_tar(server.folder / "a.tar", 5)
    server.faults[:] = ["status"] * 5
    plan(f"{server.url}/a.tar", Config(base=(128,), workers=0), on_event=events.append)
    assert not server.faults
    host = host_of(server.url)
    words = f"waiting for {host}: the server answers 503 Service Unavailable; {TRYING}"
    told = [event.text for event in events if isinstance(event, Notice) and host in event.text]
    assert told == [words, f"{host} answers again"]


def test_a_store_is_told_from_the_second_try_on() -> None:
    tried: list[object] = []

    def once(fs: object, path: str) -> int:
        tried.append(fs)
        if not told.all:
            raise TimeoutError("no answer")
        return len(tried)

    told = Told()
    with told_to(told):
        assert Remote("memory://bucket/a")._ask(once) == 3
    assert told.all == [
        Waiting(host="memory://bucket", why="no answer", trying=TRYING), Waiting(host="memory://bucket", why=""),
    ]  # fmt: skip


@pytest.mark.parametrize("elsewhere", [False, True])
def test_of_the_hub_the_host_is_told_that_does_not_answer(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    hub.create("me/name")
    hub.commit("me/name", {"a.tar": b"\x00" * 100_000})
    hub.redirects = elsewhere
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.faults.add("cdn" if elsewhere else "resolve", "drop", calls=range(1, 100))
    told: list[Waiting] = []

    def tell(waiting: Waiting) -> None:
        told.append(waiting)
        hub.faults.clear()

    with told_to(tell), client_here(hub, tmp_path / "home"):
        assert HubRanges(HubFile(repo_id="me/name", path="a.tar"), TOKEN).read(0, 100_000) == b"\x00" * 100_000
    port = hub.endpoint.rpartition(":")[2]
    host = f"{'localhost' if elsewhere else '127.0.0.1'}:{port}"
    assert [(waiting.host, bool(waiting.why)) for waiting in told] == [(host, True), (host, False)]
    assert told[0].trying == "it is tried 10 times, over 3 minutes at least"


def test_a_hub_that_is_not_there_is_soon_an_error(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    monkeypatch.setattr(hub, "endpoint", "http://127.0.0.1:9")
    told = Told()
    with told_to(told), client_here(hub, tmp_path / "home"):
        with pytest.raises(
            SourceError, match=r"^hf://datasets/me/name: the Hub at http://127.0.0.1:9 cannot be read now"
        ):
            store.kind_of("hf://datasets/me/name")
        assert (len(waited), told.all) == (1, [])
        with pytest.raises(
            SourceError, match=r"^hf://datasets/me/name: the Hub at http://127.0.0.1:9 cannot be read now"
        ):
            store.walk("hf://datasets/me/name")
    assert [(waiting.host, waiting.trying) for waiting in told.all] == [
        ("127.0.0.1:9", "it is tried 8 times, over 2 minutes at least")
    ]
