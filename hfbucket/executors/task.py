"""What a task and its engine say to each other, whatever the engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A task that came to nothing: its worker died, or it said so itself. Trying again is up to the caller."""

    task: Any
    reason: str
    #: Trying again cannot help: the disk is full, the source is gone.
    final: bool = False
    #: A process died over it, or memory ran out: trying again with more care may help.
    crashed: bool = False
    #: There was no room on the disk.
    full: bool = False


_listener: Callable[[int], None] | None = None


def report(done: int) -> None:
    """Tell the engine, from inside a task, how many of its items are done so far; cheap enough for every item."""
    if _listener is not None:
        _listener(done)


def throttled(tell: Callable[[int], None], every_s: float) -> Callable[[int], None]:
    """Return a listener that passes on no more than one report in so many seconds."""
    last = time.monotonic()

    def listen(done: int) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            tell(done)

    return listen


@contextmanager
def listening(listener: Callable[[int], None] | None) -> Iterator[None]:
    """Give what `report` is told to `listener` while the block runs."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before
