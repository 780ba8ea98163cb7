"""Bringing a change of a finished export to its end, from wherever a kill has left it."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from hfbucket.core.events import Notice, OnEvent, ignore
from hfbucket.core.keys import MANIFEST
from hfbucket.errors import ChangeError
from hfbucket.io.atomic import remove_temporaries, replacing, sync_folder
from hfbucket.io.journal import Journal, read_journal
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.receipts import receipt_file
from hfbucket.stages.write.work import Work, only_one, work_beside

__all__ = ["new_files", "remove_folder", "roll_forward", "settle", "settle_first"]


def new_files(work: Work[Path]) -> Path:
    """Return where a change writes new files, under the names they will have below the export."""
    return work.change / "export"


def settle_first(export: Path, *, on_event: OnEvent = ignore) -> None:
    """Bring an interrupted change of an export to its end, where there is one.

    Raises:
        BuildError: a build or a change is at work.
    """
    folder = Path(os.path.realpath(export))
    work = work_beside(folder)
    if work.journal.exists():
        with only_one(work):
            settle(folder, work, on_event=on_event)


def settle(export: Path, work: Work[Path], *, on_event: OnEvent = ignore) -> None:
    """Bring an interrupted change of an export to its end, or forget it if it did not count yet.

    Call it while `work` is held.

    Raises:
        ChangeError: files that the change needs are gone.
    """
    journal = read_journal(work.journal)
    remove_temporaries(work.folder)
    if journal is None:
        remove_folder(work.change)
        return
    text = f"an interrupted {journal.command} of {export} is brought to its end first: export {journal.export_id}"
    on_event(Notice(level="info", text=text))
    remove_temporaries(*{(export / file).parent for file in journal.files})
    _check_there(export, work, journal)
    roll_forward(export, work, journal)


def _check_there(export: Path, work: Work[Path], journal: Journal) -> None:
    """Check that every file of the new export stands where it belongs, or waits to be put there."""
    new = new_files(work)
    place = new if (new / MANIFEST).exists() else export
    manifest = read_manifest(place)
    named = [*(shard for entry in manifest.buckets.values() for shard in entry.shards), *manifest.small_files]
    gone = [file.file for file in named if _size(new / file.file, export / file.file) != file.bytes]
    if manifest.export_id != journal.export_id or gone:
        raise ChangeError(
            f"{export}: {gone[0] if gone else 'the new manifest'} is gone from {work.change} since a {journal.command} "
            "was interrupted; bring it back, or delete the export with its work folder and fetch or build it again"
        )


def _size(*places: Path) -> int:
    """Return the size in bytes of the first of these files that is there, -1 where none is."""
    return next((place.stat().st_size for place in places if place.exists()), -1)


def roll_forward(export: Path, work: Work[Path], journal: Journal) -> None:
    """Do what a journal says: files take their places, others go, the manifest is last. Each step may be done already.

    Receipts of shards that change or go are dropped first, so that no build takes the new ones for what it wrote.
    """
    new = new_files(work)
    work.finished.unlink(missing_ok=True)
    receipts = [receipt_file(work.receipts, f) for f in (*journal.files, *journal.deletions) if f.endswith(".tar")]
    for path in receipts:
        path.unlink(missing_ok=True)
    for folder in sorted({path.parent for path in receipts if path.parent.exists()}):
        sync_folder(folder)
    for file in journal.files[:-1]:
        _move(new / file, export / file)
    for file in journal.deletions:
        (export / file).unlink(missing_ok=True)
        with suppress(OSError):  # other files stand there
            (export / file).parent.rmdir()
    _sync_folders(export, (*journal.files, *journal.deletions))
    _move(new / journal.files[-1], export / journal.files[-1])
    sync_folder(export)
    work.journal.unlink()
    sync_folder(work.folder)
    remove_folder(work.change)


def _sync_folders(export: Path, files: Iterable[str]) -> None:
    """Flush the entries of every folder that some file stands in, and of the folders above it, to disk."""
    for below in sorted({folder for file in files for folder in PurePosixPath(file).parents}, reverse=True):
        if (export / below).exists():
            sync_folder(export / below)


def _move(source: Path, target: Path) -> None:
    """Put a file into its place; one that is not there any more has been put there before."""
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with replacing(target) as temporary:  # the export is a file system of its own
            shutil.copyfile(source, temporary)
        source.unlink()


def remove_folder(folder: Path) -> None:
    """Delete a folder with all that is in it, where there is one."""
    if folder.exists():
        shutil.rmtree(folder)
