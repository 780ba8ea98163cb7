"""Captions from a file into a workspace: matched with its images and written set by set, in SQL."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from hfbucket.core.workspace.brought import BROUGHT, Counts
from hfbucket.errors import WorkspaceError
from hfbucket.io.workspace.database import transaction

_EXAMPLES: Final = 5

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
_WHO: Final = "SELECT n, i.rowid FROM temp.incoming w CROSS JOIN main.images i ON "
_MATCH: Final = {
    "image_id": _WHO + "i.image_id = w.image_id",
    "key": _WHO + "i.key = lower(w.key) WHERE w.image_id IS NULL",
    "source_sha256": _WHO + "i.source_sha256 = lower(w.source_sha256) WHERE w.image_id IS NULL AND w.key IS NULL",
    "stem": f"SELECT n, s.image FROM temp.incoming w CROSS JOIN temp.stems s ON s.stem = w.stem UNION {_WHO}"  # noqa: S608
    "i.key = lower(w.stem)",
}
_PUT: Final = (
    "INSERT INTO captions (image_id, variant, status, source_id, created, score, language, text) "
    "SELECT i.image_id, :variant, w.status, coalesce(w.source_id, :source_id), "
    "coalesce(w.created, strftime('%Y-%m-%dT%H:%M:%SZ', 'now')), w.score, w.language, w.text "
    "FROM temp.matched m CROSS JOIN temp.brought b ON b.image = m.image AND b.n = m.n "
    "CROSS JOIN temp.incoming w ON w.n = m.n CROSS JOIN main.images i ON i.rowid = m.image "
    "WHERE true ORDER BY i.image_id ON CONFLICT (image_id, variant) DO "
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
    """One import into a workspace, some rows after others; each call is one transaction.

    Args:
        source_id: of captions that name none themselves.
        keep: captions that are there stay.
    """

    def __init__(
        self, connection: sqlite3.Connection, variant: str, *, source_id: str | None, keep: bool, stems: bool
    ) -> None:
        self._connection = connection
        self._values = {"variant": variant, "source_id": source_id}
        self._keep = keep
        self._rows = 0
        #: Names in the file that no image has, some of them.
        self.unmatched: list[str] = []
        for statement in (*_TABLES, *(_STEMS if stems else ())):
            connection.execute(statement)

    def put(self, rows: pa.Table) -> Counts:
        """Write the captions of rows that `core.workspace.brought.prepared` gave; return what became of them."""
        with transaction(self._connection):
            self._take(rows)
            matched = sum(
                self._run(f"INSERT INTO temp.matched (n, image) {match}")
                for name, match in _MATCH.items()
                if rows[name].null_count < len(rows)
            )
            new = self._run(
                "INSERT OR IGNORE INTO temp.brought (image, n) SELECT image, n FROM temp.matched ORDER BY n"
            )
            self._run(
                "INSERT INTO caption_sources (id, variant) SELECT DISTINCT source_id, :variant FROM temp.incoming w "
                "WHERE source_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM caption_sources WHERE id = w.source_id)"
            )
            written = self._run(_PUT + "NOTHING")
            there = new - written
            replaced = self._run(_PUT + _REPLACE) if there and not self._keep else 0
            unmatched = rows.num_rows - self._one("SELECT count(DISTINCT n) FROM temp.matched")
            if unmatched:
                self._remember()
        counts = Counts(written=written, replaced=replaced, doubled=matched - new, unmatched=unmatched)
        return replace(counts, **({"kept": there} if self._keep else {"unchanged": there - replaced}))

    def _take(self, rows: pa.Table) -> None:
        for table in ("incoming", "matched"):
            self._connection.execute(f"DELETE FROM temp.{table}")  # noqa: S608 (names of ours)
        columns = [rows[name].to_pylist() for name in BROUGHT.names]
        numbers = range(self._rows, self._rows + rows.num_rows)
        names = ", ".join(BROUGHT.names)
        self._connection.executemany(
            f"INSERT INTO temp.incoming (n, {names}) VALUES (?{', ?' * len(columns)})",  # noqa: S608 (names of ours)
            zip(numbers, *columns, strict=True),
        )
        self._rows += rows.num_rows

    def _run(self, sql: str) -> int:
        return self._connection.execute(sql, self._values).rowcount

    def _one(self, sql: str) -> int:
        return int(self._connection.execute(sql).fetchone()[0])

    def _remember(self) -> None:
        found = self._connection.execute(
            "SELECT coalesce(image_id, key, source_sha256, stem) FROM temp.incoming "
            "WHERE n NOT IN (SELECT n FROM temp.matched) ORDER BY n LIMIT ?",
            (_EXAMPLES - len(self.unmatched),),
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
