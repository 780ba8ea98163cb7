"""Bytes from one file of this machine to another without a way through this process, where the system can."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hfbucket.io.atomic import replacing

_AT_ONCE: Final = 1 << 30
"""Bytes asked for in one call; the kernel moves at most 2 GiB."""

_BUFFER_BYTES: Final = 1 << 20

_NOT_HERE: Final = frozenset(
    getattr(errno, name, -1)
    for name in (
        "EXDEV", "ENOSYS", "EINVAL", "EOPNOTSUPP", "ENOTSUP", "ENOTTY", "EPERM", "ENOTSOCK", "EBADF", "EIO",
    )
)  # fmt: skip
"""How systems, file systems and sandboxes say that this way is closed. The last way tells a real fault again."""

_Way = Callable[[int, int, int, int], int]


def copy_range(source: int, target: int, start: int, size_bytes: int) -> None:
    """Append some bytes of an open file to another at its position: `copy_file_range`, else `sendfile`, else by hand.

    Args:
        source, target: file descriptors; what is written to the target must not be held back in a buffer.

    Raises:
        OSError: the disk is full, a file cannot be read, or the source ends before.
    """
    end = start + size_bytes
    for way in _WAYS:
        start += _moved(way, source, target, start, end - start)
        if start == end:
            return
    raise OSError(errno.EIO, f"the file ends {end - start} bytes before it should")


def link_or_copy(source: Path, target: Path) -> None:
    """Give a whole file a second name; where the system cannot, copy it, sharing its blocks if the file system can."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (*_NOT_HERE, errno.EMLINK, errno.EACCES):
            raise
        with replacing(target) as temporary, source.open("rb") as old, temporary.open("wb", buffering=0) as new:
            copy_range(old.fileno(), new.fileno(), 0, os.fstat(old.fileno()).st_size)


def _moved(way: _Way, source: int, target: int, start: int, size_bytes: int) -> int:
    """Return how many bytes one way has moved before it closed or found the end."""
    done = 0
    while done < size_bytes:
        try:
            moved = way(source, target, start + done, min(size_bytes - done, _AT_ONCE))
        except OSError as error:
            if way is _by_hand or error.errno not in _NOT_HERE:
                raise
            break
        if moved == 0:  # the end, or a file system that says so of all that it cannot move
            break
        done += moved
    return done


def _in_kernel(source: int, target: int, start: int, size_bytes: int) -> int:
    return os.copy_file_range(source, target, size_bytes, start)


def _sendfile(source: int, target: int, start: int, size_bytes: int) -> int:
    return os.sendfile(target, source, start, size_bytes)


def _by_hand(source: int, target: int, start: int, size_bytes: int) -> int:
    data = os.pread(source, min(size_bytes, _BUFFER_BYTES), start)
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
    return len(data)


_WAYS: Final[tuple[_Way, ...]] = (
    *([_in_kernel] if hasattr(os, "copy_file_range") else []),
    *([_sendfile] if hasattr(os, "sendfile") else []),
    _by_hand,
)
