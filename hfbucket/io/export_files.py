"""The files of a finished export, on a disk or any fsspec store: what there is, and their bytes."""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from hfbucket.core.keys import part_file
from hfbucket.io import store
from hfbucket.io.hashes import sha256_of

__all__ = ["ExportFile", "file_sha256", "file_url", "ledger_parts", "list_files", "open_file", "read_range", "viewed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportFile:
    """One file below an export; bytes of its name that are no UTF-8 stand as \\xNN."""

    path: str
    size_bytes: int
    #: A link, or something else that is no file of its own.
    link: bool = False
    #: Of its bytes, where the listing tells without reading them: large files of a repository on the Hub.
    sha256: str | None = None


def list_files(export: str, token: str | bool | None = None) -> dict[str, ExportFile]:
    """Return every file below an export by its path there; hidden names are skipped, linked folders not entered.

    The Hub's cache holds snapshots as links to its own blobs: these count as files.
    """
    if not store.is_local(export):
        found = {file.path.decode("utf-8"): file for file in store.walk(export, token=token)}
        return {
            name: ExportFile(path=name, size_bytes=file.size_bytes, sha256=file.sha256) for name, file in found.items()
        }
    root = Path(store.local_path(export))
    files = (_entry(root, Path(folder) / name) for folder, names in _folders(root) for name in names)
    return {file.path: file for file in sorted(files, key=lambda file: file.path)}


def _folders(root: Path) -> Iterator[tuple[str, list[str]]]:
    for folder, below, names in os.walk(root, onerror=_refuse if root.exists() else None):
        linked = [name for name in below if os.path.islink(os.path.join(folder, name))]
        below[:] = [name for name in below if not name.startswith(".")]
        yield folder, [name for name in (*names, *linked) if not name.startswith(".")]


def _refuse(error: OSError) -> NoReturn:
    """Let no folder that cannot be listed pass for an empty one."""
    raise error


def ledger_parts(export: Path) -> tuple[Path, ...]:
    """Return the parts of the ledger of an export here, in order; nothing where it has none, as it may not be pushed.

    They are looked for by name: no manifest says how many there are, so a listing that lacks one would pass.

    Raises:
        OSError: the disk does not say whether a part is there.
    """
    parts = (export / part_file("ledger", number) for number in count())
    return tuple(takewhile(_is_there, parts))


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _entry(root: Path, path: Path) -> ExportFile:
    name = os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")
    link = path.is_symlink() and not _is_blob(root, path)
    if not path.is_file():
        return ExportFile(path=name, size_bytes=0, link=True)
    return ExportFile(path=name, size_bytes=path.stat().st_size, link=link)


def _is_blob(root: Path, path: Path) -> bool:
    """Return whether a link leads to a blob of the Hub cache's folder that holds this snapshot."""
    absolute = root.resolve()
    if "snapshots" not in absolute.parts:
        return False
    repo = Path(*absolute.parts[: absolute.parts.index("snapshots")])
    return path.resolve().parent == repo / "blobs"


def file_url(export: str, file: str) -> str:
    """Return the url of a file below an export."""
    return store.join(store.absolute(export), file.encode("utf-8"))


def open_file(export: str, file: str) -> BinaryIO:
    """Return a file below an export, opened for reading with seek.

    Raises:
        OSError: there is none.
    """
    return store.open_seekable(file_url(export, file))


def read_range(export: str, file: ExportFile, start: int, size_bytes: int) -> bytes:
    """Return some bytes of a file below an export; elsewhere they come in one ranged read.

    Raises:
        OSError: there is no such file, or its store cannot be reached.
    """
    url = file_url(export, file.path)
    if url.startswith("hf://"):
        from hfbucket.io.hub import read as hub_read

        at_hub = hub_read.hub_file(url)
        if at_hub is not None:
            with hub_read.open_hub_file(at_hub, size_bytes=file.size_bytes, use_cache=False) as opened:
                opened.seek(start)
                return opened.read(size_bytes)
    with store.RandomFile(url) as random:
        return random.pread(start, size_bytes)


def file_sha256(export: str, file: str) -> str:
    """Return the hash of a file below an export, which is read through once.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    if store.is_local(export):
        with open_file(export, file) as opened:
            return sha256_of(opened)
    hasher = hashlib.sha256()
    for piece in store.stream(file_url(export, file)):
        hasher.update(piece)
    return hasher.hexdigest()


@contextmanager
def _whole(export: str, file: str) -> Iterator[BinaryIO]:
    """Give a file on this machine with all bytes of a file below an export."""
    if store.is_local(export):
        with open_file(export, file) as opened:
            yield opened
        return
    with tempfile.TemporaryFile(prefix="hfbucket-") as here:
        for piece in store.stream(file_url(export, file)):
            here.write(piece)
        here.flush()
        yield cast("BinaryIO", here)


@contextmanager
def viewed(export: str, file: str) -> Iterator[memoryview]:
    """Give the bytes of a whole file, mapped; remote ones stream into a temporary file first, so memory stays free.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    with _whole(export, file) as opened:
        if os.fstat(opened.fileno()).st_size == 0:
            yield memoryview(b"")
            return
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            yield view
