"""What `workspace init` writes: images, the source's own captions, and what an export knows of others."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.hashing import canonical_json
from hfbucket.core.workspace.brought import LONGEST_CAPTION_BYTES
from hfbucket.core.workspace.rows import Texts
from hfbucket.errors import WorkspaceError
from hfbucket.io.workspace.database import transaction
from hfbucket.schemas import WORKSPACE_IMAGES

_NAMES = WORKSPACE_IMAGES.names
_PLACE = tuple(name for name in _NAMES if name not in ("image_id", "key", "source_sha256"))
# An image of another size is another one, so what was known of the old one's bytes goes.
_PUT_IMAGE = (
    f"INSERT INTO images ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))}) "  # noqa: S608 (names of ours)
    f"ON CONFLICT (image_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _PLACE)}, "
    "source_sha256 = CASE WHEN (images.width, images.height) IS (excluded.width, excluded.height) "
    "THEN coalesce(excluded.source_sha256, images.source_sha256) ELSE excluded.source_sha256 END "
    f"WHERE ({', '.join(f'images.{name}' for name in _PLACE)}) IS NOT "
    f"({', '.join(f'excluded.{name}' for name in _PLACE)}) "
    "OR (excluded.source_sha256 IS NOT NULL AND images.source_sha256 IS NOT excluded.source_sha256)"
)
_PUT_OWN = (
    "INSERT INTO captions (image_id, variant, status, text) VALUES (?, ?, 'ok', ?) "
    "ON CONFLICT (image_id, variant) DO UPDATE SET text = excluded.text WHERE text IS NOT excluded.text"
)


def count_images(connection: sqlite3.Connection) -> int:
    """Return how many images a workspace has."""
    (count,) = connection.execute("SELECT count(*) FROM images").fetchone()
    return int(count)


def claim_own(connection: sqlite3.Connection, path: str, variants: Sequence[str]) -> None:
    """Make variants the source's own.

    Raises:
        WorkspaceError: captions were written to one of them as if it were anybody's.
    """
    with transaction(connection):
        for name in variants:
            (taken,) = connection.execute(
                "SELECT EXISTS (SELECT 1 FROM variants WHERE variant = ? AND NOT own) "
                "AND EXISTS (SELECT 1 FROM captions WHERE variant = ?)", (name, name)
            ).fetchone()  # fmt: skip
            if taken:
                raise WorkspaceError(
                    f"{path}: has captions of a variant {name!r}, which is now to be the source's own; "
                    "give these another name first (SQL can: the column variant of the table captions)"
                )
            connection.execute(
                "INSERT INTO variants (variant, own, locked) VALUES (?, 1, 1) "
                "ON CONFLICT (variant) DO UPDATE SET own = 1, locked = 1", (name,)
            )  # fmt: skip


@contextmanager
def own_open(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold a transaction in which the source's own captions may be written."""
    with transaction(connection):
        connection.execute("UPDATE variants SET locked = 0 WHERE own")
        yield
        connection.execute("UPDATE variants SET locked = 1 WHERE own")


def put_images(connection: sqlite3.Connection, rows: pa.Table) -> int:
    """Write images; of those that are there, what changed. Return how many rows that were.

    Args:
        rows: schema WORKSPACE_IMAGES.
    """
    columns = [rows[name].to_pylist() if name != "path" else _paths(rows[name]) for name in _NAMES]
    return connection.executemany(_PUT_IMAGE, zip(*columns, strict=True)).rowcount


def _paths(column: pa.ChunkedArray) -> Sequence[str | bytes]:
    """Return paths as text where they are; others stay bytes."""
    try:
        texts: list[str] = column.cast(pa.string()).to_pylist()
        return texts
    except pa.ArrowInvalid:
        return [_path(value) for value in column.to_pylist()]


def _path(value: bytes) -> str | bytes:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def put_own(
    connection: sqlite3.Connection, image_ids: pa.ChunkedArray, texts: Texts, *, again: bool
) -> tuple[int, int]:
    """Write the source's own captions of one variant; return how many there are, and how many are too long.

    Args:
        again: the workspace had captions before: those of images that have none any more go.
    """
    kept, too_long = _short_enough(texts.captions)
    there = kept.is_valid()
    rows = zip(image_ids.filter(there).to_pylist(), repeat(texts.variant), kept.filter(there).to_pylist(), strict=False)
    connection.executemany(_PUT_OWN, rows)
    if again:
        gone = image_ids.filter(pc.invert(there)).to_pylist()
        connection.executemany(
            "DELETE FROM captions WHERE image_id = ? AND variant = ?", zip(gone, repeat(texts.variant), strict=False)
        )
    return len(kept) - kept.null_count, too_long


def put_other(
    connection: sqlite3.Connection, image_ids: pa.ChunkedArray, texts: Texts, source_id: str | None
) -> tuple[int, int]:
    """Write captions of a variant that is not the source's own where there are none yet; return as `put_own`."""
    kept, too_long = _short_enough(texts.captions)
    there = kept.is_valid()
    rows = zip(
        image_ids.filter(there).to_pylist(), repeat(texts.variant), repeat(source_id), kept.filter(there).to_pylist(),
        strict=False,
    )  # fmt: skip
    connection.executemany(
        "INSERT INTO captions (image_id, variant, status, source_id, text) VALUES (?, ?, 'ok', ?, ?) "
        "ON CONFLICT (image_id, variant) DO NOTHING",
        rows,
    )
    return len(kept) - kept.null_count, too_long


def put_sources(connection: sqlite3.Connection, sources: Sequence[Mapping[str, Any]]) -> None:
    """Write what a manifest tells about the sources of captions, where the workspace does not know them."""
    with transaction(connection):
        connection.executemany(
            "INSERT INTO caption_sources (id, variant, model, prompt_sha256, parameters) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO NOTHING",
            [
                (source["id"], source["variant"], source.get("model"), source.get("prompt_sha256"),
                 None if source.get("parameters") is None else canonical_json(source["parameters"]))
                for source in sources
            ],
        )  # fmt: skip


def _short_enough(captions: pa.Array) -> tuple[pa.Array, int]:
    """Return captions with null in the place of those that are too long, and how many these are."""
    long = pc.fill_null(pc.greater(pc.binary_length(captions), LONGEST_CAPTION_BYTES), False)
    count = pc.sum(long).as_py() or 0
    return (pc.if_else(long, None, captions) if count else captions), count
