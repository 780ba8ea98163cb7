"""Git's own hash of small files, by which a repository tells files that it keeps in git itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hfbucket.core.transfer.push import PushFile

__all__ = ["git_oid"]


def git_oid(file: PushFile) -> str:
    """Return the hash of a file as a git blob, 40 hex digits."""
    data = file.source if isinstance(file.source, bytes) else Path(file.source).read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
