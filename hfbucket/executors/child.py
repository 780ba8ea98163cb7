"""A task on a machine of a cluster: run in a child of the engine's own worker, which keeps it for the next task.

So a decoder that crashes or hangs ends the child and not the engine's worker, in the same way whatever the engine.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, Literal

from hfbucket.executors.process import Died, Process
from hfbucket.executors.task import Failure
from hfbucket.executors.worker import portable, raise_here

REPORT_EVERY_S: Final = 1.0
"""Of a task to its driver: a cluster has many."""

Answer = tuple[Literal["done", "died", "error"], Any]

_children = threading.local()
"""One child for each thread that runs tasks; it ends with this process, however that ends."""


def run_in_child(
    function: Callable[[Any], Any], task: object, limit_s: float | None, listener: Callable[[int], None] | None = None
) -> Answer:
    """Return what a task came to: its result, how its process died, or the error it raised; all can be copied."""
    child: Process | None = getattr(_children, "process", None)
    if child is None:
        # What this worker inherited, such as sockets to its engine, must not stay open in a child that outlives it.
        child = _children.process = Process(inherit=False)
    try:
        return "done", child.call(function, task, listener=listener, limit_s=limit_s)
    except Died as error:
        child.close()
        _children.process = None
        return "died", error.death.words
    except BaseException as error:  # noqa: BLE001 - handed to the driver, which raises it there
        return "error", portable(error)


def result_of(answer: Answer, task: object) -> Any:  # noqa: ANN401 - of the task's function
    """Return what the driver makes of a task's answer: its result, or `Failure` where its process died.

    Raises:
        Exception: whatever the task's function raised.
    """
    kind, value = answer
    if kind == "died":
        return Failure(task=task, reason=f"a worker {value}", crashed=True)
    if kind == "error":
        raise_here(value)
    return value
