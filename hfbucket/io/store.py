"""Where bytes lie: local paths and any fsspec URL behind one set of functions. The only importer of fsspec.

A *url* is a local path or a URL with a protocol. Paths below a root are raw bytes with `/`, because the name of a
local file may be no UTF-8; `join` turns root and path into a url again.
"""

from __future__ import annotations

import glob as local_glob
import io
import os
import re
import stat
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Literal, cast

import fsspec

from hfbucket.errors import SourceError
from hfbucket.io.atomic import write_bytes as write_atomic

__all__ = [
    "FileInfo", "RandomFile", "Window", "absolute", "glob", "info", "is_local", "join", "kind_of", "local_path",
    "open_seekable", "read_bytes", "split_glob", "split_name", "walk", "write_atomic",
]  # fmt: skip

_LOCAL = re.compile(r"(?:file|local)://")
_WILDCARD = re.compile(r"[*?\[]")
_VERSION_KEYS = (
    "etag", "ETag", "checksum", "sha256", "md5", "md5Hash", "crc32c", "lfs", "blob_id", "mtime", "LastModified",
    "last_modified", "updated", "created",
)  # fmt: skip
_SCAN_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class FileInfo:
    """One file of a listing."""

    #: Below the listed root, raw bytes with `/`.
    path: bytes
    size_bytes: int
    #: 0 where the store keeps none.
    mtime_ns: int
    #: Changes whenever the bytes may have.
    version: str
    #: `missing`: a link to nothing; `other`: pipe, socket, device.
    kind: Literal["file", "missing", "other"] = "file"


def is_local(url: str) -> bool:
    """Return whether the url is a path of this machine."""
    return "://" not in url or _LOCAL.match(url) is not None


def local_path(url: str) -> str:
    """Return the absolute path of a local url, without protocol."""
    return os.path.abspath(os.path.expanduser(_LOCAL.sub("", url)))


def absolute(url: str) -> str:
    """Return a url that means the same in every process."""
    return local_path(url) if is_local(url) else _trimmed(url)


def join(root: str, path: bytes) -> str:
    """Return the url of a path below a root."""
    below = os.fsdecode(path) if is_local(root) else path.decode("utf-8", "surrogateescape")
    return root + below if root.endswith("://") else root.rstrip("/") + "/" + below


def split_name(url: str) -> tuple[str, bytes]:
    """Return (root, path below it) of a file: the folder it lies in, and its name."""
    protocol, mark, path = url.rpartition("://")
    folder, slash, name = path.rpartition("/")
    if not mark:
        return folder or slash or ".", os.fsencode(name)
    return protocol + mark + folder, name.encode("utf-8")


def _trimmed(url: str) -> str:
    return url if url.endswith("://") else url.rstrip("/")


def split_glob(url: str) -> tuple[str, str | None]:
    """Return (root, pattern below it), or (url, None) where there is no wildcard."""
    wildcard = _WILDCARD.search(url)
    if wildcard is None:
        return url, None
    slash = url.rfind("/", 0, wildcard.start())
    if slash < 0:
        return ".", url
    root = url[: slash + 1]
    return root if root in ("/", _protocol(url)) else root[:-1], url[slash + 1 :]


def _protocol(url: str) -> str:
    """Return `s3://` of a URL, an empty text of a path."""
    head, mark, _ = url.partition("://")
    return head + mark if mark else ""


def kind_of(url: str) -> Literal["file", "folder", "nothing"]:
    """Return what stands at a url."""
    if is_local(url):
        path = local_path(url)
        return "folder" if os.path.isdir(path) else "file" if os.path.exists(path) else "nothing"
    fs, path = _filesystem(url)
    return "folder" if fs.isdir(path) else "file" if fs.exists(path) else "nothing"


def info(url: str, path: bytes = b"") -> FileInfo:
    """Return the facts of one file, whose place below its root is `path`.

    Raises:
        OSError: there is no such file.
    """
    if is_local(url):
        return _local_info(path, os.stat(local_path(url)))
    fs, remote = _filesystem(url)
    return _remote_info(path, fs.info(remote))


def walk(root: str) -> list[FileInfo]:
    """Return every file below a folder, sorted by the bytes of its path; hidden names are skipped.

    Links are followed, except those that lead back into a folder they stand in.
    """
    found = list(_walk_local(root) if is_local(root) else _walk_remote(root))
    return sorted(found, key=lambda file: file.path)


def glob(root: str, pattern: str) -> list[bytes]:
    """Return what matches a pattern below a root, as sorted paths below it; hidden names only where asked for."""
    if is_local(root):
        found = local_glob.glob(pattern, root_dir=local_path(root), recursive=True)
        return sorted(os.fsencode(name).rstrip(b"/") for name in found)
    fs, path = _filesystem(root)
    start = len(path.rstrip("/")) + 1
    names = (name[start:] for name in fs.glob(path.rstrip("/") + "/" + pattern))
    hidden_wanted = _hidden(pattern)
    return sorted(name.encode("utf-8") for name in names if hidden_wanted or not _hidden(name))


def read_bytes(url: str) -> bytes:
    """Return the whole content of a file."""
    if is_local(url):
        with open(local_path(url), "rb") as file:
            return file.read()
    fs, path = _filesystem(url)
    return cast("bytes", fs.cat_file(path))


def open_seekable(url: str) -> BinaryIO:
    """Return the file opened for reading with seek; remote ones read ahead in blocks."""
    if is_local(url):
        return open(local_path(url), "rb")
    fs, path = _filesystem(url)
    return cast("BinaryIO", fs.open(path, "rb", block_size=_SCAN_BLOCK_BYTES))


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
            self._fs, self._path = _filesystem(url)
            self.size_bytes = int(self._fs.info(self._path)["size"])
            if sequential:
                self._stream = open_seekable(url)

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


class Window(io.RawIOBase):
    """A seekable file over a range of a RandomFile; every read goes to it."""

    def __init__(self, file: RandomFile, offset: int, size_bytes: int) -> None:
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


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise SourceError(f"{url}: cannot be opened: {error}") from error
    return fs, str(path)


def _local_info(path: bytes, status: os.stat_result) -> FileInfo:
    kind: Literal["file", "other"] = "file" if stat.S_ISREG(status.st_mode) else "other"
    version = f"{status.st_size}-{status.st_mtime_ns}"
    return FileInfo(path=path, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns, version=version, kind=kind)


def _remote_info(path: bytes, facts: Mapping[str, Any]) -> FileInfo:
    size_bytes = int(facts.get("size") or 0)
    known = [f"{key}={facts[key]}" for key in _VERSION_KEYS if facts.get(key) is not None]
    return FileInfo(path=path, size_bytes=size_bytes, mtime_ns=0, version=";".join([str(size_bytes), *known]))


def _walk_local(root: str) -> Iterator[FileInfo]:
    base = os.fsencode(local_path(root))
    status = os.stat(base)
    # Each open folder with the identities of the folders around it: a link back to one of them is not entered.
    stack: list[tuple[bytes, frozenset[tuple[int, int]]]] = [(b"", frozenset({(status.st_dev, status.st_ino)}))]
    while stack:
        below, around = stack.pop()
        with os.scandir(os.path.join(base, below) if below else base) as entries:
            for entry in entries:
                if entry.name.startswith(b"."):
                    continue
                path = below + b"/" + entry.name if below else entry.name
                try:
                    status = entry.stat()
                except OSError:  # a link to nothing, or around in circles
                    yield FileInfo(path=path, size_bytes=0, mtime_ns=0, version="missing", kind="missing")
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    yield _local_info(path, status)
                elif (identity := (status.st_dev, status.st_ino)) not in around:
                    stack.append((path, around | {identity}))


def _walk_remote(root: str) -> Iterator[FileInfo]:
    fs, path = _filesystem(root)
    start = len(path.rstrip("/")) + 1
    for name, facts in fs.find(path, detail=True).items():
        below = name[start:]
        if below and not _hidden(below):
            yield _remote_info(below.encode("utf-8"), facts)
