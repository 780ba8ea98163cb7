"""One file read at any place, and ranges of it as files of their own."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import accumulate
from types import TracebackType
from typing import BinaryIO, cast

from hfbucket.io.ahead import Blocks
from hfbucket.io.forward import Forward
from hfbucket.io.ranges import RemoteFile
from hfbucket.io.seekable import Seekable
from hfbucket.io.stream import stream
from hfbucket.io.urls import is_local, local_path


def open_seekable(url: str, *, token: str | bool | None = None) -> BinaryIO:
    """Return the file opened for reading with seek; remote ones come in blocks, ahead where they are read through."""
    if is_local(url):
        return open(local_path(url), "rb")
    return cast("BinaryIO", _InBlocks(RemoteFile(url, token=token)))


class RandomFile:
    """A file read at any place: local by pread, remote by ranged reads. Safe to share between threads.

    Args:
        sequential: the reads go forward through the file, so a remote one comes as a stream.
        size_bytes: of a remote one, where known.
        head_bytes: of a remote one, which is small, so many first bytes are fetched now.
        version: of a remote one, as `RemoteFile` takes it.
    """

    def __init__(
        self,
        url: str,
        *,
        sequential: bool = False,
        size_bytes: int | None = None,
        head_bytes: int = 0,
        version: str | None = None,
    ) -> None:
        self.url = url
        self._head = b""
        self._descriptor = -1
        self._forward: Forward | None = None
        if is_local(url):
            self._descriptor = os.open(local_path(url), os.O_RDONLY | getattr(os, "O_BINARY", 0))
            self.size_bytes = os.fstat(self._descriptor).st_size
        else:
            self._far = RemoteFile(url, size_bytes=size_bytes, version=version, is_small=head_bytes > 0)
            self.size_bytes = self._far.size_bytes
            if sequential:
                self._forward = Forward(
                    partial(stream, url, size_bytes=self.size_bytes), self._far.read, self.size_bytes
                )
            elif head_bytes and self.size_bytes:
                self._head = self._far.read(0, min(head_bytes, self.size_bytes))

    @property
    def descriptor(self) -> int | None:
        """Return that of a local file that is open."""
        return self._descriptor if self._descriptor >= 0 else None

    @property
    def is_here(self) -> bool:
        """Whether it lies on this machine."""
        return self.descriptor is not None

    def block_at(self, offset: int) -> tuple[int, bytes]:
        """Return where bytes begin that are here, and these: those from `offset` on; none where it is not streamed."""
        return (offset, b"") if self._forward is None else self._forward.block_at(offset)

    def pread(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on: fewer only where the file ends."""
        size = min(size, self.size_bytes - offset)
        if size <= 0:
            return b""
        if self._forward is not None:
            return self._forward.pread(offset, size)
        if self._descriptor < 0:
            is_here = offset + size <= len(self._head)
            return self._head[offset : offset + size] if is_here else self._far.read(offset, offset + size)
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
        if self._forward is not None:
            self._forward.close()

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
            self._files = [stack.enter_context(RandomFile(url)) for url in urls]
            self._opened = stack.pop_all()
        self._ends = list(accumulate(file.size_bytes for file in self._files))
        self.size_bytes = self._ends[-1] if self._ends else 0
        self._forward: Forward | None = None
        if sequential and any(file.descriptor is None for file in self._files):
            self._forward = Forward(self._stream, lambda start, stop: self._pread(start, stop - start), self.size_bytes)
            self._opened.callback(self._forward.close)

    def pread(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on: fewer only where the last file ends."""
        return self._pread(offset, size) if self._forward is None else self._forward.pread(offset, size)

    def _stream(self, start: int) -> Generator[bytes, None, None]:
        for file, end in zip(self._files, self._ends, strict=True):
            if start < end:
                yield from stream(file.url, max(0, start - end + file.size_bytes), size_bytes=file.size_bytes)

    def _pread(self, offset: int, size: int) -> bytes:
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


class Window(Seekable):
    """A seekable file over a range of a RandomFile; every read goes to it."""

    def __init__(self, file: RandomFile | JoinedFile, offset: int, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._file, self._offset = file, offset

    def pread(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from a place of the window on."""
        return self._file.pread(self._offset + offset, size)


class _InBlocks(Seekable):
    """A remote file; what was read last stays here."""

    def __init__(self, remote: RemoteFile) -> None:
        super().__init__(remote.size_bytes)
        self._blocks = Blocks(remote.read, remote.size_bytes)

    def pread(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from a place on."""
        return self._blocks.pread(offset, size)

    def close(self) -> None:
        """Let go of what is here; closing twice is fine."""
        self._blocks.close()
        super().close()
