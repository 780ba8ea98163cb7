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
from hfbucket.executors.engines import Workers
from hfbucket.executors.isolated import Died, Isolated

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
        SampleError: `decode_errors`, the child died of it, or did not end in time.
        Died: it was killed, and other tasks may be why.
        MemoryError: as `Died`.
        Exception: whatever `function` raised.
    """
    try:
        return child.call(function, argument)
    except Died as error:
        cause, stalled_s = error.death.cause, error.death.stalled_s
        if stalled_s is not None:
            raise SampleError("decode_errors", f"the decoder did not end within {stalled_s:g} s") from error
        if cause == "SIGKILL" and care != Care.ALONE:
            raise
        how = f"died of {cause}" if cause.startswith("SIG") else f"ended its process with {cause}"
        hint = ", maybe for want of memory" if cause == "SIGKILL" else ""
        raise SampleError("decode_errors", f"the decoder {how}{hint}") from error
    except MemoryError as error:
        if care != Care.ALONE:
            raise
        raise SampleError("decode_errors", "the decoder ran out of memory") from error


def workers_for(config: Config, urls: Iterable[str], *, limited: bool = False) -> Workers:
    """Return who works on these urls: nobody but this process on what lies in its memory alone.

    Args:
        limited: the tasks report after every image, so that one which gives no sign can be told.
    """
    if any(url.startswith("memory://") for url in urls):
        return Workers(count=0)
    addresses = {"local": None, "ray": config.ray_address, "spark": config.spark_master}
    return Workers(
        count=config.workers,
        executor=config.executor,
        address=addresses[config.executor],
        limit_s=stall_limit_s(config) if limited else None,
    )


def stall_limit_s(config: Config) -> float | None:
    """Return after how many seconds without a sign of life a task is ended, or None for never."""
    return config.stall_timeout or None
