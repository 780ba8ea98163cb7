"""Calls that may end their process: made in a child, so that the caller lives and learns of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from hfbucket.executors.process import Death, Process, raise_here

A = TypeVar("A")
R = TypeVar("R")

_TRIES: Final = 2
"""A child that dies may have been killed by someone else, or have suffered from what an earlier call left behind."""


class Died(Exception):
    """A call ended its child, and a fresh one too. `death` is how the last one ended."""

    def __init__(self, death: Death) -> None:
        super().__init__(f"a child process {death.words}")
        self.death = death

    def __reduce__(self) -> tuple[type[Died], tuple[Death]]:
        return (Died, (self.death,))


class Isolated:
    """Calls functions in a child, which is kept while it lives; it is started by the first call."""

    def __init__(self) -> None:
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
            Died: the child died of it, twice.
            Exception: whatever `function` raised.
        """
        for tried in range(1, _TRIES + 1):
            if self._process is None:
                self._process = Process()
            try:
                self._process.send((function, argument))
                kind, value = self._process.receive()
            except (EOFError, BrokenPipeError) as error:
                death = self._process.death()
                self._end()
                if tried == _TRIES:
                    raise Died(death) from error
                continue
            if kind == "error":
                raise_here(value)
            break
        result: R = value
        return result

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.close()
            self._process = None
