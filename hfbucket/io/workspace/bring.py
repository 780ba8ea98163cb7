"""Captions from a file into a workspace: matched with its images and written set by set, in SQL."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from hfbucket.core.workspace.brought import BROUGHT, Counts
from hfbucket.errors import WorkspaceError
from hfbucket.io.workspace.database import transaction

_EXAMPLES: Final = 5
_AT_ONCE: Final = 32_768
"""Captions that are written in one transaction where they waited."""

_IN_ORDER: Final = 8
"""Rows come in about the order of the images where those between them are at most so many times as many."""

_TABLES: Final = (
    "CREATE TEMP TABLE incoming (n INTEGER PRIMARY KEY, image_id TEXT, key TEXT, source_sha256 TEXT, stem TEXT, "
    "text TEXT, status TEXT, source_id TEXT, created TEXT, language TEXT, score REAL)",
    "CREATE TEMP TABLE matched (n INTEGER, image INTEGER, PRIMARY KEY (n, image)) WITHOUT ROWID",
    "CREATE TEMP TABLE brought (image INTEGER PRIMARY KEY, n INTEGER NOT NULL)",
    "PRAGMA temp.cache_size = -65536",
)
# SQLite has no function for a file's extension: what is right of the last dot is what trimming all others leaves.
_STEMS: Final = (
    "CREATE TEMP TABLE stems (stem TEXT, image INTEGER)",
    "INSERT INTO temp.stems SELECT CASE WHEN instr(substr(image_id, length(head) + 1), '/') OR head = '' "
    "THEN image_id ELSE substr(head, 1, length(head) - 1) END, image FROM "
    "(SELECT image_id, rtrim(image_id, replace(image_id, '.', '')) AS head, rowid AS image FROM main.images)",
    "CREATE INDEX temp.stems_by_stem ON stems (stem)",
)
_WHO: Final = "SELECT n, i.rowid FROM temp.incoming w CROSS JOIN main.images i ON {} WHERE w.n >= :start"
_BY_STEM: Final = (
    "SELECT n, s.image FROM temp.incoming w CROSS JOIN temp.stems s ON s.stem = w.stem WHERE w.n >= :start"
)
_MATCH: Final = {
    "image_id": _WHO.format("i.image_id = w.image_id"),
    "key": _WHO.format("i.key = lower(w.key)") + " AND w.image_id IS NULL",
    "source_sha256": _WHO.format("i.source_sha256 = lower(w.source_sha256)")
    + " AND w.image_id IS NULL AND w.key IS NULL",
    "stem": f"{_BY_STEM} UNION {_WHO.format('i.key = lower(w.stem)')}",
}
"""What names an image, and how it is found: (n, image) for the rows from `start` on."""

_PUT: Final = (
    "INSERT INTO captions (image_id, variant, status, source_id, created, score, language, text) "
    "SELECT i.image_id, :variant, w.status, coalesce(w.source_id, :source_id), "
    "coalesce(w.created, strftime('%Y-%m-%dT%H:%M:%SZ', 'now')), w.score, w.language, w.text "
    "FROM temp.brought b CROSS JOIN temp.incoming w ON w.n = b.n CROSS JOIN main.images i ON i.rowid = b.image "
    "WHERE b.image BETWEEN :first AND :last ORDER BY i.image_id ON CONFLICT (image_id, variant) DO "
)
_THERE: Final = "FROM temp.brought b CROSS JOIN temp.incoming w ON w.n = b.n WHERE b.image BETWEEN :first AND :last"
_PUT_SOURCES: Final = (
    f"INSERT INTO caption_sources (id, variant) SELECT DISTINCT source_id, :variant {_THERE} "  # noqa: S608 (all ours)
    "AND source_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM caption_sources WHERE id = w.source_id)"
)
# The same text again may say more of itself, but takes nothing away; another text is another one in all it says.
_SAYS: Final = ("source_id", "score", "language")
_REPLACE: Final = (
    "UPDATE SET status = excluded.status, text = excluded.text, created = excluded.created, "
    + ", ".join(
        f"{name} = CASE WHEN captions.text IS excluded.text THEN coalesce(excluded.{name}, captions.{name}) "
        f"ELSE excluded.{name} END"
        for name in _SAYS
    )
    + " WHERE (captions.status, captions.text) IS NOT (excluded.status, excluded.text) OR "
    + " OR ".join(f"(excluded.{name} IS NOT NULL AND captions.{name} IS NOT excluded.{name})" for name in _SAYS)
)


class Bringing:
    """One import into a workspace: rows are matched some after others, and written in the order of the images.

    Captions lie in the file by image. Rows that come in about that order are written as they come; rows in no order
    wait in SQLite's temporary file until all are there, because each would touch another page of the workspace.

    Args:
        source_id: of captions that name none themselves.
        keep: captions that are there stay.
        stems: rows may have a `stem`.
    """

    def __init__(
        self, connection: sqlite3.Connection, variant: str, *, source_id: str | None, keep: bool, stems: bool
    ) -> None:
        self._connection = connection
        self._values: dict[str, Any] = {"variant": variant, "source_id": source_id}
        self._keep = keep
        self._rows = 0
        self._waiting = False
        #: Names in the file that no image has, some of them.
        self.unmatched: list[str] = []
        for statement in (*_TABLES, *(_STEMS if stems else ())):
            connection.execute(statement)

    def put(self, rows: pa.Table) -> Counts:
        """Take the rows that `core.workspace.brought.prepared` gave, and write them or let them wait.

        Returns what is known of them; what `finish` returns is to be added.
        """
        with transaction(self._connection, "DEFERRED"):  # in the temporary tables alone: others can go on writing
            counts = self._match(rows)
        first, last, images = self._row("SELECT min(image), max(image), count(*) FROM temp.matched")
        if images and not self._waiting and last - first <= _IN_ORDER * images:
            counts += self._write(first, last)
        elif images:
            self._waiting = True
        if not self._waiting:
            self._run("DELETE FROM temp.incoming")
        return counts

    def finish(self) -> Iterator[Counts]:
        """Write what waits, some thousands at a time; yield what became of it."""
        after = 0
        while self._waiting:
            first, last = self._row(
                "SELECT min(image), max(image) FROM "
                "(SELECT image FROM temp.brought WHERE image > :after ORDER BY image LIMIT :limit)",
                {"after": after, "limit": _AT_ONCE},
            )
            if first is None:
                return
            yield self._write(first, last)
            after = last

    def _match(self, rows: pa.Table) -> Counts:
        columns = [rows[name].to_pylist() for name in BROUGHT.names]
        self._run("DELETE FROM temp.matched")
        self._connection.executemany(
            f"INSERT INTO temp.incoming (n, {', '.join(BROUGHT.names)}) "  # noqa: S608 (names of ours)
            f"VALUES (?{', ?' * len(columns)})",
            zip(range(self._rows, self._rows + rows.num_rows), *columns, strict=True),
        )
        here = {"start": self._rows}
        self._rows += rows.num_rows
        kinds = [name for name in _MATCH if rows[name].null_count < rows.num_rows]
        matched = sum(self._run(f"INSERT INTO temp.matched (n, image) {_MATCH[name]}", here) for name in kinds)
        new = self._run("INSERT OR IGNORE INTO temp.brought (image, n) SELECT image, n FROM temp.matched ORDER BY n")
        (known,) = self._row("SELECT count(DISTINCT n) FROM temp.matched")
        unmatched = rows.num_rows - known
        if unmatched and len(self.unmatched) < _EXAMPLES:
            self._remember(here)
        return Counts(doubled=matched - new, unmatched=unmatched)

    def _write(self, first: int, last: int) -> Counts:
        """Write what there is for images from `first` to `last`, rowids."""
        values = {**self._values, "first": first, "last": last}
        (rows,) = self._row("SELECT count(*) " + _THERE, values)
        with transaction(self._connection):
            self._run(_PUT_SOURCES, values)
            written = self._run(_PUT + "NOTHING", values)
            old = rows - written
            replaced = self._run(_PUT + _REPLACE, values) if old and not self._keep else 0
        if self._keep:
            return Counts(written=written, kept=old)
        return Counts(written=written, replaced=replaced, unchanged=old - replaced)

    def _run(self, sql: str, values: Mapping[str, Any] | None = None) -> int:
        return self._connection.execute(sql, values or {}).rowcount

    def _row(self, sql: str, values: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self._connection.execute(sql, values or {}).fetchone()
        return row

    def _remember(self, here: Mapping[str, int]) -> None:
        found = self._connection.execute(
            "SELECT coalesce(image_id, key, source_sha256, stem) FROM temp.incoming WHERE n >= :start "
            "AND n NOT IN (SELECT n FROM temp.matched) ORDER BY n LIMIT :limit",
            {**here, "limit": _EXAMPLES - len(self.unmatched)},
        )
        self.unmatched += [name for (name,) in found]


def refuse_own(connection: sqlite3.Connection, path: str | os.PathLike[str], variant: str) -> None:
    """Refuse to write captions of a variant that is the source's own.

    Raises:
        WorkspaceError: it is.
    """
    if connection.execute("SELECT 1 FROM variants WHERE variant = ? AND own", (variant,)).fetchone():
        raise WorkspaceError(
            f"{os.fspath(path)}: {variant!r} are the source's own captions, which `workspace init` alone writes; "
            "bring yours under another name"
        )


def put_source(connection: sqlite3.Connection, path: str | os.PathLike[str], source: dict[str, Any]) -> None:
    """Write where captions come from: a row of `caption_sources`.

    Raises:
        WorkspaceError: its id is that of another one.
    """
    names = ", ".join(source)
    with transaction(connection):
        connection.execute(
            f"INSERT INTO caption_sources ({names}) VALUES ({', '.join('?' * len(source))}) "  # noqa: S608 (names of ours)
            "ON CONFLICT (id) DO NOTHING", tuple(source.values()),
        )  # fmt: skip
        found = connection.execute(
            f"SELECT {names} FROM caption_sources WHERE id = ?",  # noqa: S608 (names of ours)
            (source["id"],),
        ).fetchone()
    if found != tuple(source.values()):
        differs = ", ".join(name for name, old, new in zip(source, found, source.values(), strict=True) if old != new)
        raise WorkspaceError(
            f"{os.fspath(path)}: caption source {source['id']!r} is there with another {differs}; "
            "take another --source-id"
        )


def first_image(connection: sqlite3.Connection) -> str | None:
    """Return the image_id of the first image, None where there is none."""
    found = connection.execute("SELECT image_id FROM images ORDER BY rowid LIMIT 1").fetchone()
    return None if found is None else str(found[0])
