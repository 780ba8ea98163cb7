"""A new file that the disk is at work on while the rest of it is written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

from hfbucket.io.atomic import begin_flush, naming

_FLUSH_BYTES: Final = 4 << 20
"""Written before the system is told to begin with the disk: little is left for the end of the file to wait for."""

_PARTS_AT_ONCE: Final = 1024
"""Of one call of the system (IOV_MAX of Linux)."""


class FlushedFile:
    """A file written from its first byte to its last, without a buffer. Leaving the block closes it.

    Args:
        named: what errors name it, if not `path`: what it is to be called when it is whole.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """

    def __init__(self, path: Path, *, named: Path | None = None) -> None:
        self._named = named or path
        self._file = path.open("wb", buffering=0)
        self._begun = 0
        self.size_bytes = 0

    def __enter__(self) -> FlushedFile:
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):
            self._file.close()

    def write(self, *parts: bytes) -> None:
        """Append bytes, all of them: one call of the system may take less than it is given."""
        left = iter(parts)
        with naming(self._named):
            while some := list(islice(left, _PARTS_AT_ONCE)):
                self._write(some)
        if self.size_bytes - self._begun >= _FLUSH_BYTES:
            begin_flush(self._file.fileno(), self._begun, self.size_bytes - self._begun)
            self._begun = self.size_bytes

    def _write(self, parts: Sequence[bytes]) -> None:
        total = sum(map(len, parts))
        written = os.writev(self._file.fileno(), parts) if hasattr(os, "writev") else 0
        if written < total:
            rest = memoryview(b"".join(parts))[written:]
            while rest:
                rest = rest[os.write(self._file.fileno(), rest) :]
        self.size_bytes += total

    def flush(self) -> None:
        """See all of it on the disk."""
        with naming(self._named):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; unlike leaving the block it tells what the system does not like about that."""
        with naming(self._named):
            self._file.close()
