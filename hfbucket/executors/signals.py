"""Signals while an engine starts: it must not be torn in the middle, and must leave this process's handlers alone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def put_off(*numbers: signal.Signals) -> Iterator[None]:
    """Let signals of these kinds wait for the end of the block, and keep the handlers that were there before it.

    The second one does not wait: who sends it knows better. In other threads than the main one nothing is done, as
    none of it can be.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    waiting: list[int] = []

    def restore() -> None:
        for number, handler in before.items():
            if handler is not None:  # None was not set from Python, and cannot be
                signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        if waiting:
            waiting.clear()
            restore()
            signal.raise_signal(number)
        else:
            waiting.append(number)

    for number in numbers:
        signal.signal(number, note)
    try:
        yield
    finally:
        restore()
        if waiting:
            signal.raise_signal(waiting.pop())
