"""Files that are complete or absent: temporary name, flush to disk, rename, flush the folder."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hfbucket.io.patterns import matching

TEMPORARY: Final = ".tmp"
"""How every name ends that is not yet a file of its own; leftovers of a kill may be deleted."""


_FLUSHED_AT_ONCE: Final = 8
NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""Errors that only writing can give."""

TEMPORARY_NAME: Final = re.compile(r"\..+\.\d+" + re.escape(TEMPORARY), re.DOTALL)


def temporary_name(path: Path) -> Path:
    """Return the name `path` is written under first: beside it, hidden, and another one in every process."""
    return path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk where the system knows how (Windows cannot open folders)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def begin_flush(descriptor: int, start: int = 0, size: int = 0) -> None:
    """Let the system begin to write an open file to disk, where it can be told to; a flush later waits less.

    Args:
        start: of the bytes that were written last; others that are on the disk already may leave the memory.
        size: of them; 0 for all from `start` on.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # Linux writes out what it is told will not be needed
            os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)


def flush_files(paths: Sequence[Path]) -> None:
    """Flush files to disk, many at a time."""
    with ThreadPoolExecutor(_FLUSHED_AT_ONCE) as threads:
        for _ in threads.map(_flush, paths):
            pass


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary name to write to; when the block ends well, the file is flushed and takes the place of `path`.

    Args:
        flush: see it on the disk before; not needed for what is of no use after a crash of the machine.

    Raises:
        OSError: the disk is full, or the folder may not be written; `path` is as it was before.
    """
    temporary = temporary_name(path)
    try:
        with naming(path, NO_ROOM):
            yield temporary
        if flush:
            with naming(path):
                _flush(temporary)
        temporary.replace(path)
        if flush:
            sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def naming(path: str | os.PathLike[str], numbers: Container[int] | None = None) -> Iterator[None]:
    """Let errors that name no file, as those of writing do, name this one: all, or those that reading cannot give."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None and (numbers is None or error.errno in numbers):
            error.filename = os.fspath(path)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file at once: afterwards it holds `data`, or what it held before."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def remove_temporaries(*folders: Path) -> None:
    """Delete what killed processes left half-written in these folders; not below them, where others may write."""
    for folder in folders:
        for path in matching(folder, f".*{TEMPORARY}"):
            if TEMPORARY_NAME.fullmatch(path.name):
                path.unlink(missing_ok=True)
