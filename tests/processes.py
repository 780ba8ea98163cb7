"""What runs below a process, as /proc tells."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path


def descendants(process_id: int) -> set[int]:
    """Return the processes that this one started, and those that they started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found, last = {process_id}, set[int]()
    while found != last:
        last, found = found, found | {child for child, parent in parents.items() if parent in found}
    return found - {process_id}


def words_of(process_id: int) -> str:
    """Return the command line of a process, nothing where it is gone."""
    try:
        return Path(f"/proc/{process_id}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def gone(process_id: int) -> bool:
    """Return whether a process has ended, be it only that its parent has not looked yet."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(process_ids: Iterable[int], seconds: float = 30) -> None:
    """Wait for processes to end.

    Raises:
        AssertionError: some have not, in time.
    """
    left, deadline = set(process_ids), time.monotonic() + seconds
    while left := {each for each in left if not gone(each)}:
        assert time.monotonic() < deadline, f"still running: {[words_of(each) for each in left]}"
        time.sleep(0.02)
