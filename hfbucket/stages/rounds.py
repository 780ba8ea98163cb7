"""Running tasks until they are done: retries, progress, and one clear error where it cannot go on."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from hfbucket.core.events import Notice, OnEvent, Progress
from hfbucket.errors import BuildError
from hfbucket.executors.local import map_tasks
from hfbucket.executors.task import Failure

T = TypeVar("T")

_ROUNDS: Final = 3
_PAUSE_S: Final = 2.0
"""Before the second round; twice as long before the third."""

_HOPELESS: Final = {
    errno.ENOSPC: "the disk is full",
    getattr(errno, "EDQUOT", errno.ENOSPC): "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "no such file (any more)",
    errno.ENOTDIR: "no such folder (any more)",
    errno.EFBIG: "the file system takes no file of that size",
    errno.ENAMETOOLONG: "the name is too long",
}
"""Errors that trying again does not mend, in words."""


def failure_of(task: object, error: Exception) -> Failure:
    """Return what a task says about an error that ended it."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, FileNotFoundError):  # stores of fsspec raise it without a number
        number = errno.ENOENT
    if number in _HOPELESS:
        name = getattr(error, "filename", None) or error
        return Failure(task=task, reason=f"{_HOPELESS[number]}: {name}", final=True)
    return Failure(task=task, reason=str(error), final=not isinstance(error, OSError))


def run_rounds(
    function: Callable[[T], object],
    tasks: Sequence[T],
    counts: Sequence[int],
    *,
    stage: str,
    workers: int,
    on_event: OnEvent,
    done: int = 0,
) -> None:
    """Run every task; those that fail again, a few rounds, while that may help.

    Args:
        function: returns a `Failure` or anything else; never raises for what a disk, a source or a store may do.
        counts: images of every task.
        done: images of this stage that were done before.

    Raises:
        BuildError: a task failed for good; what other tasks did stays.
    """
    total = done + sum(counts)
    numbers = list(range(len(tasks)))
    for attempt in range(_ROUNDS):
        counter = _Counter(stage, done, total, on_event)
        failures: dict[int, Failure] = {}
        of_task = {id(tasks[number]): number for number in numbers}
        results = map_tasks(
            function, [tasks[n] for n in numbers], workers=workers, on_progress=lambda task, n: counter.at(id(task), n)
        )
        for task, result in results:
            number = of_task[id(task)]
            if not isinstance(result, Failure):
                counter.finish(id(task), counts[number])
            elif result.final:
                raise BuildError(f"{result.reason}; what is done stays done: run the same command again to go on")
            else:
                failures[number] = result
        if not failures:
            return
        numbers, done = sorted(failures), counter.finished
        reason = failures[numbers[0]].reason
        if attempt + 1 < _ROUNDS:
            text = f"{len(numbers)} of {len(of_task)} tasks failed and are tried again: {reason}"
            on_event(Notice(level="warning", text=text))
            time.sleep(_PAUSE_S * 2**attempt)
    raise BuildError(
        f"{len(numbers)} tasks failed {_ROUNDS} times, the first because: {reason}; "
        "what is done stays done: run the same command again to go on"
    )


class _Counter:
    """Adds up what finished tasks and those at work have done."""

    def __init__(self, stage: str, finished: int, total: int, on_event: OnEvent) -> None:
        self.finished = finished
        self._stage, self._total, self._on_event = stage, total, on_event
        self._at_work: dict[int, int] = {}
        self._tell()

    def at(self, task: int, count: int) -> None:
        """Take how far a task is."""
        self._at_work[task] = count
        self._tell()

    def finish(self, task: int, count: int) -> None:
        """Take that a task is done."""
        self._at_work.pop(task, None)
        self.finished += count
        self._tell()

    def _tell(self) -> None:
        done = self.finished + sum(self._at_work.values())
        self._on_event(Progress(stage=self._stage, done=min(done, self._total), total=self._total, unit="images"))
