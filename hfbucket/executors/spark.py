"""The engine of a Spark cluster: every task is a Spark job of one task, without Spark's own retries.

Jobs are that small because receipts, and no shuffle, join them: one that fails costs only itself, and each result comes
when it is done. Every machine needs this package, and the sources, the export's folder and the index cache under the
same paths.
"""

from __future__ import annotations

import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, Final, TypeVar

from hfbucket.errors import BuildError, MissingDependencyError
from hfbucket.executors.child import Answer, result_of, run_in_child
from hfbucket.executors.engines import Workers
from hfbucket.executors.local import OnProgress, worker_count
from hfbucket.executors.task import Failure

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
_starting = threading.Lock()


def map_tasks(
    function: Callable[[T], R], tasks: Iterable[T], workers: Workers, on_progress: OnProgress | None
) -> Iterator[tuple[T, R | Failure]]:
    """Yield every task with its result, or `Failure` where its executor died. Spark passes no progress on.

    Raises:
        MissingDependencyError: Spark is not installed.
        BuildError: there is no cluster at the master's address.
        Exception: whatever `function` raised; what is still running is ended.
    """
    context = _connected(workers)
    count = workers.count or max(1, context.defaultParallelism)
    group = f"hfbucket-{uuid.uuid4()}"
    limit_s = workers.limit_s

    def run(task: T) -> Answer:
        context.setJobGroup(group, "hfbucket", interruptOnCancel=True)
        answers: list[Answer] = (
            context.parallelize([task], 1).map(lambda one: run_in_child(function, one, limit_s)).collect()
        )
        return answers[0]

    feed = iter(tasks)
    pending: dict[Future[Answer], T] = {}
    threads = ThreadPoolExecutor(count, thread_name_prefix="hfbucket-spark")
    try:
        while True:
            for task in islice(feed, 2 * count - len(pending)):
                pending[threads.submit(run, task)] = task
            if not pending:
                return
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                task = pending.pop(future)
                yield task, _result(future, task)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        left = {future for future in pending if not future.cancelled()}
        while left:  # a job may begin after its group was cancelled
            context.cancelJobGroup(group)
            _, left = wait(left, timeout=_POLL_S)


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
            session = builder.getOrCreate()
        except (PySparkException, RuntimeError, *_java_errors()) as error:
            raise BuildError(f"no Spark at {master}: {_first_line(error)}; see --spark-master") from error
    session.sparkContext.setLogLevel("OFF")
    return session.sparkContext


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
