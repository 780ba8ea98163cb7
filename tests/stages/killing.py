"""Kills with SIGKILL just before every change that some work makes to the disk, one place after another.

For scripts: a small process without threads forks one child per try, so each kill is a real one and costs no start of
an interpreter.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.system_calls import tell_pathlib

CHANGES = ("replace", "unlink", "mkdir", "rmdir", "link", "fsync")
"""Functions of os that a kill comes just before: names appear and vanish, data reach the disk."""


def in_child(work: Callable[[], object], kill_at: int, counter: Path) -> int:
    """Return how a child ended that works, killed at its `kill_at`-th change; the number of changes goes to a file."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            changes = die_at(kill_at)
            work()
            counter.write_text(str(len(changes)))
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def die_at(number: int) -> list[None]:
    """Kill this process at its change of that number; return a list that grows with every change."""
    changes: list[None] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **kwargs: Any) -> Any:
            changes.append(None)
            if len(changes) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return None if function is os.fsync else function(*args, **kwargs)

        return change

    for name in CHANGES:
        setattr(os, name, watched(getattr(os, name)))
    tell_pathlib()
    return changes
