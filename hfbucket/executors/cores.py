"""How many cores are ours: those this process may run on, and no more than its container is given time of."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/proc/self/cgroup")
_MOUNT: Final = Path("/sys/fs/cgroup")


def usable_cores(groups: Path = _GROUPS, mount: Path = _MOUNT) -> int:
    """Return the number of processes that this process's share of the machine keeps busy, at least 1.

    Args:
        groups, mount: where Linux tells the control groups of a process, and their limits.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _folders(groups, mount) if (quota := _quota(folder)) is not None]
    return max(1, min([allowed, *map(math.ceil, quotas)]))


def _folders(groups: Path, mount: Path) -> Iterator[Path]:
    """Yield the folders of this process's groups that limit processor time, each with those above it.

    A container may see its own folder as the top one, and still be told its path on the host, where there is none here.
    """
    lines = groups.read_text().splitlines() if groups.exists() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        top = mount / controllers
        if controllers and "cpu" not in controllers.split(","):
            continue
        own = top / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _quota(folder: Path) -> float | None:
    """Return how many cores' time a group has, or None where that is not limited: cgroup v2, or v1."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such group or limit, or `max`
        return None
