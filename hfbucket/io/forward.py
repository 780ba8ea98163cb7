"""A file far away, read forward: one stream, of which the last pieces are kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from itertools import islice
from typing import Final

_SHOWN_BYTES: Final = 256 << 10
"""A whole sample, most likely."""

_SKIP_BYTES: Final = 16 << 20
"""Over more than that a new stream is begun behind it."""


class Forward:
    """Reads that go forward take what a stream brings; one that goes back fetches its bytes alone.

    Args:
        open_at: gives the bytes from some place on.
        fetch: (start, stop) to the bytes of a range, fewer where the file ends too early.
        shown_bytes: how many from a place on `block_at` shows at least, if there are so many.
    """

    def __init__(
        self,
        open_at: Callable[[int], Generator[bytes, None, None]],
        fetch: Callable[[int, int], bytes],
        size_bytes: int,
        *,
        shown_bytes: int = _SHOWN_BYTES,
    ) -> None:
        self._open, self._fetch, self._size = open_at, fetch, size_bytes
        self._shown = shown_bytes
        self._stream = open_at(0)
        self._kept: deque[bytes] = deque()
        self._start = self._end = 0  # of what is kept

    def pread(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on: fewer only where the file ends."""
        stop = min(offset + size, self._size)
        if offset >= stop:
            return b""
        if offset < self._start:
            return self._fetch(offset, stop)
        self._reach(offset, stop)
        return self._between(offset, stop)

    def block_at(self, offset: int) -> tuple[int, bytes]:
        """Return where bytes begin that are here, and these: those from `offset` on; none of what was passed."""
        if not self._start <= offset < self._size:
            return offset, b""
        shown = min(offset + self._shown, self._size)
        self._reach(offset, shown)
        if not self._kept or shown <= self._start + len(self._kept[0]):
            return self._start, self._kept[0] if self._kept else b""
        return offset, self._between(offset, self._start + len(self._kept[0]) + self._shown)

    def close(self) -> None:
        """Let go of the stream."""
        self._stream.close()
        self._kept.clear()

    def _reach(self, offset: int, stop: int) -> None:
        """Keep the bytes from `offset` to `stop`, and of those before it no whole piece."""
        if offset > self._end + _SKIP_BYTES:
            self._stream.close()
            self._stream = self._open(offset)
            self._kept.clear()
            self._start = self._end = offset
        while True:
            while self._kept and self._start + len(self._kept[0]) <= offset:
                self._start += len(self._kept.popleft())
            piece = next(self._stream, b"") if self._end < stop else b""
            if not piece:
                return
            self._kept.append(piece)
            self._end += len(piece)

    def _between(self, offset: int, stop: int) -> bytes:
        """Return these bytes, as far as they are here."""
        first, at = self._kept[0] if self._kept else b"", offset - self._start
        if at + stop - offset <= len(first):
            return first[at : at + stop - offset]
        pieces = [first[at:]]
        left = stop - offset - len(pieces[0])
        for piece in islice(self._kept, 1, None):
            pieces.append(piece[:left])
            left -= len(pieces[-1])
        return b"".join(pieces)
