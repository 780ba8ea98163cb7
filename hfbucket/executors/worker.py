"""One process of the local engine: takes tasks from its standard input until that ends, then it ends too.

Standard input ends when the parent closes it or dies, however it dies: a thread reads it all the time, so that not
even `kill -9` of the parent leaves a worker behind that still writes.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO, Final, Literal, NoReturn

from hfbucket.executors.task import listening, throttled
from hfbucket.io.waits import told_to

Kind = Literal["done", "progress", "waiting", "error"]

LENGTH: Final = struct.Struct("<Q")
_REPORT_EVERY_S: Final = 0.1


class RemoteTraceback(Exception):
    """The cause of an error that a worker met: its traceback there, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def send(stream: BinaryIO, message: object) -> None:
    """Write one message to a pipe."""
    data = pickle.dumps(message)
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def receive(stream: BinaryIO) -> bytes:
    """Return the next message of a pipe, still pickled.

    Raises:
        EOFError: the other end is closed, maybe in the middle of a message.
    """
    prefix = stream.read(LENGTH.size)
    size = LENGTH.unpack(prefix)[0] if len(prefix) == LENGTH.size else -1
    data = stream.read(size) if size >= 0 else b""
    if len(data) != size:
        raise EOFError("the pipe ended")
    return data


def main() -> None:
    """Run tasks until standard input ends; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not end up among the results
    from hfbucket.io.arrow import spare_pandas  # the parent needs no pyarrow

    spare_pandas()
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()
    with told_to(lambda waiting: send(results, ("waiting", waiting))):  # a message is one write, whatever the thread
        while True:
            send(results, _run(tasks.get(), throttled(lambda done: send(results, ("progress", done)), _REPORT_EVERY_S)))


def _read_tasks(tasks: queue.SimpleQueue[bytes]) -> None:
    while True:
        try:
            tasks.put(receive(sys.stdin.buffer))
        except EOFError:
            os._exit(0)


def _run(message: bytes, listener: Callable[[int], None]) -> tuple[Kind, Any]:
    try:
        function, task = pickle.loads(message)  # noqa: S301 - from our own parent, by a pipe
        with listening(listener):
            result = function(task)
        pickle.dumps(result)
    except BaseException as error:  # noqa: BLE001 - handed to the parent, which raises it there
        return "error", portable(error)
    return "done", result


def raise_here(value: tuple[BaseException, str]) -> NoReturn:
    """Raise what a function raised elsewhere, as `portable` made it, with its traceback there as the cause."""
    error, text = value
    raise error from RemoteTraceback(text)


def portable(error: BaseException) -> tuple[BaseException, str]:
    """Return the error as it can cross a pipe, with its traceback as text."""
    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was dumped on this very line
    except Exception:  # noqa: BLE001 - other people's exceptions may fail in any way when copied
        return RuntimeError(f"{type(error).__name__}: {error}"), text
    return error, text
