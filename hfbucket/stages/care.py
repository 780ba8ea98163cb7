"""One bad image never stops a build, not even one that ends the process that decodes it.

A task whose process died is tried again with more care: each image in a child process, which may die without taking
the task along. An image that a fresh child dies of as well is bad, and is told like any other that cannot be decoded.
A child that was killed may have been killed for what others took of the memory, so that counts only in the last try,
with nothing else at work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import TypeVar

from hfbucket.config import Config
from hfbucket.errors import SampleError
from hfbucket.executors.isolated import Died, Isolated
from hfbucket.executors.local import worker_count

A = TypeVar("A")
R = TypeVar("R")


class Care(IntEnum):
    """How careful a task is."""

    #: Images are decoded in the task's own process: what ends it, ends the task.
    NONE = 0
    #: Each in a child.
    CHILD = 1
    #: And no other task is at work.
    ALONE = 2


def carefully(child: Isolated, care: Care, function: Callable[[A], R], argument: A) -> R:
    """Return `function(argument)` for one image, called in a child.

    Raises:
        SampleError: `decode_errors`, the child died of it.
        Died: it was killed, and other tasks may be why.
        MemoryError: as `Died`.
        Exception: whatever `function` raised.
    """
    try:
        return child.call(function, argument)
    except Died as error:
        cause = error.death.cause
        if cause == "SIGKILL" and care != Care.ALONE:
            raise
        how = f"died of {cause}" if cause.startswith("SIG") else f"ended its process with {cause}"
        hint = ", maybe for want of memory" if cause == "SIGKILL" else ""
        raise SampleError("decode_errors", f"the decoder {how}{hint}") from error
    except MemoryError as error:
        if care != Care.ALONE:
            raise
        raise SampleError("decode_errors", "the decoder ran out of memory") from error


def workers_for(config: Config, urls: Iterable[str]) -> int:
    """Return the number of processes for work on these urls: none for what lies in this one's memory alone."""
    return 0 if any(url.startswith("memory://") for url in urls) else worker_count(config.workers)
