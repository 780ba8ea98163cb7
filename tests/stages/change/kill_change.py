"""Kills a change of an export with SIGKILL at every change it makes to the disk, and ends it.

Run as a script: `kill_change.py FOLDER`. Prints how many places there were to kill at; fails where an export is left
that is neither the old one, nor refused, nor the new one.
"""

from __future__ import annotations

import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hfbucket.core.manifest.plain import seal
from hfbucket.errors import FormatError
from hfbucket.io.atomic import write_bytes
from hfbucket.load.location import locate
from hfbucket.stages.change.apply import commit_change, open_export_for_change
from tests.factories import make_export
from tests.stages.killing import in_child

BUCKET = "buckets/p1024x1024"


def change(export: Path) -> None:
    """Give an export one more file, another first shard and no second one."""
    with open_export_for_change(export, command="recaption") as opened:
        if opened.manifest.settings.get("changed"):
            return  # it was rolled forward
        files = ("more/a/new.txt", f"{BUCKET}/shard-00000.tar")
        for file in files:
            (opened.new / file).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(opened.new / file, b"new")
        entry = opened.manifest.buckets["p1024x1024"]
        entry = replace(entry, shards=(replace(entry.shards[0], bytes=3),))
        buckets = {**opened.manifest.buckets, "p1024x1024": entry}
        manifest = seal(replace(opened.manifest, settings={"changed": True}, buckets=buckets))
        commit_change(opened, files=files, deletions=(f"{BUCKET}/shard-00001.tar", "not/there"), manifest=manifest)


def content(export: Path) -> dict[str, bytes]:
    """Return the bytes of every file of an export."""
    files = (path for path in sorted(export.rglob("*")) if path.is_file())
    return {path.relative_to(export).as_posix(): path.read_bytes() for path in files}


def main() -> None:
    """Kill and finish, everywhere."""
    folder = Path(sys.argv[1])
    counter, made = folder / "count", folder / "made"
    make_export(made, bases=(64,), divisible=8, per_shard=1)
    shutil.copytree(made, folder / "whole")
    assert in_child(lambda: change(folder / "whole"), 0, counter) == 0
    old, new, places = content(made), content(folder / "whole"), int(counter.read_text())
    assert [path.name for path in (folder / "whole.work").iterdir()] == ["lock"]
    export, seen = folder / "killed", set()
    for place in range(1, places + 1):
        shutil.copytree(made, export)
        assert in_child(lambda: change(export), place, counter) == signal.SIGKILL, place
        if (folder / "killed.work/journal.json").exists():
            seen.add("journal")
            with pytest.raises(FormatError, match="`hfbucket recaption` was interrupted"):
                locate(export)
        else:
            seen.add("old" if content(export) == old else "new")
            assert content(export) in (old, new), place
        assert in_child(lambda: change(export), 0, counter) == 0, place
        assert content(export) == new, place
        assert [path.name for path in (folder / "killed.work").iterdir()] == ["lock"]
        shutil.rmtree(export)
        shutil.rmtree(folder / "killed.work")
    assert seen == {"old", "journal", "new"}
    sys.stdout.write(f"{places}\n")


if __name__ == "__main__":
    main()
