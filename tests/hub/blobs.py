"""The contents that the loopback Hub keeps, by sha256 on disk, and what a commit says of each of its files."""

from __future__ import annotations

import codecs
import fnmatch
import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

CHUNK_BYTES = 1 << 20
REGULAR_BYTES = 10 << 20
"""A text file up to this size goes into the commit itself, all else into large file storage."""

GIT_ATTRIBUTES = "".join(f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in ("tar", "parquet", "jpg", "png"))
"""What a new repository holds, as on the Hub: its first commit."""


def iso(date: datetime) -> str:
    """Return a time as the Hub writes it."""
    return date.strftime("%Y-%m-%dT%H:%M:%S.") + f"{date.microsecond // 1000:03d}Z"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file of a commit. `oid` is git's: of the content, or of the pointer where the content lies in LFS.

    `xet_hash`: where it came by Xet. `changed`: when, as the client says, of a file in a Storage Bucket.
    """

    size: int
    sha256: str
    oid: str
    is_lfs: bool
    xet_hash: str | None = None
    changed: str | None = None


class Blobs:
    """Contents by sha256 in one folder; a blob is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._count = 0
        self._lock = threading.Lock()

    def path(self, sha256: str) -> Path:
        return self.folder / sha256

    def has(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def receive(self, pieces: Iterable[bytes]) -> tuple[Path, str, int]:
        """Write a body beside the blobs; return where, its sha256 and its size."""
        with self._lock:
            self._count += 1
            path = self.folder / f"incoming-{self._count}"
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("wb") as file:
                for piece in pieces:
                    digest.update(piece)
                    size += file.write(piece)
        except BaseException:
            path.unlink()
            raise
        return path, digest.hexdigest(), size

    def add(self, content: bytes | Path) -> tuple[str, int]:
        """Keep a content; return its sha256 and size."""
        if isinstance(content, Path):
            with content.open("rb") as file:
                path, sha256, size = self.receive(iter(lambda: file.read(CHUNK_BYTES), b""))
        else:
            path, sha256, size = self.receive([content])
        path.replace(self.path(sha256))
        return sha256, size

    def entry(self, sha256: str, *, is_lfs: bool, xet_hash: str | None = None, changed_ms: int | None = None) -> Entry:
        size = self.path(sha256).stat().st_size
        if is_lfs:
            data = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        else:
            data = self.path(sha256).read_bytes()
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        changed = None if changed_ms is None else iso(datetime.fromtimestamp(changed_ms / 1000, timezone.utc))
        return Entry(size=size, sha256=sha256, oid=oid, is_lfs=is_lfs, xet_hash=xet_hash, changed=changed)


def is_large(path: str, sample: bytes, size: int) -> bool:
    """Return whether a file goes into LFS: by its name, its size, or because its first bytes are no text."""
    name = path.rsplit("/", 1)[-1]
    patterns = [line.split()[0] for line in GIT_ATTRIBUTES.splitlines()]
    if size > REGULAR_BYTES or any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
        return size > 0
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # that the sample ends within a character is no fault
    except UnicodeDecodeError:
        return True
    return b"\0" in sample
