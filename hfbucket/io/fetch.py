"""Files brought here from an export anywhere: each appears whole and with the right hash, or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hfbucket.errors import PullError
from hfbucket.io.atomic import NO_ROOM, naming, sync_folder
from hfbucket.io.store import stream

__all__ = ["Wanted", "fetch", "is_there"]

OnBytes = Callable[[int], None]
"""Called with how many more bytes are here; negative where some have to come again."""

_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One file to bring here: what the manifest or the listing of its store says about it."""

    #: Below the export.
    file: str
    url: str
    size_bytes: int
    #: 64 hex digits; None where nothing tells, then only the size is checked.
    sha256: str | None


def is_there(path: Path, size_bytes: int, sha256: str | None) -> bool:
    """Return whether a file stands at `path` already, by its bytes; without a hash nothing tells, so it is not."""
    if sha256 is None or path.is_symlink() or not path.is_file() or path.stat().st_size != size_bytes:
        return False
    digest = hashlib.sha256()
    _read_into(digest, path)
    return digest.hexdigest() == sha256


def fetch(
    wanted: Wanted, path: Path, aside: Path, *, token: str | bool | None = None, on_bytes: OnBytes = lambda more: None
) -> None:
    """Bring a file to `path`. What came before a kill is continued; what turns out wrong is fetched once more.

    Args:
        aside: a folder on the same disk for what is not whole yet.

    Raises:
        PullError: the bytes are not what the manifest says, twice.
        OSError: the store cannot be reached, or the disk is full.
    """
    part = aside / f"{wanted.sha256 or hashlib.sha256(wanted.file.encode()).hexdigest()}.part"
    if wanted.sha256 is None:
        part.unlink(missing_ok=True)  # nothing would tell whether its bytes are of the same file
    for last_try in (False, True):
        reason = _attempt(wanted, part, token, on_bytes)
        if reason is None:
            break
        on_bytes(-part.stat().st_size)
        part.unlink()
        if last_try:
            raise PullError(f"{wanted.url}: {reason}; ask who published it, `hfbucket verify` tells them what is wrong")
    path.parent.mkdir(parents=True, exist_ok=True)
    part.replace(path)
    sync_folder(path.parent)


def _attempt(wanted: Wanted, part: Path, token: str | bool | None, on_bytes: OnBytes) -> str | None:
    """Bring the bytes into `part`, flushed to disk, and return what is wrong with them."""
    digest = hashlib.sha256()
    size = _read_into(digest, part) if part.exists() else 0
    on_bytes(size)
    with naming(part, NO_ROOM), part.open("ab") as file:
        if size < wanted.size_bytes:
            for piece in stream(wanted.url, size, size_bytes=wanted.size_bytes, token=token):
                size += len(piece)
                if size > wanted.size_bytes:
                    break
                file.write(piece)
                digest.update(piece)
                on_bytes(len(piece))
        file.flush()
        with naming(part):
            os.fsync(file.fileno())
    if size > wanted.size_bytes:
        return f"must have {wanted.size_bytes:,} bytes, got more"
    if wanted.sha256 is not None and digest.hexdigest() != wanted.sha256:
        return f"sha256 must be {wanted.sha256}, got {digest.hexdigest()}"
    return None


def _read_into(digest: hashlib._Hash, path: Path) -> int:
    """Feed a file to a hash and return its size in bytes."""
    size = 0
    with path.open("rb") as file:
        while piece := file.read(_BLOCK_BYTES):
            digest.update(piece)
            size += len(piece)
    return size
