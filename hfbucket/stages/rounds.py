"""Running tasks until they are done: retries, progress, and one clear error where it cannot go on."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from hfbucket.core.events import Notice, OnEvent, Progress
from hfbucket.errors import BuildError, HfBucketError
from hfbucket.executors.engines import Workers, map_tasks
from hfbucket.executors.isolated import Died
from hfbucket.executors.task import Failure

T = TypeVar("T")

_ROUNDS: Final = 3
_PAUSE_S: Final = 2.0
"""Before the second round; twice as long before the third."""

GO_ON: Final = "what is done stays done: run the same command again to go on"
"""How every error of a build ends that can be mended."""

AGAIN: Final = "look after that, then run the same command again"
"""How errors end of commands that keep nothing half done."""

_FULL: Final = {
    errno.ENOSPC: "the disk is full",
    getattr(errno, "EDQUOT", errno.ENOSPC): "the disk quota is used up",
}

_HOPELESS: Final = {
    **_FULL,
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
    if isinstance(error, OSError):
        # Stores of fsspec raise FileNotFoundError without a number, with the place as its text.
        number = errno.ENOENT if isinstance(error, FileNotFoundError) else error.errno
        place = error.filename if error.errno else str(error)
        words = _HOPELESS.get(number or 0)
        reason = str(error) if words is None else f"{words}: {place}" if place else words
        return Failure(task=task, reason=reason, final=words is not None, full=number in _FULL)
    if isinstance(error, MemoryError):
        reason = "memory ran out: use fewer --workers, or a lower --max-pixels"
        return Failure(task=task, reason=reason, crashed=True)
    if isinstance(error, Died):
        return Failure(task=task, reason=str(error), crashed=True)
    return Failure(task=task, reason=str(error), final=True)


@contextmanager
def disk_told(kind: type[HfBucketError], remedy: str = GO_ON) -> Iterator[None]:
    """Put what a disk says into words of an error of ours.

    Raises:
        HfBucketError: of this kind; the disk is full, permission denied, and so on.
    """
    try:
        yield
    except BrokenPipeError:  # no disk: who reads what is printed has seen enough
        raise
    except OSError as error:
        raise kind(f"{failure_of(None, error).reason}; {remedy}") from error


def run_rounds(
    function: Callable[[T], object],
    tasks: Sequence[T],
    counts: Sequence[int],
    *,
    name: Callable[[T], str],
    stage: str,
    workers: Workers,
    on_event: OnEvent,
    done: int = 0,
    careful: Callable[[T, bool], T] | None = None,
    remedy: str = GO_ON,
    room: str | None = None,
    unit: str = "images",
) -> None:
    """Run every task; those that fail again, a few rounds, while that may help; in the last round one by one.

    Args:
        function: returns a `Failure` or anything else; never raises for what a disk, a source or a store may do.
        counts: images, or whatever `unit` says, of every task.
        name: what a task is called in errors.
        done: images of this stage that were done before.
        remedy: how errors end.
        room: how they end where the disk is full, if it is not with `remedy`.
        careful: (a task that crashed, whether the last round is next) to how it is tried again.

    Raises:
        BuildError: a task failed for good; what other tasks did stays.
    """
    counter = _Counter(stage, done, done + sum(counts), on_event, unit)
    left = dict(enumerate(tasks))
    ends = (remedy, room or remedy)
    for attempt in range(1, _ROUNDS + 1):
        at_once = workers if attempt < _ROUNDS else workers.one_by_one()
        failures = _run_round(function, list(left.values()), [counts[n] for n in left], name, at_once, counter, ends)
        if not failures:
            return
        numbers = list(left)
        failed = {numbers[n]: failures[n] for n in sorted(failures)}
        left = {n: left[n] for n in failed}
        reason = next(f"{name(left[n])}: {failure.reason}" for n, failure in failed.items())
        if attempt == _ROUNDS:
            break
        on_event(Notice(level="warning", text=f"{len(left)} tasks of {stage} failed and are tried again: {reason}"))
        if careful is not None:
            left |= {n: careful(left[n], attempt + 1 == _ROUNDS) for n in failed if failed[n].crashed}
        if not all(failure.crashed for failure in failed.values()):
            time.sleep(_PAUSE_S * 2 ** (attempt - 1))
    raise BuildError(f"{len(left)} tasks of {stage} failed {_ROUNDS} times, first {reason}; {remedy}")


def _run_round(
    function: Callable[[T], object],
    tasks: Sequence[T],
    counts: Sequence[int],
    name: Callable[[T], str],
    workers: Workers,
    counter: _Counter,
    remedies: tuple[str, str],
) -> dict[int, Failure]:
    """Run tasks once; return those that failed, by number.

    Args:
        remedies: how errors end; the second where the disk is full.

    Raises:
        BuildError: a task failed for good.
    """
    failures: dict[int, Failure] = {}
    number_of = {id(task): number for number, task in enumerate(tasks)}
    for task, result in map_tasks(function, tasks, workers=workers, on_progress=counter.at):
        if not isinstance(result, Failure):
            counter.finish(task, counts[number_of[id(task)]])
        elif result.final:
            raise BuildError(f"{name(task)}: {result.reason}; {remedies[result.full]}")
        else:
            counter.drop(task)
            failures[number_of[id(task)]] = result
    return failures


class _Counter:
    """Adds up what finished tasks and those at work have done."""

    def __init__(self, stage: str, finished: int, total: int, on_event: OnEvent, unit: str) -> None:
        self._finished, self._unit = finished, unit
        self._stage, self._total, self._on_event = stage, total, on_event
        self._at_work: dict[int, int] = {}
        self._tell()

    def at(self, task: object, count: int) -> None:
        """Take how far a task is."""
        self._at_work[id(task)] = count
        self._tell()

    def finish(self, task: object, count: int) -> None:
        """Take that a task is done."""
        self._at_work.pop(id(task), None)
        self._finished += count
        self._tell()

    def drop(self, task: object) -> None:
        """Take that a task came to nothing."""
        self._at_work.pop(id(task), None)

    def _tell(self) -> None:
        done = self._finished + sum(self._at_work.values())
        self._on_event(Progress(stage=self._stage, done=min(done, self._total), total=self._total, unit=self._unit))
