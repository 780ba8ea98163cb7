"""Where a build may write: not into its sources, not over what is no export, not over other settings unasked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hfbucket.core.keys import CARD, CROISSANT, MANIFEST
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.manifest.plain import is_ours
from hfbucket.core.manifest.settings import settings_of
from hfbucket.core.settings import differences
from hfbucket.core.units import SourceSpec
from hfbucket.errors import BuildError, ConfigError, PlanMismatchError, SourceError
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.places import Place, Remote, below, matching, place_of, remove_tree, write_bytes
from hfbucket.io.store import split_glob
from hfbucket.stages.write.work import Work

UPDATE = "update"
"""How the entries of a manifest's history begin that tell of an update."""

_FOLDERS = ("buckets", "samples", "ledger", "assets")
_BEFORE_LOCK = frozenset({"cache", "copies"})
"""What a work folder gets while sources are scanned, before the lock."""


def check_apart(sources: Sequence[SourceSpec], export: Place, work: Work[Place]) -> None:
    """Refuse an output inside a source, or a source inside the output: it would read what it writes.

    Raises:
        BuildError: what stands at the work folder is something else, and files of others would be deleted in it.
        ConfigError: the work folder lies in the output: what is published would hold it.
        SourceError: names both.
    """
    if _is_below(work.folder, export):
        raise ConfigError(f"work_dir must lie outside the output {export}, got {work.folder}")
    for source in sources:
        root, pattern = split_glob(source.url)
        place = _real(place_of(root))
        for what, output in (("output", _real(export)), ("work folder", _real(work.folder))):
            deep = pattern is None or "**" in pattern
            if (deep and _is_below(output, place)) or _is_below(place, output):
                raise SourceError(
                    f"the {what} {output} and the source {source.url} lie inside one another; choose another {what}"
                )
    _check_ours(work)


def _check_ours(work: Work[Place]) -> None:
    """Refuse a folder of this machine in which no build was: it has no lock, which is there before nearly all else."""
    folder = work.folder
    if not isinstance(folder, Path) or not isinstance(work.lock, Path) or work.lock.exists():
        return
    if folder.exists() and not (folder.is_dir() and {path.name for path in folder.iterdir()} <= _BEFORE_LOCK):
        raise BuildError(
            f"{folder} exists and is no work folder of a build, which deletes files in it; choose another --work-dir, "
            "or an empty folder"
        )


def _real(place: Place) -> Place:
    """Return where a place is, after all links."""
    return Path(os.path.realpath(place)) if isinstance(place, Path) else place


def _is_below(place: Place, folder: Place) -> bool:
    """Return whether a place is a folder, or lies in it."""
    if isinstance(place, Path):
        return isinstance(folder, Path) and place.is_relative_to(folder)
    return isinstance(folder, Remote) and place.is_relative_to(folder)


def check_settings(export: Place, work: Work[Place], settings: Mapping[str, Any], *, overwrite: bool) -> bool:
    """Return whether what is there was made with other settings and is to be replaced.

    Raises:
        BuildError: the folder holds something that is no export of this package.
        PlanMismatchError: an export with other content settings is there; says what differs.
    """
    found = _settings_there(export, work)
    changes = () if found is None else differences(settings, found)
    if changes and not overwrite:
        raise PlanMismatchError(
            f"{export} was built with other settings: {'; '.join(changes)}. Use these settings, another output, "
            "or --overwrite to start anew"
        )
    return bool(changes)


def check_laid_out_at_once(export: Place, *, overwrite: bool) -> None:
    """Refuse to build anew what came about in several steps: it would come out another, with what was removed.

    Raises:
        PlanMismatchError: says how to go on.
    """
    if overwrite or not (export / MANIFEST).exists():
        return
    manifest = read_manifest(str(export))
    steps = []
    if count := sum(entry.what.startswith(UPDATE) for entry in manifest.history):
        steps.append(f"has grown by {count} update{'s' if count > 1 else ''}")
    if count := manifest.summary.get("removed", 0):
        steps.append(f"had {count:,} images removed")
    if steps:
        raise PlanMismatchError(
            f"{export} {' and '.join(steps)}: give --update to add what is new and keep it so, or --overwrite to build "
            "it anew from the sources, with every image they have"
        )


def _settings_there(export: Place, work: Work[Place]) -> Mapping[str, Any] | None:
    """Return the content settings of what is there, finished or not; None where nothing is."""
    if (export / MANIFEST).exists():
        manifest = read_manifest(str(export))
        if not is_ours(manifest) or manifest.part_of is not None:
            raise BuildError(f"{export} holds an export that was not built here; choose another output")
        return settings_of(manifest)
    if _is_empty(export):
        return None
    if not work.settings.exists():
        raise BuildError(f"{export} exists and is no export; choose another output, or an empty folder")
    if not matching(export, "buckets/*/*.tar"):  # begun, and nothing done yet that other settings would undo
        return None
    known: dict[str, Any] = json.loads(work.settings.read_bytes())
    return known


def _is_empty(folder: Place) -> bool:
    if isinstance(folder, Path):
        return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    return not folder.exists()


def clear(export: Place, work: Work[Place]) -> None:
    """Delete an export and all that was done for it; the manifest first, the settings last, so a kill can go on."""
    (export / MANIFEST).unlink(missing_ok=True)
    for path in (work.finished, work.previous, export / CARD, export / CROISSANT):
        path.unlink(missing_ok=True)
    for folder in (work.receipts, work.parts, work.spool, work.update, *(export / name for name in _FOLDERS)):
        remove_tree(folder)
    work.settings.unlink(missing_ok=True)


def retire(export: Place, work: Work[Place]) -> None:
    """Take manifest and card away before the first change: a reader sees a whole export or none.

    The manifest is kept aside: its words and history go into the next one.
    """
    work.finished.unlink(missing_ok=True)
    path = export / MANIFEST
    if path.exists():
        write_bytes(work.previous, path.read_bytes())
        path.unlink()
    for name in (CARD, CROISSANT):
        (export / name).unlink(missing_ok=True)


def previous_manifest(work: Work[Place]) -> Manifest | None:
    """Return the manifest that `retire` kept."""
    return read_manifest(str(work.previous)) if work.previous.exists() else None


def written_folders(export: Place, work: Work[Place]) -> tuple[Place, ...]:
    """Return every folder that a build writes into, as far as they exist; elsewhere, those that have all of them."""
    ours: tuple[Place, ...] = (export, work.folder)
    if isinstance(export, Path):
        ours += (*(export / name for name in _FOLDERS), *matching(export, "buckets/*/"))
    if isinstance(work.folder, Path):
        ours += (work.spool, *matching(work.receipts, "*/"), *matching(work.parts, "*/*/"))
    return ours


def unnamed_files(export: Place, named: set[str]) -> Iterator[Place]:
    """Yield the shards, table parts and contact sheets of an export that are not `named` (below it, with `/`)."""
    for pattern in ("buckets/*/*.tar", "samples/part-*.parquet", "ledger/part-*.parquet", "assets/samples-*.jpg"):
        for path in matching(export, pattern):
            if below(path, export) not in named:
                yield path


def remove_empty_buckets(export: Place) -> None:
    """Delete the folders of buckets in which nothing is, as a build leaves them that goes on with another plan."""
    if isinstance(export, Path):
        for folder in cast("list[Path]", matching(export, "buckets/*/")):
            if not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()
