"""The engine of one machine: tasks in processes of this computer.

Workers are plain child processes, not `multiprocessing`: a script needs no `__main__` guard, one killed worker costs
only its own task, and no worker outlives the parent. They inherit inheritable file descriptors, so a lock that the
parent holds with one lasts until the last worker is gone.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

from hfbucket.executors.cores import usable_cores
from hfbucket.executors.process import Died, Process
from hfbucket.executors.task import Failure, listening, throttled

T = TypeVar("T")
R = TypeVar("R")
OnProgress = Callable[[Any, int], None]
"""Called in the caller's thread with a task and how many of its items are done so far."""

_POLL_S: Final = 0.2
_REPORT_EVERY_S: Final = 0.1


def worker_count(workers: int | None) -> int:
    """Return the number of processes to use: as set, else one for each core that is ours; 0 for none."""
    return usable_cores() if workers is None else max(0, workers)


def map_tasks(
    function: Callable[[T], R],
    tasks: Iterable[T],
    *,
    workers: int,
    on_progress: OnProgress | None = None,
    limit_s: float | None = None,
) -> Iterator[tuple[T, R | Failure]]:
    """Yield every task with its result, in the order they are done; with one worker or none, in order.

    Args:
        function: top-level in a module, so that another process finds it.
        tasks: picklable values; taken one by one, not far ahead of the work.
        workers: number of processes; with 0 tasks run in this one, which dies with them.
        on_progress: what tasks `report`.
        limit_s: seconds in which a task has to end or report, else its worker is ended; not for tasks in this process.

    Returns:
        task and result, or `Failure` where the worker died over the task.

    Raises:
        Exception: whatever `function` raised; the workers are ended.
    """
    if isinstance(tasks, Sized):
        workers = min(workers, len(tasks))
    if workers <= 0 or not sys.executable:
        return _map_here(function, tasks, on_progress)
    return _map_in_workers(function, tasks, workers, on_progress, limit_s)


def _map_here(
    function: Callable[[T], R], tasks: Iterable[T], on_progress: OnProgress | None
) -> Iterator[tuple[T, R | Failure]]:
    for task in tasks:
        listener = None if on_progress is None else throttled(partial(on_progress, task), _REPORT_EVERY_S)
        with listening(listener):
            result = function(task)
        yield task, result


def _map_in_workers(
    function: Callable[[T], R],
    tasks: Iterable[T],
    workers: int,
    on_progress: OnProgress | None,
    limit_s: float | None,
) -> Iterator[tuple[T, R | Failure]]:
    crew = _Crew(limit_s)
    feed = iter(tasks)
    pending: dict[Future[Any], T] = {}
    threads = ThreadPoolExecutor(workers, thread_name_prefix="hfbucket-worker")
    try:
        while True:
            # twice as many as workers, so that none waits while the caller uses a result
            for task in islice(feed, 2 * workers - len(pending)):
                pending[threads.submit(crew.run, function, task)] = task
            if not pending:
                return
            wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for task, count in crew.progress():
                if on_progress is not None:
                    on_progress(task, count)
            for future in [future for future in pending if future.done()]:
                yield pending.pop(future), future.result()
    finally:
        crew.end()
        threads.shutdown(wait=True, cancel_futures=True)


class _Crew:
    """The workers of one map: started when needed, kept while they live."""

    def __init__(self, limit_s: float | None) -> None:
        self._limit_s = limit_s
        self._idle: queue.SimpleQueue[Process] = queue.SimpleQueue()
        self._reports: queue.SimpleQueue[tuple[Any, int]] = queue.SimpleQueue()
        self._all: list[Process] = []
        self._lock = threading.Lock()
        self._ended = False

    def run(self, function: Callable[[T], R], task: T) -> R | Failure:
        """Run one task in an idle worker, or a new one, and wait for it."""
        worker = self._take()
        try:
            result = worker.call(
                function, task, listener=lambda done: self._reports.put((task, done)), limit_s=self._limit_s
            )
        except Died as error:
            return Failure(task=task, reason=f"a worker {error.death.words}", crashed=True)
        except BaseException:
            self._idle.put(worker)
            raise
        self._idle.put(worker)
        return result

    def progress(self) -> Iterator[tuple[Any, int]]:
        """Yield what tasks reported since the last call."""
        while not self._reports.empty():
            yield self._reports.get()

    def end(self) -> None:
        """Kill every worker; what they were at is lost, what they finished is not."""
        with self._lock:
            self._ended = True
            for worker in self._all:
                worker.kill()
        for worker in self._all:
            worker.close()

    def _take(self) -> Process:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            with self._lock:
                if self._ended:
                    raise RuntimeError("the workers were ended") from None
                self._all.append(Process())
                return self._all[-1]
