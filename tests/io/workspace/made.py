"""Workspaces for tests, made as another program would fill them: by plain SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hfbucket.core.keys import digest_of, key_of
from hfbucket.io.workspace.database import writing


def make_workspace(path: Path, image_ids: Sequence[str]) -> Path:
    """Make a workspace with images that lie nowhere."""
    rows = [(image_id, key_of(digest_of(image_id)), f"/photos/{image_id}", image_id) for image_id in image_ids]
    with writing(path, create=True) as connection:
        connection.executemany(
            "INSERT INTO images (image_id, key, width, height, kind, path, member, offset, size_bytes) "
            "VALUES (?, ?, 640, 480, 'file', ?, ?, 0, 1000)",
            rows,
        )
    return path


def run_sql(path: Path, sql: str, rows: Iterable[Sequence[Any]] = ((),)) -> None:
    """Run one statement for each row with foreign keys on, and commit."""
    with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executemany(sql, rows)


def write_captions(path: Path, variant: str, texts: dict[str, str | None], status: str = "ok") -> None:
    """Write captions of one variant."""
    rows = [(image_id, variant, status, text) for image_id, text in texts.items()]
    run_sql(path, "INSERT INTO captions (image_id, variant, status, text) VALUES (?, ?, ?, ?)", rows)
