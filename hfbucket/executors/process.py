"""One child process that runs functions, seen from its parent. `worker` is its other side."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from hfbucket.executors.worker import Kind, RemoteTraceback, receive, send

_START: Final = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from hfbucket.executors.worker import main; main()"
)

ENVIRONMENT: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "PILLOW_BLOCK_SIZE": "1024m",
}
"""What a child starts with, where the user's environment does not say otherwise.

A worker makes image after image. The C library of Linux (mallopt(3)) keeps the memory of one for the next, up to this
much, rather than give it back and have every page of it brought in and cleared again; Pillow has every image in one
piece, which a compiled kernel reads where it lies.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """How a process ended that should not have."""

    #: `SIGSEGV`, or `exit code 3`.
    cause: str
    #: The last line it said on its standard error, maybe empty.
    said: str

    @property
    def words(self) -> str:
        """What happened, to be read after "a worker"."""
        was = "was killed by" if self.cause.startswith("SIG") else "ended with"
        hint = "; where nobody did it, memory may have run out: use fewer --workers" if self.cause == "SIGKILL" else ""
        return f"{was} {self.cause}{hint}" + (f": {self.said[:200]}" if self.said else "")


def raise_here(value: tuple[BaseException, str]) -> NoReturn:
    """Raise what a function raised over there, with its traceback there as the cause."""
    error, text = value
    raise error from RemoteTraceback(text)


class Process:
    """One child process, started at once.

    What libraries and the system say on its standard error is kept for the case that it dies: decoders complain there
    without naming the file, in words that the task's own result says better.
    """

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the process
        command = [sys.executable, "-c", _START, json.dumps(sys.path)]
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this package
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            close_fds=False,
            env={**ENVIRONMENT, **os.environ},
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

    def death(self) -> Death:
        """Return how it died."""
        code = self.kill()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        return Death(cause=_cause(code), said="".join(said))


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"SIG{-code}"
