"""The engine of a Spark cluster: every task is a Spark job of one task, without Spark's own retries.

Jobs are that small because receipts, and no shuffle, join them: one that fails costs only itself, and each result comes
when it is done. Every machine needs this package, and reaches sources and export: by URLs, or under the same paths.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import struct
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

from hfbucket.errors import BuildError, MissingDependencyError
from hfbucket.executors.child import REPORT_EVERY_S, Answer, result_of, run_in_child
from hfbucket.executors.engines import Workers
from hfbucket.executors.local import OnProgress, worker_count
from hfbucket.executors.signals import put_off
from hfbucket.executors.task import Failure, throttled
from hfbucket.io import waits

T = TypeVar("T")
R = TypeVar("R")

_SETTINGS: Final = {
    "spark.task.maxFailures": "1",  # retries are ours
    "spark.scheduler.mode": "FAIR",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.python.worker.reuse": "true",
}
_LOOPBACK: Final = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
_POLL_S: Final = 0.2
_KEY_BYTES: Final = 16
_REPORT: Final = struct.Struct(f"!{_KEY_BYTES}sQQ")
"""A key that only tasks of this map know, the task's number, how many of its items are done.

With words after it, JSON of what `waits` tells, the numbers mean nothing.
"""
_MOST_WORDS: Final = 4000
"""Bytes of these."""

_starting = threading.Lock()


def map_tasks(
    function: Callable[[T], R], tasks: Iterable[T], workers: Workers, on_progress: OnProgress | None
) -> Iterator[tuple[T, R | Failure]]:
    """Yield every task with its result, or `Failure` where its executor died.

    Raises:
        MissingDependencyError: Spark is not installed.
        BuildError: there is no cluster at the master's address.
        Exception: whatever `function` raised; what is still running is ended.
    """
    context = _connected(workers)
    count = workers.count or max(1, context.defaultParallelism)
    group = f"hfbucket-{uuid.uuid4()}"
    limit_s = workers.limit_s
    reports = _Reports(context)

    def run(number: int, task: T) -> Answer:
        context.setJobGroup(group, "hfbucket", interruptOnCancel=True)
        run_there = partial(_run, function, limit_s, reports.sender(), number)
        answers: list[Answer] = context.parallelize([task], 1).map(run_there).collect()
        return answers[0]

    feed = enumerate(tasks)
    pending: dict[Future[Answer], tuple[int, T]] = {}
    threads = ThreadPoolExecutor(count, thread_name_prefix="hfbucket-spark")
    try:
        while True:
            for number, task in islice(feed, 2 * count - len(pending)):
                pending[threads.submit(run, number, task)] = (number, task)
            if not pending:
                return
            done, _ = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            reports.pass_on(dict(pending.values()), on_progress)
            for future in done:
                _, task = pending.pop(future)
                yield task, _result(future, task)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        left = {future for future in pending if not future.cancelled()}
        while left:  # a job may begin after its group was cancelled
            context.cancelJobGroup(group)
            _, left = wait(left, timeout=_POLL_S)
        reports.close()


def _connected(workers: Workers) -> Any:  # noqa: ANN401 - a SparkContext
    """Return the context of the running session, or of a new one."""
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise MissingDependencyError("--executor spark needs Spark: pip install 'hfbucket[spark]'") from error
    master = workers.address or f"local[{worker_count(workers.count)}]"
    settings = _SETTINGS if workers.address else {**_SETTINGS, **_LOOPBACK}
    if master.startswith("local"):  # its workers are of this machine: they need the packages that are here
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with _starting:
        builder = SparkSession.builder.appName("hfbucket").master(master)
        for name, value in settings.items():
            builder = builder.config(name, value)
        try:
            # A Java that was just begun outlives who does not know it yet. In the main thread Spark would put in a
            # handler of its own, which asks Java in the middle of whatever that is being asked, and prints tracebacks.
            with put_off(signal.SIGINT, signal.SIGTERM), ThreadPoolExecutor(1) as thread:
                session = thread.submit(builder.getOrCreate).result()
        except (PySparkException, RuntimeError, *_java_errors()) as error:
            raise BuildError(f"no Spark at {master}: {_first_line(error)}; see --spark-master") from error
    session.sparkContext.setLogLevel("OFF")
    return session.sparkContext


class _Reports:
    """What running tasks report: Spark itself tells nothing of a task before it ends.

    It comes by datagrams to the driver; one that is lost, or kept out by a firewall, costs nothing.
    """

    def __init__(self, context: Any) -> None:  # noqa: ANN401 - a SparkContext
        settings = context.getConf()
        self._host = settings.get("spark.driver.host")
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._socket = socket.socket(socket.AF_INET6 if ":" in self._host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with suppress(OSError):  # the driver's name is not of this machine: no task reaches it
            self._socket.bind((settings.get("spark.driver.bindAddress", self._host), 0))

    def sender(self) -> Callable[..., None]:
        """Return what sends, from a task on any machine, its number, how far it is, and words."""
        return partial(_send, self._socket.family, (self._host, self._socket.getsockname()[1]), self._key)

    def pass_on(self, tasks: Mapping[int, T], on_progress: OnProgress | None) -> None:
        """Tell what came since the last call."""
        while True:
            try:
                data = self._socket.recv(_REPORT.size + _MOST_WORDS)
            except OSError:  # nothing is there
                return
            if len(data) < _REPORT.size or not data.startswith(self._key):
                continue
            _, number, done = _REPORT.unpack_from(data)
            if words := data[_REPORT.size :]:
                waits.take(waits.Waiting(**json.loads(words)))
            elif number in tasks and on_progress is not None:
                on_progress(tasks[number], done)

    def close(self) -> None:
        """Take no more."""
        self._socket.close()


def _send(family: int, address: tuple[str, int], key: bytes, number: int, done: int, words: bytes = b"") -> None:
    if len(words) <= _MOST_WORDS:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as out:
            out.sendto(_REPORT.pack(key, number, done) + words, address)


def _run(
    function: Callable[[Any], Any],
    limit_s: float | None,
    send: Callable[..., None],
    number: int,
    task: T,
) -> Answer:
    """Run one task, where Spark put it."""
    with waits.told_to(lambda waiting: send(number, 0, json.dumps(asdict(waiting)).encode())):
        return run_in_child(function, task, limit_s, throttled(partial(send, number), REPORT_EVERY_S))


def _java_errors() -> tuple[type[Exception], ...]:
    """Return what Spark's bridge raises for what went wrong on the other side."""
    from py4j.protocol import Py4JError

    return (Py4JError,)


def _result(future: Future[Answer], task: T) -> Any:  # noqa: ANN401 - of the task's function
    try:
        answer: Answer = future.result()
    except _java_errors() as error:
        return Failure(task=task, reason=f"a Spark executor was lost: {_first_line(error)}", crashed=True)
    return result_of(answer, task)


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
