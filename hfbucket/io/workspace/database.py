"""The file of a caption workspace: its tables, and how it is opened."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from hfbucket.errors import WorkspaceError
from hfbucket.io.workspace.schema import APPLICATION_ID, SCHEMA, VERSION

_SOME_BYTES: Final = 1 << 23
_FETCHED: Final = 128
"""Of captions at once, and how many come before their bytes are added up."""

BUSY_TIMEOUT_S: Final = 60
"""How long a writer waits for another one."""


def open_to_read(path: str | os.PathLike[str]) -> sqlite3.Connection:
    """Return a connection to a workspace that changes nothing in it; texts come as bytes, as they are.

    Raises:
        WorkspaceError: there is none, it is no workspace, or one of a newer release.
    """
    _refuse_none(path)
    with translated(path):
        try:
            connection = _checked(path, "mode=ro")
        except sqlite3.OperationalError:
            # A reader of a write-ahead log writes beside it; where it may not, a file nobody writes is read as it is.
            if os.access(Path(path).absolute().parent, os.W_OK) or _has_log(path):
                raise
            connection = _checked(path, "immutable=1")
    connection.text_factory = bytes
    connection.execute("PRAGMA cache_size = -65536")
    return connection


def open_to_write(path: str | os.PathLike[str], *, create: bool = False) -> sqlite3.Connection:
    """Return a connection to a workspace that others may read and write at the same time.

    Args:
        create: make it where there is none.

    Raises:
        WorkspaceError: there is none, it is no workspace, one of a newer release, or it cannot be written.
    """
    if not create:
        _refuse_none(path)
    with translated(path):
        connection = _connected(path, "mode=rwc" if create else "mode=rw")
        try:
            if create:
                _create(connection, path)
            _check(connection, path)
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise WorkspaceError(
                    f"{path}: SQLite cannot keep a write-ahead log there (it offers {mode!r}), as on network drives: "
                    "keep the workspace on a disk of this machine"
                )
            # a log of 64 MB: pages that are written again and again go to the file once
            for pragma in (
                "foreign_keys = ON",
                "synchronous = NORMAL",
                "cache_size = -65536",
                "wal_autocheckpoint = 8192",
            ):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def writing(path: str | os.PathLike[str], *, create: bool = False) -> Iterator[sqlite3.Connection]:
    """Yield a connection to write with; what SQLite says against it is told as a WorkspaceError."""
    with closing(open_to_write(path, create=create)) as connection, translated(path):
        yield connection


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[sqlite3.Connection]:
    """Yield a connection to read with; what SQLite says against it is told as a WorkspaceError."""
    with closing(open_to_read(path)) as connection, translated(path):
        yield connection


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """Hold the right to write while the block runs; afterwards all of it is kept, or after an error nothing.

    Args:
        kind: `DEFERRED` where only temporary tables are written, so that others need not wait.
    """
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def some_rows(cursor: sqlite3.Cursor, *, text: int, most: int) -> Iterator[list[Any]]:
    """Yield rows of a query, at most so many at a time, fewer where the column `text` is heavy."""
    rows: list[Any] = []
    size_bytes = 0
    while more := cursor.fetchmany(min(_FETCHED, most)):
        rows += more
        size_bytes += sum(len(row[text] or b"") for row in more)
        if len(rows) >= most or size_bytes >= _SOME_BYTES:
            yield rows
            rows, size_bytes = [], 0
    if rows:
        yield rows


@contextmanager
def translated(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise what SQLite says about a workspace as a WorkspaceError that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise WorkspaceError(f"{os.fspath(path)}: {_words(error)}") from error


def _words(error: sqlite3.Error) -> str:
    text = str(error)
    if "locked" in text or "busy" in text:
        return (
            f"{text}: another program has been writing to it for more than {BUSY_TIMEOUT_S} seconds; "
            "let that end its transaction, then run the same command again"
        )
    if "not a database" in text:
        return "is no SQLite file; give the file that `hfbucket workspace init` made"
    if "malformed" in text or "corrupt" in text:
        return f"is damaged ({text}): take a copy of before, or save what can be read with `sqlite3 FILE .recover`"
    return text


def _refuse_none(path: str | os.PathLike[str]) -> None:
    if os.path.isdir(path):
        raise WorkspaceError(f"{os.fspath(path)}: is a folder; give the SQLite file of a caption workspace")
    if not os.path.exists(path):
        raise WorkspaceError(f"{os.fspath(path)}: no such caption workspace; `hfbucket workspace init` makes one")


def _checked(path: str | os.PathLike[str], how: str) -> sqlite3.Connection:
    connection = _connected(path, how)
    try:
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _connected(path: str | os.PathLike[str], how: str) -> sqlite3.Connection:
    uri = f"file:{quote(os.fsencode(os.path.abspath(path)))}?{how}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)


def _has_log(path: str | os.PathLike[str]) -> bool:
    log = Path(f"{os.fspath(path)}-wal")
    return log.exists() and log.stat().st_size > 0


def _create(connection: sqlite3.Connection, path: str | os.PathLike[str]) -> None:
    """Make the tables in a file without any; another process that does the same at once is waited for."""
    if _marks(connection) != (0, 0):
        return
    connection.execute("PRAGMA page_size = 8192")  # before the first table; captions are longer than most texts
    connection.execute("PRAGMA journal_mode = WAL")
    with transaction(connection):
        if _marks(connection) == (0, 0):
            if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                raise WorkspaceError(f"{os.fspath(path)}: is an SQLite file of another program; name another file")
            for statement in _statements(SCHEMA):
                connection.execute(statement)


def _statements(script: str) -> Iterator[str]:
    """Return the statements of a script; unlike `executescript`, running them one by one ends no transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return application, connection.execute("PRAGMA user_version").fetchone()[0]


def _check(connection: sqlite3.Connection, path: str | os.PathLike[str]) -> None:
    application, version = _marks(connection)
    if application != APPLICATION_ID:
        raise WorkspaceError(
            f"{os.fspath(path)}: is an SQLite file, but no caption workspace; `hfbucket workspace init` makes one"
        )
    if version != VERSION:
        raise WorkspaceError(
            f"{os.fspath(path)}: is a caption workspace of version {version}, this release knows version {VERSION}: "
            "install the release that wrote it"
        )
