"""A file that is hashed and written behind the back of who fills it: the next images are read meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

from hfbucket.io.atomic import begin_flush

_TURN_BYTES: Final = 1 << 20
"""Handed over at once: few enough to be in a core's cache, enough that handing over costs nothing."""

_WAITING_BYTES: Final = 4 << 20
"""Handed over and not yet written: from here on who fills the file waits."""

_FLUSH_BYTES: Final = 16 << 20
"""Written before the system is told to begin with the disk."""

_PARTS_AT_ONCE: Final = 1024
"""Of one call of the system (IOV_MAX of Linux)."""


class HashedFile:
    """A new file, written from its first byte to its last. Leaving the block closes it, whatever is not yet written.

    Raises:
        OSError: the disk is full, or the file cannot be written; may come one call late.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._hash = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1)
        self._turn: list[bytes] = []
        self._turn_bytes = 0
        self._ahead: deque[tuple[Future[None], int]] = deque()
        self._ahead_bytes = 0
        self._written = self._flushed = 0
        self.is_ended = False
        self.size_bytes = 0

    def __enter__(self) -> HashedFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
        with suppress(OSError):
            self._file.close()

    def write(self, *parts: bytes) -> None:
        """Append bytes; they must not change."""
        size = sum(map(len, parts))
        self._turn += parts
        self._turn_bytes += size
        self.size_bytes += size
        if self._turn_bytes >= _TURN_BYTES:
            self._hand_over()

    def end(self) -> None:
        """Begin to see all of it on the disk, while the caller does something else; nothing may be written after."""
        self.is_ended = True
        self._hand_over()
        self._ahead.append((self._thread.submit(os.fsync, self._file.fileno()), 0))

    def finish(self) -> str:
        """See all of it on the disk, and close it; return its sha256 in hex."""
        if not self.is_ended:
            self.end()
        while self._ahead:
            self._take_back()
        self._file.close()
        return self._hash.hexdigest()

    def _hand_over(self) -> None:
        self._ahead.append((self._thread.submit(self._put, self._turn), self._turn_bytes))
        self._ahead_bytes += self._turn_bytes
        self._turn, self._turn_bytes = [], 0
        while self._ahead_bytes > _WAITING_BYTES:
            self._take_back()

    def _take_back(self) -> None:
        turn, size = self._ahead.popleft()
        turn.result()
        self._ahead_bytes -= size

    def _put(self, parts: Sequence[bytes]) -> None:
        """Hash and write what was handed over; a thread of its own does, one turn after the other."""
        for part in parts:
            self._hash.update(part)
        left = iter(parts)
        while some := list(islice(left, _PARTS_AT_ONCE)):
            self._written += _write_all(self._file.fileno(), some)
        if self._written - self._flushed >= _FLUSH_BYTES:
            begin_flush(self._file.fileno(), self._flushed, self._written - self._flushed)
            self._flushed = self._written


def _write_all(descriptor: int, parts: Sequence[bytes]) -> int:
    """Write all of the parts, and return their bytes; one call may take less than it is given."""
    total = sum(map(len, parts))
    written = os.writev(descriptor, parts) if hasattr(os, "writev") else 0
    if written < total:
        rest = memoryview(b"".join(parts))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    return total
