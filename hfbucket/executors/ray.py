"""The engine of a Ray cluster: tasks as Ray tasks, without Ray's own retries.

Every machine needs this package, and reaches sources and export: by URLs, or under the same paths.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
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

_POLL_S: Final = 0.2
_CONNECT_S: Final = 10.0

_started: Final[set[str]] = set()
"""Addresses of the clusters that were started here, for this process alone."""


def map_tasks(
    function: Callable[[T], R], tasks: Iterable[T], workers: Workers, on_progress: OnProgress | None
) -> Iterator[tuple[T, R | Failure]]:
    """Yield every task with its result, or `Failure` where its worker or its machine died.

    Raises:
        MissingDependencyError: Ray is not installed.
        BuildError: there is no cluster at the address.
        Exception: whatever `function` raised; what is still running is ended.
    """
    ray = _connected(workers)
    count = workers.count or int(ray.cluster_resources().get("CPU", 1))
    reports = ray.remote(num_cpus=0)(_Reports).remote()
    run = ray.remote(num_cpus=1, max_retries=0)(_run)
    feed = enumerate(tasks)
    pending: dict[Any, tuple[int, T]] = {}
    try:
        while True:
            # twice as many as run at once, so that no core waits while the caller uses a result
            for number, task in islice(feed, 2 * count - len(pending)):
                pending[run.remote(function, task, workers.limit_s, number, reports)] = (number, task)
            if not pending:
                return
            done, _ = ray.wait(list(pending), num_returns=1, timeout=_POLL_S)
            _pass_on(ray, reports, dict(pending.values()), on_progress)
            for reference in done:
                _, task = pending.pop(reference)
                yield task, _result(ray, reference, task)
    finally:
        _end(ray, pending, reports)


def _end(ray: Any, pending: Iterable[Any], reports: Any) -> None:  # noqa: ANN401
    """End the tasks that are left. Where Ray was started for them it ends as a whole.

    A task that comes to its end just when it is cancelled by force makes Ray abort this process, or did up to 2.60.
    """
    left = list(pending)
    if left and ray.get_runtime_context().gcs_address in _started:
        ray.shutdown()
        return
    for reference in left:
        ray.cancel(reference, force=True)
    ray.kill(reports)


def _connected(workers: Workers) -> Any:  # noqa: ANN401 - the module ray
    """Return Ray, connected to its cluster."""
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError("--executor ray needs Ray: pip install 'hfbucket[ray]'") from error
    if not ray.is_initialized():
        _check_reachable(workers.address)
        own = {
            "address": "local",  # without it Ray joins whatever cluster was last on this machine
            "num_cpus": worker_count(workers.count),
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }
        where = {"address": workers.address} if workers.address else own
        with put_off(signal.SIGTERM):  # Ray puts in its own handler, which aborts with a stack of its insides
            try:
                ray.init(**where, log_to_driver=False, logging_level="ERROR")
                if not workers.address:
                    _started.add(ray.get_runtime_context().gcs_address)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise _no_cluster(workers.address or "this machine", error) from error
    return ray


def _check_reachable(address: str | None) -> None:
    """Refuse an address at which nobody answers: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if not host or "/" in host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except OSError as error:
        raise _no_cluster(f"{host}:{port}", error) from error


def _no_cluster(place: str, error: Exception) -> BuildError:
    tokens = "" if "RAY_AUTH_MODE" in os.environ else "; a cluster that asks for tokens needs RAY_AUTH_MODE=token"
    return BuildError(f"no Ray cluster at {place}: {error}; see --ray-address{tokens}")


def _run(
    function: Callable[[Any], Any],
    task: object,
    limit_s: float | None,
    number: int,
    reports: Any,  # noqa: ANN401 - a handle of the actor
) -> Answer:
    with waits.told_to(lambda waiting: reports.wait.remote(waiting)):
        return run_in_child(
            function, task, limit_s, throttled(lambda done: reports.put.remote(number, done), REPORT_EVERY_S)
        )


class _Reports:
    """What running tasks report, and what they wait for, until the driver takes it."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}
        self._waits: list[waits.Waiting] = []

    def put(self, number: int, done: int) -> None:
        self._done[number] = done

    def wait(self, waiting: waits.Waiting) -> None:
        self._waits.append(waiting)

    def take(self) -> tuple[dict[int, int], list[waits.Waiting]]:
        taken, self._done, self._waits = (self._done, self._waits), {}, []
        return taken


def _pass_on(ray: Any, reports: Any, tasks: dict[int, T], on_progress: OnProgress | None) -> None:  # noqa: ANN401
    """Tell what tasks reported; a machine that was lost may have taken the reports along."""
    try:
        taken, waited_for = ray.get(reports.take.remote(), timeout=1)
    except (ray.exceptions.RayError, TimeoutError):
        return
    for waiting in waited_for:
        waits.take(waiting)
    for number, done in sorted(taken.items()):
        if number in tasks and on_progress is not None:
            on_progress(tasks[number], done)


def _result(ray: Any, reference: Any, task: T) -> Any:  # noqa: ANN401 - of the task's function
    try:
        answer: Answer = ray.get(reference)
    except ray.exceptions.RayError as error:
        words = str(error).strip().splitlines() or [type(error).__name__]
        return Failure(task=task, reason=f"a Ray worker was lost: {words[0]}", crashed=True)
    return result_of(answer, task)
