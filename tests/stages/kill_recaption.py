"""Kills recaption with SIGKILL at every change it makes to the disk, one after another, and runs it again.

Run as a script: `kill_recaption.py FOLDER STEP OFFSET`, in a folder with `export` and `captions.sqlite`. Prints how
many places there were to kill at; fails where an export is left that is neither the old one, nor refused, nor the new
one, in place and as a new export beside it.
"""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from hfbucket.config import Config
from hfbucket.errors import FormatError
from hfbucket.load.location import locate
from hfbucket.stages.recaption import recaption
from tests.stages.change.kill_change import content
from tests.stages.killing import in_child
from tests.stages.pictures import tree


def kill_everywhere(folder: Path, run: Callable[[Path], object], old: bool, step: int, offset: int) -> int:
    """Kill `run` on copies of the export everywhere; return at how many places.

    Args:
        old: whether the folder that it works at has an export already.
    """
    made, counter = folder / "export", folder / "count"

    def fresh(name: str) -> Path:
        for place in (folder / name, folder / f"{name}.work"):
            shutil.rmtree(place, ignore_errors=True)
        if old:
            shutil.copytree(made, folder / name)
        return folder / name

    whole = fresh("whole")
    assert in_child(partial(run, whole), 0, counter) == 0
    places, before, seen = int(counter.read_text()), content(made), set()
    for place in range(1 + offset, places + 1, step):
        export = fresh("killed")
        assert in_child(partial(run, export), place, counter) == signal.SIGKILL, place
        if (folder / "killed.work/journal.json").exists():
            seen.add("journal")
            with pytest.raises(FormatError, match="`hfbucket recaption` was interrupted"):
                locate(export)
        elif export.exists() and content(export) != before:
            seen.add("new")
            assert tree(export) == tree(whole), place
        else:
            assert export.exists() == old, place
            seen.add("old")
        if old or not export.exists():
            assert in_child(partial(run, export), 0, counter) == 0, place
        assert tree(export) == tree(whole), f"other bytes after a kill at change {place}"
        assert content(made) == before
    assert "old" in seen
    return places


def main() -> None:
    """Kill and finish, everywhere."""
    folder, step, offset = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    # The weights drop some images: shards change, shards go, the ledger changes.
    config = Config(captions=str(folder / "captions.sqlite"), priority=("long",), workers=0)
    places = kill_everywhere(folder, lambda export: recaption(export, config, drop_missing=True), True, step, offset)
    made = folder / "export"
    places += kill_everywhere(
        folder, lambda export: recaption(made, config, output=export, drop_missing=True), False, step, offset
    )
    sys.stdout.write(f"{places}\n")


if __name__ == "__main__":
    main()
