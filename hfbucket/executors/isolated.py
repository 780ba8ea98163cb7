"""Calls that may end their process: made in a child, so that the caller lives and learns of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from hfbucket.executors.process import Died, Process

A = TypeVar("A")
R = TypeVar("R")

_TRIES: Final = 2
"""A child that dies may have been killed by someone else, or have suffered from what an earlier call left behind."""


class Isolated:
    """Calls functions in a child, which is kept while it lives; it is started by the first call.

    Args:
        limit_s: seconds that a call may take; it ends its child otherwise.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        self._limit_s = limit_s
        self._process: Process | None = None

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def call(self, function: Callable[[A], R], argument: A) -> R:
        """Return `function(argument)`.

        Args:
            function: top-level in a module.

        Raises:
            Died: the child died of it, twice; or it took too long.
            Exception: whatever `function` raised.
        """
        deaths = 0
        while True:
            if self._process is None:
                self._process = Process()
            try:
                return self._process.call(function, argument, limit_s=self._limit_s)
            except Died as error:
                self._end()
                deaths += 1
                if deaths == _TRIES or error.death.stalled_s is not None:
                    raise

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.close()
            self._process = None


__all__ = ["Died", "Isolated"]
