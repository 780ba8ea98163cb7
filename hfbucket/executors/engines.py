"""Who runs tasks: processes of this machine, a Ray cluster or a Spark cluster, behind one function.

What makes a build safe lives above: skipping, retries, failures, progress. An engine maps a function over tasks and
tells of every task what it came to; its own retries are off.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

from hfbucket.executors import local
from hfbucket.executors.local import OnProgress
from hfbucket.executors.task import Failure

T = TypeVar("T")
R = TypeVar("R")

_MANY: Final = 64
"""Tasks that a cluster may run at once, where nobody said how many: only asking it, which starts it, would tell."""

_CLUSTERS: Final = {"ray": "hfbucket.executors.ray", "spark": "hfbucket.executors.spark"}
"""Engine to the module whose `map_tasks` it is; imported when it is used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workers:
    """How many tasks run at once, and where."""

    #: 0 for none: tasks run in this very process. None for as many as the engine has cores.
    count: int | None = None
    executor: Literal["local", "ray", "spark"] = "local"
    #: Of the Ray cluster, or the Spark master; None starts an engine on this machine.
    address: str | None = None
    #: Seconds in which a task has to end or report; None for no limit.
    limit_s: float | None = None

    @property
    def are_none(self) -> bool:
        """Whether tasks run in this very process."""
        return self.count == 0

    @property
    def at_once(self) -> int:
        """How many tasks may run at the same time; of a cluster that was not told, many."""
        if self.are_none or self.executor not in _CLUSTERS:
            return local.worker_count(self.count)
        return _MANY if self.count is None else self.count

    def one_by_one(self) -> Workers:
        """Return the same with one task at a time."""
        return self if self.are_none else replace(self, count=1)


def map_tasks(
    function: Callable[[T], R], tasks: Iterable[T], *, workers: Workers, on_progress: OnProgress | None = None
) -> Iterator[tuple[T, R | Failure]]:
    """Yield every task with its result, or `Failure` where its worker died, as they are done.

    Args:
        function: top-level in a module that every machine of the engine has installed.
        tasks: picklable values.
        on_progress: is told what tasks `report`, as far as the engine passes it on.

    Raises:
        MissingDependencyError: the engine is not installed.
        Exception: whatever `function` raised; nothing goes on then.
    """
    if workers.are_none or workers.executor not in _CLUSTERS:
        count = local.worker_count(workers.count)
        return local.map_tasks(function, tasks, workers=count, on_progress=on_progress, limit_s=workers.limit_s)
    cluster = importlib.import_module(_CLUSTERS[workers.executor])
    results: Iterator[tuple[T, R | Failure]] = cluster.map_tasks(function, tasks, workers, on_progress)
    return results
