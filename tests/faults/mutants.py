"""hfbucket broken on purpose, in ways that only a failing disk shows: the trials must find each.

    python -m tests.faults.mutants [NAME]...

A mutant takes a promise away by replacing one function for a command and its faults. A check of the trials that was
made too wide would let one of them pass.
"""

from __future__ import annotations

import os
import random
import re
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import hfbucket
from hfbucket.errors import HfBucketError
from hfbucket.io import push_stores
from hfbucket.io.patterns import matching
from hfbucket.stages.workspace.init import init
from tests.faults.trials import Broken, Trial, faults_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutant:
    """One way to be broken."""

    command: str
    #: What is replaced, and by what.
    replaced: Mapping[str, object]
    #: The kinds of faults that show it, and where.
    kinds: tuple[str, ...]
    at: str = ""
    #: What the finding says.
    says: str


def _nothing(*args: Any, **kwargs: Any) -> None:
    return None


def _delete_quietly(store: Any, paths: list[str]) -> None:
    with suppress(OSError):
        _DELETE(store, paths)


def _verify_quietly(*args: Any, **kwargs: Any) -> Any:
    try:
        return _VERIFY(*args, **kwargs)
    except HfBucketError:
        return SimpleNamespace(problems=())


def _listed(export: Path) -> tuple[Path, ...]:
    return tuple(matching(export / "ledger", "part-*.parquet"))  # pathlib's own search has its own listing on 3.13


def _init_quietly(*args: Any, **kwargs: Any) -> Any:
    made = _INIT(*args, **kwargs)
    return SimpleNamespace(left_out={}, images=made.images)


def _kept_for_ever(rows: object) -> bool:
    return False


def _as_undecodable(detail: str) -> dict[str, str]:
    return {"outcome": "decode_errors", "detail": detail}


_DELETE: Final = push_stores.FolderStore.delete
_VERIFY: Final = hfbucket.verify
_INIT: Final = init

MUTANTS: Final[Mapping[str, Mutant]] = {
    "files are not flushed before they get their names": Mutant(
        command="remove", replaced={"hfbucket.io.atomic._flush": _nothing}, kinds=("power cut",),
        at=r"journal\.json$|^export/manifest", says="cannot be run again",
    ),
    "files are written under their own names": Mutant(
        command="build, passthrough", replaced={"hfbucket.io.atomic.temporary_name": lambda path: path},
        kinds=("power cut",), at="^export/manifest", says="cannot be run again",
    ),
    "readers do not heed the journal": Mutant(
        command="update", replaced={"hfbucket.io.journal.refuse_unfinished": _nothing,
                                    "hfbucket.load.location.refuse_unfinished": _nothing},
        kinds=("killed",), at="^export/samples", says="neither the old nor the new",
    ),
    "what a kill left is not deleted": Mutant(
        command="build, passthrough", replaced={"hfbucket.stages.write.build.remove_temporaries": _nothing},
        kinds=("killed",), at="^export/manifest", says="other files after killed",
    ),
    "the note of a push stays when it cannot be deleted": Mutant(
        command="push to a folder", replaced={"hfbucket.io.push_stores.FolderStore.delete": _delete_quietly},
        kinds=("unlink fails",), says="says that it is done, and is not",
    ),
    "an image that cannot be read counts as damaged": Mutant(
        command="build, passthrough", replaced={"hfbucket.sources.folder.unreadable": _as_undecodable},
        kinds=("read error",), at="^source", says="cannot be run again",
    ),
    "what could not be read is remembered": Mutant(
        command="build, passthrough", replaced={"hfbucket.stages.index._is_for_once": _kept_for_ever},
        kinds=("unreadable",), at="^source", says="what could be read later did not come",
    ),
    "the same for an update": Mutant(
        command="update", replaced={"hfbucket.stages.index._is_for_once": _kept_for_ever},
        kinds=("unreadable",), at=r"^source/0010\.", says="what could be read later did not come",
    ),
    "a workspace leaves images out and says nothing": Mutant(
        command="workspace init", replaced={"tests.faults.commands.init": _init_quietly},
        kinds=("unreadable",), at="^source", says="says that it is done, and is not",
    ),
    "a folder that cannot be listed passes for an empty one": Mutant(
        command="pull from a folder", replaced={"hfbucket.io.export_files._refuse": _nothing},
        kinds=("no listing",), at="^export/ledger", says="says that it is done, and is not",
    ),
    "the ledger is what a listing says": Mutant(
        command="remove", replaced={"hfbucket.stages.remove.ledger_parts": _listed,
                                    "hfbucket.stages.change.find.ledger_parts": _listed},
        kinds=("stale listing",), at="^export/ledger", says="says that it is done, and is not",
    ),
    "verify passes over what it cannot read": Mutant(
        command="verify", replaced={"hfbucket.verify": _verify_quietly}, kinds=("unreadable",),
        says="found nothing wrong without having read",
    ),
}  # fmt: skip


def found(name: str) -> str:
    """Return what the trials say about a mutant.

    Raises:
        Broken: they find nothing.
    """
    mutant = MUTANTS[name]
    with tempfile.TemporaryDirectory(prefix="mutant-") as root:
        patches = [patch(place, by) for place, by in mutant.replaced.items()]
        for each in patches:
            each.start()
        try:
            trial = Trial(Path(root), mutant.command)
            faults = [
                fault
                for fault in faults_of(trial.steps, trial.sizes, 1, random.Random(0))
                if fault.kind in mutant.kinds and re.search(mutant.at, fault.step.file)
            ]
            for fault in faults:
                try:
                    trial.fail(fault)
                except Broken as broken:
                    if mutant.says in str(broken):
                        return f"{fault}: {broken}"
        finally:
            for each in patches:
                each.stop()
    raise Broken(f"none of {len(faults)} faults shows that {name}")


def main(names: list[str]) -> None:
    """Find them all."""
    os.environ |= {"SOURCE_DATE_EPOCH": "1700000000", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    for name in names or MUTANTS:
        sys.stdout.write(f"{name}: {found(name)[:300]}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
