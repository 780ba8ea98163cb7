"""Kills builds with SIGKILL at every change they make to the disk, one after another, and finishes them.

Run as a script: `kill_everywhere.py SOURCE FOLDER IMAGE_MODE STEP OFFSET [parts]`, the last word for shards that are
written in parts. Prints how many places there were to kill at; fails where a continued build differs from an
undisturbed one.
"""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

from hfbucket.config import Config
from hfbucket.executors.engines import Workers
from hfbucket.stages.write import parts
from hfbucket.stages.write.build import build
from tests.stages.killing import in_child
from tests.stages.pictures import tree

CONFIG = Config(base=(128, 64), image_mode=sys.argv[3], max_shard_samples=3, workers=0)  # type: ignore[arg-type]


def build_in_child(source: Path, export: Path, kill_at: int, counter: Path) -> int:
    """Return how a child ended that builds, killed at its `kill_at`-th change; the number of changes goes to a file."""
    return in_child(lambda: build([str(source)], export, CONFIG), kill_at, counter)


def main() -> None:
    """Kill and continue, everywhere."""
    source, folder, step, offset = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[4]), int(sys.argv[5])
    if "parts" in sys.argv:  # as with workers, which a kill of this process would not stop at once
        parts._LEAST_SAMPLES = 1  # type: ignore[misc]
        Workers.at_once = property(lambda workers: 2)  # type: ignore[assignment,method-assign]
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
