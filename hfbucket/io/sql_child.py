"""The child process that asks DuckDB: one statement on one table at a time, from its standard input.

It sees no file, no extension and no setting, and has a limit of memory and of time for every statement: what goes
beyond ends in an error, or ends this process.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa

_LENGTHS: Final = struct.Struct("<QQ")

_RESERVED_BYTES: Final = 1 << 30
"""What allocators may reserve at once without using it."""

CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    "threads": "1",
    "lock_configuration": "true",
}
"""How the database in memory is opened; memory_limit comes with it."""


def send(stream: BinaryIO, header: dict[str, Any], table: pa.Table | None) -> None:
    """Write one message, plain values and maybe a table, to a pipe."""
    words = json.dumps(header).encode()
    body = memoryview(b"")
    if table is not None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        body = memoryview(sink.getvalue())
    for piece in (_LENGTHS.pack(len(words), len(body)), words, body):
        stream.write(piece)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], pa.Table | None]:
    """Return the next message of a pipe.

    Raises:
        EOFError: the other end is closed, maybe in the middle of a message.
    """
    words_bytes, body_bytes = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    header = json.loads(_read(stream, words_bytes))
    body = _read(stream, body_bytes)
    return header, pa.ipc.open_stream(body).read_all() if body else None


def _read(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError("the pipe ended")
    return data


def main() -> None:
    """Answer statements until standard input ends.

    The first argument after `sys.path` is the memory limit in bytes, the second the time limit in seconds.
    """
    memory_bytes, time_s = int(sys.argv[2]), float(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not end up among the answers
    connection = _connect(memory_bytes)
    _answer(connection, "SELECT * FROM batch", pa.table({"warm": [1]}))  # what is loaded late is loaded now
    _limit_memory(memory_bytes)
    while True:
        with suppress(EOFError):
            header, table = receive(sys.stdin.buffer)
            _set_alarm(time_s)
            reply, rows = _answer(connection, header["sql"], table)
            _set_alarm(0)
            send(answers, reply, rows)
            continue
        return


def _connect(memory_bytes: int) -> Any:  # noqa: ANN401 - duckdb is optional
    import duckdb

    return duckdb.connect(":memory:", config={"memory_limit": f"{memory_bytes}B", **CONFIG})


def _limit_memory(memory_bytes: int) -> None:
    """Let the process grow by no more than this; where the system cannot, DuckDB's own limit stands alone."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + memory_bytes + _RESERVED_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _set_alarm(seconds: float) -> None:
    """End this process after so many seconds, wherever it is then; 0 calls it off."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _answer(connection: Any, sql: str, table: pa.Table) -> tuple[dict[str, Any], pa.Table | None]:  # noqa: ANN401
    import duckdb

    try:
        connection.register("batch", table)
        return {"error": None}, connection.sql(sql).to_arrow_table()
    except (MemoryError, duckdb.OutOfMemoryException) as error:
        return {"error": "memory", "text": str(error)}, None
    except duckdb.Error as error:
        return {"error": type(error).__name__, "text": str(error)}, None
    finally:
        connection.unregister("batch")
