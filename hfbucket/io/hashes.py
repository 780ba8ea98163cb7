"""Hashes of files, read some at a time: mapped, they would count as memory of this process."""

from __future__ import annotations

import hashlib
from typing import BinaryIO, Final

from hfbucket.io.atomic import naming

_CHUNK_BYTES: Final = 1 << 20


def sha256_of(file: BinaryIO) -> str:
    """Return the hash of an open file, 64 hex digits."""
    digest = hashlib.sha256()
    with naming(getattr(file, "name", "")):
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()
