"""The part that all files of known size share which are read at any place by a function of ours."""

from __future__ import annotations

import io
from typing import Any


class Seekable(io.RawIOBase):
    """A readable, seekable file of `size_bytes`; what derives from it says in `pread` where its bytes are from."""

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self._position = 0

    def pread(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on, which lie in the file; some at least."""
        raise NotImplementedError

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next read, in bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Return the new place."""
        self._position = max(0, (0, self._position, self._size)[whence] + offset)
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes, all that is left for -1."""
        left = max(0, self._size - self._position)
        size = left if size is None or size < 0 else min(size, left)
        data = self.pread(self._position, size) if size else b""
        self._position += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 (any writable buffer)
        """Return how many bytes were put into `buffer`; 0 at the end."""
        with memoryview(buffer) as view:
            data = self.read(view.nbytes)
            view.cast("B")[: len(data)] = data
        return len(data)
