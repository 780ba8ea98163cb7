"""One child process that runs functions, seen from its parent. `worker` is its other side."""

from __future__ import annotations

import json
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from hfbucket.executors.worker import LENGTH, raise_here, send
from hfbucket.io import waits

A = TypeVar("A")
R = TypeVar("R")

_START: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from hfbucket.executors.worker import main; main()"
)

ENVIRONMENT: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "PILLOW_BLOCK_SIZE": "1024m",
    "OMP_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""What a child starts with, where the user's environment does not say otherwise.

A worker makes image after image. The C library of Linux (mallopt(3)) keeps the memory of one for the next, up to this
much, rather than give it back and have every page of it brought in and cleared again; Pillow has every image in one
piece, which a compiled kernel reads where it lies. Libraries (OpenBLAS of numpy, pyarrow) start no threads for
computing: there is a worker for every core, and as many threads in each would be a square of them. pyarrow takes its
memory from the C library, too: pools of its own keep what is free beside it.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """How a process ended that should not have."""

    #: `SIGSEGV`, or `exit code 3`; `stall` where it was ended for giving no sign.
    cause: str
    #: The last line it said on its standard error, maybe empty.
    said: str
    #: For how many seconds it gave no sign.
    stalled_s: float | None = None

    @property
    def words(self) -> str:
        """What happened, to be read after "a worker"."""
        if self.stalled_s is not None:
            return f"gave no sign for {self.stalled_s:g} s and was ended"
        was = "was killed by" if self.cause.startswith("SIG") else "ended with"
        hint = "; where nobody did it, memory may have run out: use fewer --workers" if self.cause == "SIGKILL" else ""
        return f"{was} {self.cause}{hint}" + (f": {self.said[:200]}" if self.said else "")


class Died(Exception):
    """A process died over a call, or was ended for giving no sign. `death` says how."""

    def __init__(self, death: Death) -> None:
        super().__init__(f"a child process {death.words}")
        self.death = death

    def __reduce__(self) -> tuple[type[Died], tuple[Death]]:
        return (Died, (self.death,))


class _Stalled(Exception):
    """Nothing came for too long."""


class Process:
    """One child process, started at once.

    What libraries and the system say on its standard error is kept for the case that it dies: decoders complain there
    without naming the file, in words that the task's own result says better.

    Args:
        inherit: it gets the inheritable file descriptors of this process, so that a lock held by one stays held.
    """

    def __init__(self, *, inherit: bool = True) -> None:
        self._errors = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the process
        command = [sys.executable, "-c", _START, json.dumps(sys.path)]
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this package
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            close_fds=not inherit,
            env={**ENVIRONMENT, **os.environ},
        )

    def call(
        self,
        function: Callable[[A], R],
        argument: A,
        *,
        listener: Callable[[int], None] | None = None,
        limit_s: float | None = None,
    ) -> R:
        """Return `function(argument)`, computed there.

        Args:
            function: top-level in a module.
            listener: is told what the function `report`s.
            limit_s: seconds in which it has to end or report; it is ended otherwise.

        Raises:
            Died: it is dead and of no more use.
            Exception: whatever `function` raised.
        """
        try:
            self._errors.truncate(0)  # what was said during the last call
            send(self._process.stdin, (function, argument))  # type: ignore[arg-type]  # a pipe, as asked for
            while True:
                kind, value = self._receive(limit_s)
                if kind == "waiting":
                    waits.take(value)
                elif kind != "progress":
                    break
                elif listener is not None:
                    listener(value)
        except (EOFError, BrokenPipeError) as error:
            raise Died(self._death()) from error
        except _Stalled:
            self.kill()
            raise Died(Death(cause="stall", said="", stalled_s=limit_s)) from None
        if kind == "error":
            raise_here(value)
        result: R = value
        return result

    def kill(self) -> int:
        """End it if need be; return its exit code, the negative signal where one killed it."""
        self._process.kill()
        return self._process.wait()

    def close(self) -> None:
        """Close the files that lead to it."""
        for file in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(BrokenPipeError):  # a task was still in the buffer of a worker that is gone
                file.close()  # type: ignore[union-attr]  # pipes, as asked for

    def _receive(self, limit_s: float | None) -> tuple[str, Any]:
        """Return its next message."""
        size = LENGTH.unpack(self._read(LENGTH.size, limit_s))[0]
        message: tuple[str, Any] = pickle.loads(self._read(size, limit_s))  # noqa: S301 - from our own child, by a pipe
        return message

    def _read(self, size: int, limit_s: float | None) -> bytes:
        """Return so many bytes of what it sends; past the pipe's buffer, for one cannot wait for that with a limit.

        Raises:
            EOFError: it is dead, maybe in the middle of a message.
        """
        number = self._process.stdout.fileno()  # type: ignore[union-attr]  # a pipe, as asked for
        parts: list[bytes] = []
        while size:
            if limit_s is not None and not select.select([number], [], [], limit_s)[0]:
                raise _Stalled
            part = os.read(number, min(size, 1 << 20))
            if not part:
                raise EOFError("the pipe ended")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _death(self) -> Death:
        """Return how it died."""
        code = self.kill()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        return Death(cause=_cause(code), said="".join(said))


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"SIG{-code}"
