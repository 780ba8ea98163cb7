"""The engine of one machine: tasks in processes of this computer.

Workers are plain child processes, not `multiprocessing`: a script needs no `__main__` guard, one killed worker costs
only its own task, and no worker outlives the parent. They inherit inheritable file descriptors, so a lock that the
parent holds with one lasts until the last worker is gone.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import islice
from typing import Any, Final, TypeVar

from hfbucket.executors.task import Failure, listening
from hfbucket.executors.worker import Kind, RemoteTraceback, receive, send

T = TypeVar("T")
R = TypeVar("R")
OnProgress = Callable[[Any, int], None]
"""Called in the caller's thread with a task and how many of its items are done so far."""

_START: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from hfbucket.executors.worker import main; main()"
)
_POLL_S: Final = 0.2


def worker_count(workers: int | None) -> int:
    """Return the number of processes to use: as set, else one for each core this process may run on."""
    if workers is not None:
        return max(1, workers)
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return len(cores)


def map_tasks(
    function: Callable[[T], R], tasks: Iterable[T], *, workers: int, on_progress: OnProgress | None = None
) -> Iterator[tuple[T, R | Failure]]:
    """Yield every task with its result, in the order they are done; with one worker in this process, in order.

    Args:
        function: top-level in a module, so that another process finds it.
        tasks: picklable values; taken one by one, not far ahead of the work.
        workers: number of processes.
        on_progress: what tasks `report`.

    Returns:
        task and result, or `Failure` where the worker died over the task.

    Raises:
        Exception: whatever `function` raised; the workers are ended.
    """
    if isinstance(tasks, Sized):
        workers = min(workers, len(tasks))
    if workers <= 1 or not sys.executable:
        return _map_here(function, tasks, on_progress)
    return _map_in_workers(function, tasks, workers, on_progress)


def _map_here(
    function: Callable[[T], R], tasks: Iterable[T], on_progress: OnProgress | None
) -> Iterator[tuple[T, R | Failure]]:
    for task in tasks:
        with listening(_listener(task, on_progress)):
            result = function(task)
        yield task, result


def _listener(task: object, on_progress: OnProgress | None) -> Callable[[int], None] | None:
    return None if on_progress is None else lambda done: on_progress(task, done)


def _map_in_workers(
    function: Callable[[T], R], tasks: Iterable[T], workers: int, on_progress: OnProgress | None
) -> Iterator[tuple[T, R | Failure]]:
    crew = _Crew()
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
            done, _ = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for task, count in crew.progress():
                if on_progress is not None:
                    on_progress(task, count)
            for future in done:
                yield pending.pop(future), future.result()
    finally:
        crew.end()
        threads.shutdown(wait=True, cancel_futures=True)


class _Crew:
    """The workers of one map: started when needed, kept while they live."""

    def __init__(self) -> None:
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._reports: queue.SimpleQueue[tuple[Any, int]] = queue.SimpleQueue()
        self._all: list[_Worker] = []
        self._lock = threading.Lock()
        self._ended = False

    def run(self, function: Callable[[T], R], task: T) -> R | Failure:
        """Run one task in an idle worker, or a new one, and wait for it."""
        worker = self._take()
        try:
            worker.send((function, task))
            while True:
                kind, value = worker.receive()
                if kind != "progress":
                    break
                self._reports.put((task, value))
        except (EOFError, BrokenPipeError):
            return Failure(task=task, reason=worker.death())
        self._idle.put(worker)
        if kind == "error":
            error, text = value
            raise error from RemoteTraceback(text)
        result: R = value
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

    def _take(self) -> _Worker:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            with self._lock:
                if self._ended:
                    raise RuntimeError("the workers were ended") from None
                self._all.append(_Worker())
                return self._all[-1]


class _Worker:
    """One child process.

    What libraries and the system say on its standard error is kept for the case that it dies: decoders complain there
    without naming the file, in words that the task's own result says better.
    """

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the process
        command = [sys.executable, "-c", _START, json.dumps(sys.path)]
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this package
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, close_fds=False
        )

    def send(self, message: object) -> None:
        """Give it a task, forgetting what was said during the last one."""
        self._errors.truncate(0)
        send(self._process.stdin, message)  # type: ignore[arg-type]  # a pipe, as asked for

    def receive(self) -> tuple[Kind, Any]:
        """Return its next message.

        Raises:
            EOFError: it is dead.
        """
        message: tuple[Kind, Any] = pickle.loads(receive(self._process.stdout))  # type: ignore[arg-type]  # noqa: S301
        return message

    def kill(self) -> int:
        """End it if need be; return its exit code, the negative signal where one killed it."""
        self._process.kill()
        return self._process.wait()

    def close(self) -> None:
        """Close the files that lead to it."""
        for file in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(BrokenPipeError):  # a task was still in the buffer of a worker that is gone
                file.close()  # type: ignore[union-attr]  # pipes, as asked for

    def death(self) -> str:
        """Return how it died, in words, with the last line it said."""
        code = self.kill()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        return _death(code) + "".join(f": {line[:200]}" for line in said)


def _death(code: int) -> str:
    if code >= 0:
        return f"a worker ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    hint = "; where nobody did it, memory may have run out: use fewer --workers" if name == "SIGKILL" else ""
    return f"a worker was killed by {name}{hint}"
