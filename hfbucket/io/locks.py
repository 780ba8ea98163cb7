"""One process at a time at one folder, by a lock that ends with its holder however that ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path, *, wait_s: float) -> Iterator[bool]:
    """Hold the lock of `path` while the block runs, with the child processes started in it; yield whether it is held.

    Children inherit the lock: it ends when the last of them is gone, so what a killed process leaves running for a
    moment cannot meet its successor.

    Args:
        wait_s: how long to wait for another holder to end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        held = _try_until(descriptor, time.monotonic() + wait_s)
        os.set_inheritable(descriptor, held)
        yield held
    finally:
        os.close(descriptor)


def _try_until(descriptor: int, deadline_s: float) -> bool:
    while True:
        try:
            _try_lock(descriptor)
            return True
        except OSError:
            if time.monotonic() > deadline_s:
                return False
        time.sleep(0.05)
