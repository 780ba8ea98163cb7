"""A file that is hashed behind the back of who fills it: the next images are read and written meanwhile."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from hfbucket.io.flushed_file import FlushedFile

_TURN_BYTES: Final = 1 << 20
"""Written and handed over at once: few enough to be in a core's cache, enough that handing over costs nothing."""

_WAITING_BYTES: Final = 4 << 20
"""Handed over and not yet hashed: from here on who fills the file waits."""


class HashedFile:
    """A new file, written from its first byte to its last. Leaving the block closes it, whatever is not yet written.

    Args:
        named: as in `FlushedFile`.

    Raises:
        OSError: the disk is full, or the file cannot be written; may come some calls late.
    """

    def __init__(self, path: Path, *, named: Path | None = None) -> None:
        self._file = FlushedFile(path, named=named)
        self._hash = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1)
        self._turn: list[bytes] = []
        self._turn_bytes = 0
        self._ahead: deque[tuple[Future[None], int]] = deque()
        self._ahead_bytes = 0
        self.is_ended = False
        self.size_bytes = 0

    def __enter__(self) -> HashedFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._file.__exit__(*exception)

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
        self._ahead.append((self._thread.submit(self._file.flush), 0))

    def finish(self) -> str:
        """See all of it on the disk, and close it; return its sha256 in hex."""
        if not self.is_ended:
            self.end()
        while self._ahead:
            self._take_back()
        self._file.close()
        return self._hash.hexdigest()

    def _hand_over(self) -> None:
        """Write what waits, while the thread hashes it."""
        self._ahead.append((self._thread.submit(self._digest, self._turn), self._turn_bytes))
        self._ahead_bytes += self._turn_bytes
        self._file.write(*self._turn)
        self._turn, self._turn_bytes = [], 0
        while self._ahead_bytes > _WAITING_BYTES:
            self._take_back()

    def _digest(self, parts: Sequence[bytes]) -> None:
        """Hash parts, small ones in one piece: the interpreter's lock changes hands for each."""
        whole = [b"".join(parts)] if sum(map(len, parts)) < 2 * _TURN_BYTES else parts
        for part in whole:
            self._hash.update(part)

    def _take_back(self) -> None:
        hashed, size = self._ahead.popleft()
        hashed.result()
        self._ahead_bytes -= size
