"""Names: the digest of an image_id, the key of a sample, file names of an export (FORMAT section 1)."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from hfbucket.errors import FormatError

MANIFEST: Final = "manifest.json"
CARD: Final = "README.md"
CROISSANT: Final = "croissant.json"
MEMBERS: Final = ("jpg", "txt", "json")
"""Extensions of a sample's members, in their order in the shard."""


def text_of(path: bytes) -> str:
    """Return a path as text: UTF-8 as it is, every byte that is none as `%XX`."""
    parts = []
    while True:
        try:
            parts.append(path.decode("utf-8"))
        except UnicodeDecodeError as error:
            parts.append(path[: error.start].decode("utf-8"))
            parts.append("".join(f"%{byte:02X}" for byte in path[error.start : error.end]))
            path = path[error.end :]
        else:
            return "".join(parts)


def digest_of(image_id: str) -> bytes:
    """Return sha256 of the image_id's UTF-8 bytes, 32 bytes."""
    return hashlib.sha256(image_id.encode("utf-8")).digest()


def key_of(digest: bytes) -> str:
    """Return the sample's key: the first 32 hex digits of its digest."""
    return digest[:16].hex()


def shard_file(bucket_id: str, number: int) -> str:
    """Return the path of a shard below the export, such as `buckets/p1024x1024/shard-00000.tar`."""
    return f"buckets/{bucket_id}/shard-{number:05d}.tar"


def shard_number(file: str) -> int:
    """Return the number of a shard by its path, as `shard_file` gives it."""
    return int(file.rpartition("/shard-")[2].removesuffix(".tar"))


def part_file(table: str, number: int) -> str:
    """Return the path of one part of the `samples` or `ledger` table below the export."""
    return f"{table}/part-{number:05d}.parquet"


def safe_file(name: str, *, where: str = MANIFEST) -> str:
    """Return `name`, a file below the export.

    Raises:
        FormatError: it is absolute, climbs, or means another file on another system.
    """
    parts = name.split("/")
    if "\\" in name or re.match(r"[A-Za-z]:", name) or any(part in ("", ".", "..") for part in parts):
        raise FormatError(f"must be a plain path below the export, parts joined by '/', got {name!r}", where=where)
    if not name.isprintable():
        raise FormatError(f"must have printable characters only, got {name!r}", where=where)
    return name
