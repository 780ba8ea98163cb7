"""Kills `remove` and `build --update` with SIGKILL at changes they make to the disk, and ends them.

Run as a script: `kill_growth.py COMMAND FOLDER KILLS SHARE`. Kills at so many places, spread evenly, the first of them
SHARE thousandths of the way to the second. Prints how many changes there were; fails where an export is left that is
neither the old one, nor refused, nor the new one, or where a continued one differs.
"""

from __future__ import annotations

import shutil
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

import hfbucket
from hfbucket.config import Config
from hfbucket.errors import FormatError
from hfbucket.load.location import locate
from tests.stages.killing import in_child
from tests.stages.pictures import draw_folder, tree

CONFIG = Config(base=(128, 64), max_shard_samples=3, workers=0)
UPDATE = Config(base=(128, 64), max_shard_samples=3, workers=0, update=True)
GONE = ["0000.jpg", "0004.jpg", "0006.jpg", "0008.jpg", "0013.jpg", "0018.jpg"]
"""One of some shards, all of one, and one that was left out."""


def change(command: str, photos: Path, export: Path) -> None:
    """Take some images out of an export, or add some."""
    if command == "remove":
        hfbucket.remove(export, ids=GONE, workers=0)
    else:
        hfbucket.build(str(photos), export, UPDATE)


def main() -> None:
    """Kill and finish, everywhere."""
    command, folder, kills, share = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    counter, made, photos = folder / "count", folder / "made", draw_folder(folder / "photos", 20)
    assert in_child(lambda: hfbucket.build(str(photos), made, CONFIG), 0, counter) == 0
    draw_folder(photos, 9, start=20)
    for name in ("first", "whole"):  # the first also scans; what is killed finds the index in the cache
        copy(made, folder / name)
        assert in_child(partial(change, command, photos, folder / name), 0, counter) == 0
    old, new, places = tree(made), tree(folder / "whole"), int(counter.read_text())
    export = folder / "killed"
    check(folder / "whole")
    for kill in range(kills):
        place = 1 + (1000 * kill + share) * places // (1000 * kills)
        copy(made, export)
        assert in_child(lambda: change(command, photos, export), place, counter) == signal.SIGKILL, place
        if (folder / "killed.work/journal.json").exists():
            with pytest.raises(FormatError, match="was interrupted"):
                locate(export)
        else:
            assert tree(export) in (old, new), place
        assert in_child(lambda: change(command, photos, export), 0, counter) == 0, place
        assert tree(export) == new, place
        shutil.rmtree(export)
        shutil.rmtree(folder / "killed.work")
    sys.stdout.write(f"{places}\n")


def check(export: Path) -> None:
    """Verify an export."""
    found = hfbucket.verify(export, workers=0)
    assert found.ok, found.problems


def copy(made: Path, export: Path) -> None:
    """Copy an export with its work folder."""
    shutil.copytree(made, export)
    shutil.copytree(made.with_name("made.work"), export.with_name(f"{export.name}.work"))


if __name__ == "__main__":
    main()
