"""SHA-256 of many parts of a local file by compiled code, two at a time, where processor and build have it."""

from __future__ import annotations

from collections.abc import Sequence

from hfbucket.io.store import RandomFile

try:
    from hfbucket.io import _sha256
except ImportError:  # built without a compiler
    _sha256 = None  # type: ignore[assignment]


def hash_parts(file: RandomFile, places: Sequence[tuple[int, int]]) -> list[bytes] | None:
    """Return the SHA-256 of each part (offset, size) of a file; None where one is not there, or hashlib must do it."""
    if _sha256 is None or file.descriptor is None or not _sha256.runs_here():
        return None
    digests = _sha256.digests(file.descriptor, list(places))
    return digests if all(digests) else None
