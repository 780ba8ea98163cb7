"""A whole file of this machine, read if it is still the one that was listed."""

from __future__ import annotations

import os


def read_unchanged(path: str, size_bytes: int, mtime_ns: int) -> bytes | None:
    """Return the content of a file; None where it has another size, or another time of its last change.

    Raises:
        OSError: it is gone, or cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if (status.st_size, status.st_mtime_ns) != (size_bytes, mtime_ns):
            return None
        data = os.read(descriptor, size_bytes)
        while len(data) < size_bytes:  # one read of Linux ends at 2 GiB, and any may end early
            more = os.read(descriptor, size_bytes - len(data))
            if not more:
                return None
            data += more
        return data
    finally:
        os.close(descriptor)
