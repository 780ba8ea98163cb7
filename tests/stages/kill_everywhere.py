"""Kills builds with SIGKILL at every change they make to the disk, one after another, and finishes them.

Run as a script: `kill_everywhere.py SOURCE FOLDER IMAGE_MODE STEP OFFSET`. A small process without threads forks one
child per build, so each kill is a real one and costs no start of an interpreter. Prints how many places there were to
kill at; fails where a continued build differs from an undisturbed one.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hfbucket.config import Config
from hfbucket.stages.write.build import build
from tests.stages.pictures import tree

CHANGES = ("replace", "unlink", "mkdir", "rmdir", "fsync")
"""Functions of os that a kill comes just before: names appear and vanish, data reach the disk."""

CONFIG = Config(base=(128, 64), image_mode=sys.argv[3], max_shard_samples=3, workers=0)  # type: ignore[arg-type]


def build_in_child(source: Path, export: Path, kill_at: int, counter: Path) -> int:
    """Return how a child ended that builds, killed at its `kill_at`-th change; the number of changes goes to a file."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            changes = die_at(kill_at)
            build([str(source)], export, CONFIG)
            counter.write_text(str(len(changes)))
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def die_at(number: int) -> list[None]:
    """Kill this process at its change of that number; return a list that grows with every change."""
    changes: list[None] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **kwargs: Any) -> Any:
            changes.append(None)
            if len(changes) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return None if function is os.fsync else function(*args, **kwargs)

        return change

    for name in CHANGES:
        setattr(os, name, watched(getattr(os, name)))
    return changes


def main() -> None:
    """Kill and continue, everywhere."""
    source, folder, step, offset = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[4]), int(sys.argv[5])
    counter = folder / "count"
    for name in ("first", "whole"):  # the first also scans; what is killed finds the index in the cache
        assert build_in_child(source, folder / name, 0, counter) == 0
    whole, places = tree(folder / "whole"), int(counter.read_text())
    for place in range(1 + offset, places + 1, step):
        export = folder / "killed"
        assert build_in_child(source, export, place, counter) == signal.SIGKILL, place
        if (export / "manifest.json").exists():
            assert tree(export) == whole, f"a manifest over an unfinished export, change {place}"
        assert build_in_child(source, export, 0, counter) == 0, place
        assert tree(export) == whole, f"other bytes after a kill at change {place}"
        shutil.rmtree(export)
        shutil.rmtree(folder / "killed.work")
    sys.stdout.write(f"{places}\n")


if __name__ == "__main__":
    main()
