"""What commands make, read so that two of it can be compared."""

from __future__ import annotations

import hashlib
import sqlite3
import tarfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import hfbucket
from hfbucket.core.transfer.push import JOURNAL
from hfbucket.errors import HfBucketError
from hfbucket.io.manifest_file import read_manifest
from hfbucket.load.location import locate


@dataclass(frozen=True, kw_only=True)
class Result:
    """What stands somewhere, in parts."""

    place: Path
    #: Path to hash, or whatever else the parts are.
    files: Mapping[str, str]
    #: What is no part of it and may stand there while it is changed: hidden files, the note of a push.
    marks: Mapping[str, str]


_EMPTY: Final = hashlib.sha256().hexdigest()

Sameness = Callable[[Result | None, Result, Result], bool]
"""Whether what a fault left is nothing between (old, now, new)."""


def exported(export: Path) -> Result | None:
    """Return an export; None where readers refuse it."""
    try:
        locate(export)
        read_manifest(export)
    except (HfBucketError, FileNotFoundError):
        return None
    return unpacked(export)


def unpacked(folder: Path) -> Result | None:
    """Return the files of a folder, where there is one."""
    if not folder.exists():
        return None
    files = seen(folder)
    marks = {path: sha256 for path, sha256 in files.items() if path.startswith((".", JOURNAL))}
    return Result(place=folder, files=dict(files.items() - marks.items()), marks=marks)


def said(workspace: Path) -> Result | None:
    """Return the rows of a caption workspace; SQLite lays equal rows out in its own ways."""
    if not workspace.exists() or workspace.stat().st_size == 0:
        return None
    rows: dict[str, str] = {}
    with closing(sqlite3.connect(workspace)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            found = connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
            names = [column[0] for column in found.description]
            for row in found.fetchall():
                values = dict(zip(names, row, strict=True))
                values.pop("created", None)  # the time of day
                rows[f"{table} {row[:2]}"] = repr(values)
    return Result(place=workspace, files=rows, marks={})


def whole(old: Result | None, now: Result, new: Result) -> bool:
    """Return whether it is the old or the new one."""
    return now.files in ({} if old is None else old.files, new.files)


def piece_by_piece(old: Result | None, now: Result, new: Result) -> bool:
    """Return whether every part is the old or the new one, and none is gone that stays."""
    before = {} if old is None else old.files
    keeps = {path for path in before if path in new.files}
    return keeps <= now.files.keys() and all(
        value in (before.get(path), new.files.get(path)) for path, value in now.files.items()
    )


def or_empty(old: Result | None, now: Result, new: Result) -> bool:
    """Return whether every file is one of the new ones, or empty.

    Files of an extraction are flushed all together, before the receipt of their tar says that they are there.
    """
    files = {path: sha256 for path, sha256 in now.files.items() if sha256 != _EMPTY}
    return now.files.keys() <= new.files.keys() and files.items() <= new.files.items()


def missing_in(export: Path, wanted: Mapping[str, str]) -> int | None:
    """Return how many images of another export's samples a sound one lacks; None if it is not sound or has others."""
    try:
        is_sound = hfbucket.verify(export, workers=0).ok
        found = samples(export)
    except (HfBucketError, FileNotFoundError):
        return None
    if not is_sound or found.items() - wanted.items():
        return None
    return sum(name.endswith(".jpg") for name in wanted.keys() - found.keys())


def unread_in(export: Path) -> int:
    """Return how many images an export says could not be read."""
    return read_manifest(export).summary.get("source_errors", 0)


def samples(export: Path) -> dict[str, str]:
    """Return the members of all shards of an export with their hashes."""
    found = {}
    for path in sorted(export.glob("buckets/*/*.tar")):
        with tarfile.open(path) as shard:
            for member in shard:
                file = shard.extractfile(member)
                assert file is not None
                found[f"{path.parent.name}/{member.name}"] = hashlib.sha256(file.read()).hexdigest()
    return found


def seen(folder: Path, *, folders: bool = False) -> dict[str, str]:
    """Return the hash of every file below a folder, and its folders, too, where they are asked for."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif folders:
            found[name] = ""
    return found
