"""Which images of a caption workspace still lack a caption of a variant."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from hfbucket.core.workspace.brought import STATUSES
from hfbucket.io.workspace.database import open_to_read, translated

_PAGE: Final = 1000
"""Images asked for at once: a reader that stays open would keep the write-ahead log from being cleared."""

_HASH_DIGITS: Final = 12
_SHARD = " + ".join(
    f"((instr('0123456789abcdef', substr(key, {digit + 1}, 1)) - 1) << {4 * (_HASH_DIGITS - 1 - digit)})"
    for digit in range(_HASH_DIGITS)
)
"""The first hex digits of the key as a number: SQLite cannot read hex itself."""

_COLUMNS = "rowid, image_id, key, width, height, kind, path, offset, size_bytes"
_SQL = (
    f"SELECT {_COLUMNS} FROM images WHERE rowid > :after AND ({_SHARD}) % :shards = :shard "  # noqa: S608 (all ours)
    "AND NOT EXISTS (SELECT 1 FROM captions WHERE captions.image_id = images.image_id AND variant = :variant "
    "AND status NOT IN (SELECT value FROM json_each(:again))) ORDER BY rowid LIMIT :page"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePlace:
    """One image and where its bytes are."""

    image_id: str
    key: str
    #: Pixels after EXIF orientation, of the source image.
    width: int | None
    height: int | None
    #: `file`, `tar`, `packed` (a tar that must be unpacked in order) or `parquet`.
    kind: str
    #: Of the file that holds it, or its URL; bytes that are no UTF-8 as lone surrogates (os.fsdecode).
    path: str
    #: First byte in the tar, row in the Parquet file, 0 in a file of its own.
    offset: int
    size_bytes: int


def pages(
    path: str | os.PathLike[str], variant: str, *, again: Collection[str], shard: int, shards: int
) -> Iterator[list[ImagePlace]]:
    """Yield the images without a caption of this variant, in source order, some at a time.

    Each page is what is true when it is asked for: what others write meanwhile counts.

    Args:
        again: statuses of STATUSES with which a caption counts as lacking.
        shard: of `shards` equal parts by hash of image_id, from 0.

    Raises:
        WorkspaceError: the file is no workspace, or cannot be read.
    """
    values: dict[str, Any] = {
        "variant": variant,
        "shard": shard,
        "shards": shards,
        "page": _PAGE,
        "after": 0,
        "again": "[" + ", ".join(f'"{status}"' for status in STATUSES if status in again) + "]",
    }
    while True:
        with closing(open_to_read(path)) as connection, translated(path):
            connection.text_factory = os.fsdecode
            rows = _page(connection, values)
        if rows:
            yield [_place(*row[1:]) for row in rows]
        if len(rows) < _PAGE:
            return
        values["after"] = rows[-1][0]


def _page(connection: sqlite3.Connection, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    return connection.execute(_SQL, values).fetchall()


def _place(
    image_id: str, key: str, width: int | None, height: int | None, kind: str, path: str | bytes, offset: int, size: int
) -> ImagePlace:
    return ImagePlace(
        image_id=image_id, key=key, width=width, height=height, kind=kind, path=os.fsdecode(path), offset=offset,
        size_bytes=size,
    )  # fmt: skip
