"""One file read at any place, and ranges of it as files of their own."""

from __future__ import annotations

import io
import os
import threading
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import accumulate
from types import TracebackType
from typing import BinaryIO, cast

from hfbucket.io.urls import filesystem, is_local, local_path

_BLOCK_BYTES = 4 << 20


def open_seekable(url: str) -> BinaryIO:
    """Return the file opened for reading with seek; remote ones read ahead in blocks."""
    if is_local(url):
        return open(local_path(url), "rb")
    fs, path = filesystem(url)
    return cast("BinaryIO", fs.open(path, "rb", block_size=_BLOCK_BYTES))


class RandomFile:
    """A file read at any place: local by pread, remote by ranged reads. Safe to share between threads.

    Args:
        sequential: the reads go forward through the file, so a remote one is read ahead in blocks.
    """

    def __init__(self, url: str, *, sequential: bool = False) -> None:
        self.url = url
        self._descriptor = -1
        self._stream: BinaryIO | None = None
        self._lock = threading.Lock()
        if is_local(url):
            self._descriptor = os.open(local_path(url), os.O_RDONLY | getattr(os, "O_BINARY", 0))
            self.size_bytes = os.fstat(self._descriptor).st_size
        else:
            self._fs, self._path = filesystem(url)
            self.size_bytes = int(self._fs.info(self._path)["size"])
            if sequential:
                self._stream = open_seekable(url)

    @property
    def descriptor(self) -> int | None:
        """Return that of a local file that is open."""
        return self._descriptor if self._descriptor >= 0 else None

    def pread(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on: fewer only where the file ends."""
        size = min(size, self.size_bytes - offset)
        if size <= 0:
            return b""
        if self._stream is not None:
            with self._lock:
                self._stream.seek(offset)
                return self._stream.read(size)
        if self._descriptor < 0:
            return cast("bytes", self._fs.cat_file(self._path, start=offset, end=offset + size))
        data = os.pread(self._descriptor, size, offset)
        while len(data) < size:  # one read of Linux ends at 2 GiB, and any may end early
            more = os.pread(self._descriptor, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._stream is not None:
            self._stream.close()

    def __enter__(self) -> RandomFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class JoinedFile:
    """Several files read as one, at any place: what `cat` would give.

    Args:
        sequential: as RandomFile takes it.
    """

    def __init__(self, urls: Sequence[str], *, sequential: bool = False) -> None:
        with ExitStack() as stack:
            self._files = [stack.enter_context(RandomFile(url, sequential=sequential)) for url in urls]
            self._opened = stack.pop_all()
        self._ends = list(accumulate(file.size_bytes for file in self._files))
        self.size_bytes = self._ends[-1] if self._ends else 0

    def pread(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on: fewer only where the last file ends."""
        pieces = []
        for number in range(bisect_right(self._ends, offset), len(self._files)):
            file, start = self._files[number], self._ends[number] - self._files[number].size_bytes
            piece = file.pread(offset - start, size)
            pieces.append(piece)
            offset, size = offset + len(piece), size - len(piece)
            if size <= 0 or offset < self._ends[number]:
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def __enter__(self) -> JoinedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()


class Window(io.RawIOBase):
    """A seekable file over a range of a RandomFile; every read goes to it."""

    def __init__(self, file: RandomFile | JoinedFile, offset: int, size_bytes: int) -> None:
        self._file, self._offset, self._size = file, offset, size_bytes
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next read, in bytes from the window's start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Return the new place."""
        start = (0, self._position, self._size)[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, all that is left for -1."""
        left = max(0, self._size - self._position)
        size = left if size is None or size < 0 else min(size, left)
        data = self._file.pread(self._offset + self._position, size)
        self._position += len(data)
        return data

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Return how many bytes were put into `buffer`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
