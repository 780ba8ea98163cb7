"""A changed export beside the one it was made from: what did not change is linked."""

from __future__ import annotations

from pathlib import Path

from hfbucket.core.manifest.model import Manifest
from hfbucket.errors import ChangeError
from hfbucket.io.export_files import ledger_parts
from hfbucket.io.journal import refuse_unfinished, work_folder
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.moves import link_or_copy

__all__ = ["free_place", "link_unchanged"]


def free_place(target: Path, folder: Path) -> Path:
    """Return where a new export may be made from another one.

    Raises:
        ChangeError: something is there, or it lies inside the other one or around it.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ChangeError(f"{target} is there already; choose another output")
    for old in (folder, work_folder(folder)):
        if target.is_relative_to(old) or old.is_relative_to(target):
            raise ChangeError(f"the output {target} and {old} lie inside one another; choose another output")
    return target


def link_unchanged(folder: Path, new: Path, before: Manifest, after: Manifest) -> None:
    """Link the files of an export that a new one has, too, below `new`; where the system cannot, copy them.

    Raises:
        ChangeError: the export was changed by somebody else since it was read.
    """
    shards = (shard.file for entry in after.buckets.values() for shard in entry.shards)
    files = [*shards, *(file.file for file in after.small_files)]
    if not (new / "ledger").exists():
        files += [path.relative_to(folder).as_posix() for path in ledger_parts(folder)]
    for file in files:
        target = new / file
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(folder / file, target)
    refuse_unfinished(folder)
    if read_manifest(folder) != before:
        raise ChangeError(f"{folder}: was changed while {new} was made from it; run the same command again")
