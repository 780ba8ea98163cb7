"""Another machine that is waited for is named once that takes long: nothing else shows why nothing goes on.

Who asks one says so by `watched`, and by `trouble` where tries fail. Of a host it is told once that it is waited for,
and once that it goes on. What a worker tells goes to the process that gave it its task, by `take`, and there to whoever
is told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar, cast
from urllib.parse import urlsplit

from hfbucket.core.events import Notice, OnEvent, ignore

P = ParamSpec("P")
R = TypeVar("R")

TELL_AFTER_S: Final = 5.0
"""So long one answer, or the next piece of it, may take before it is told."""

LISTED_AFTER_S: Final = 30.0
"""The same of what takes many answers, such as a listing."""

_SLOW: Final = 250e3
"""Bytes a second: what many connections that share a slow line may each still give."""

_LOOK_EVERY_S: Final = 1.0
_MOST_CHARS: Final = 300
"""Of what is told of an error; it has to fit into a datagram."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A host that is waited for."""

    host: str
    #: Empty where it answers again.
    why: str
    #: How long it is tried.
    trying: str = ""

    @property
    def notice(self) -> Notice:
        """What a user reads of it."""
        if not self.why:
            return Notice(level="info", text=f"{self.host} answers again")
        return Notice(level="warning", text=f"waiting for {self.host}: {self.why}; {self.trying}")


Tell = Callable[[Waiting], None]


class _Watch:
    """An answer that is waited for."""

    def __init__(self, host: Callable[[], str], trying: str, after_s: float) -> None:
        self.host, self.trying, self.after_s = host, trying, after_s
        self.began_s = time.monotonic()


class _Ear:
    """Who is told, and what that one knows."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._lock = threading.RLock()
        self._waited_for: set[str] = set()
        self._watches: set[_Watch] = set()
        self._looks = threading.Thread(target=self._look, name="hfbucket-waits", daemon=True)
        self._is_over = threading.Event()

    def take(self, waiting: Waiting) -> None:
        """Tell it, unless it is known."""
        with self._lock:
            if bool(waiting.why) == (waiting.host in self._waited_for):
                return
            (self._waited_for.add if waiting.why else self._waited_for.discard)(waiting.host)
            self._tell(waiting)

    def begin(self, watch: _Watch) -> None:
        """Tell of an answer when it takes too long."""
        with self._lock:
            self._watches.add(watch)
            if self._looks.ident is None and not self._is_over.is_set():
                self._looks.start()

    def end(self, watch: _Watch, *, came: bool) -> None:
        """Forget of an answer that came, or did not."""
        with self._lock:
            self._watches.discard(watch)
            if came and self._waited_for:
                self.take(Waiting(host=watch.host(), why=""))

    def close(self) -> None:
        """Tell nothing more."""
        self._is_over.set()
        if self._looks.is_alive():
            self._looks.join()

    def _look(self) -> None:
        while not self._is_over.wait(_LOOK_EVERY_S):
            with self._lock:
                now_s = time.monotonic()
                late = [watch for watch in self._watches if now_s - watch.began_s >= watch.after_s]
                for watch in late:
                    why = f"no answer for {now_s - watch.began_s:.0f} s"
                    self._watches.discard(watch)
                    self.take(Waiting(host=watch.host(), why=why, trying=watch.trying))


_ear: _Ear | None = None


@contextmanager
def told_to(tell: Tell) -> Iterator[None]:
    """Let `tell` know, in any thread but in one at a time, of what is waited for while the block runs."""
    global _ear
    before, _ear = _ear, _Ear(tell)
    try:
        yield
    finally:
        ear, _ear = _ear, before
        ear.close()


def waits_told(stage: Callable[P, R]) -> Callable[P, R]:
    """Return a stage that also tells its `on_event` of hosts that are waited for."""

    @wraps(stage)
    def telling(*args: P.args, **kwargs: P.kwargs) -> R:
        on_event = cast("OnEvent", cast("dict[str, Any]", kwargs).get("on_event", ignore))
        with told_to(lambda waiting: on_event(waiting.notice)):
            return stage(*args, **kwargs)

    return telling


def take(waiting: Waiting) -> None:
    """Tell what another process tells."""
    if _ear is not None:
        _ear.take(waiting)


def trouble(host: str, why: str, trying: str) -> None:
    """Tell that tries fail, and go on."""
    take(Waiting(host=host, why=why[:_MOST_CHARS], trying=trying))


@contextmanager
def watched(
    host: Callable[[], str], trying: str, *, size_bytes: int = 0, after_s: float | None = None, goes_on: bool = True
) -> Iterator[None]:
    """Tell of an answer that the block waits for, when it takes too long, and that the host goes on when it has come.

    Args:
        host: is asked for it when it is told.
        trying: how long it is tried.
        size_bytes: that the block waits for: they may take longer.
        after_s: the time that may pass besides.
        goes_on: that the block ends well is an answer.
    """
    ear = _ear
    if ear is None:
        yield
        return
    watch = _Watch(host, trying, (TELL_AFTER_S if after_s is None else after_s) + size_bytes / _SLOW)
    ear.begin(watch)
    came = False
    try:
        yield
        came = goes_on
    finally:
        ear.end(watch, came=came)


def host_of(url: str) -> str:
    """Return what is waited for at a URL: a host of the web with its port, of stores what they call a bucket."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return place if parts.scheme in ("http", "https") else f"{parts.scheme}://{place}"


def tries(count: int, pauses_s: float) -> str:
    """Return in words how long something is tried."""
    pauses = f"{pauses_s:.0f} s" if pauses_s < 100 else f"{pauses_s / 60:.0f} minutes"
    return f"it is tried {count} times, over {pauses} at least"
