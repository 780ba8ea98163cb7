"""A change of a finished export from its beginning to its end, either of which a kill may fall into."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hfbucket.core.events import OnEvent, ignore
from hfbucket.core.keys import MANIFEST
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.manifest.plain import is_ours
from hfbucket.errors import ChangeError
from hfbucket.io.atomic import sync_folder
from hfbucket.io.journal import Journal, refuse_unfinished, write_journal
from hfbucket.io.manifest_file import read_manifest, write_manifest
from hfbucket.io.store import is_local, local_path
from hfbucket.stages.change.beside import free_place, link_unchanged
from hfbucket.stages.rounds import failure_of
from hfbucket.stages.write.forward import new_files, remove_folder, roll_forward, settle
from hfbucket.stages.write.work import Work, only_one, work_beside

__all__ = ["OpenExport", "check_changeable", "commit_change", "local_folder", "open_export_for_change"]

_UNCHANGED: Final = "the export is as it was, or the same command brings the change to its end"


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenExport:
    """A finished export that this process changes, or makes another of; nobody else is at work at the target."""

    folder: Path
    #: The export that the change makes: this one, or a new one beside it.
    target: Path
    #: Of the target.
    work: Work[Path]
    manifest: Manifest
    #: The command that changes it.
    command: str

    @property
    def new(self) -> Path:
        """Where new files are written, under the names they will have below the export."""
        return new_files(self.work)

    @property
    def scratch(self) -> Path:
        """Where to put what the change needs on the way; it vanishes with the change."""
        return self.work.change / "scratch"


def local_folder(export: str | os.PathLike[str]) -> Path:
    """Return the folder of an export on this machine, links followed.

    Raises:
        ChangeError: it is elsewhere.
    """
    url = os.fspath(export)
    if not is_local(url):
        raise ChangeError(f"{url}: an export is changed on this machine; pull it, change it, push it")
    return Path(os.path.realpath(local_path(url.removesuffix(MANIFEST))))


def check_changeable(folder: Path, manifest: Manifest) -> None:
    """Check that an export can be changed by what it says of itself.

    Raises:
        ChangeError: another tool wrote it, or it is a part of another.
    """
    if not is_ours(manifest):
        raise ChangeError(f"{folder}: was written by another tool; change it with that one")
    if manifest.part_of is not None:
        raise ChangeError(f"{folder}: is a part of an export; change the whole one and pull the part again")


@contextmanager
def open_export_for_change(
    export: str | os.PathLike[str],
    *,
    command: str,
    output: str | os.PathLike[str] | None = None,
    on_event: OnEvent = ignore,
) -> Iterator[OpenExport]:
    """Hold a finished export; a change that was interrupted before is brought to its end first, or forgotten.

    Inside, write new files below `new`, flushed to disk, then call `commit_change`. Leaving without it changes nothing.

    Args:
        output: make a new export there, and leave this one as it is.

    Raises:
        ChangeError: it is not on this machine, another tool's, a part of another, or the disk gives an error.
        BuildError: a build or another change is at work.
        FormatError: there is no finished export.
    """
    folder = local_folder(export)
    if not folder.is_dir():
        raise ChangeError(f"{folder}: no such folder; give the folder of an export")
    target = folder if output is None else free_place(local_folder(output), folder)
    work = work_beside(target)
    with _clear_errors(target), only_one(work):
        settle(target, work, on_event=on_event)
        if target != folder:
            refuse_unfinished(folder)
        manifest = read_manifest(folder)
        check_changeable(folder, manifest)
        try:
            yield OpenExport(folder=folder, target=target, work=work, manifest=manifest, command=command)
        finally:
            # What is left beside a new export that is there does no harm, and the next change of it takes it away.
            is_made = target != folder and target.exists()
            if not work.journal.exists():
                with suppress(OSError) if is_made else nullcontext():
                    remove_folder(work.change)


def commit_change(
    opened: OpenExport, *, files: Sequence[str], deletions: Sequence[str] = (), manifest: Manifest
) -> None:
    """Make the change count, then do it: new files take their places, others go, the manifest comes last.

    Args:
        files: below `opened.new`, each flushed to disk by whoever wrote it; the manifest is none of them.
        deletions: files of the export that the new one does not have.
        manifest: the new one.
    """
    opened.new.mkdir(parents=True, exist_ok=True)
    write_manifest(opened.new, manifest)
    if opened.target != opened.folder:
        link_unchanged(opened.folder, opened.new, opened.manifest, manifest)
    for folder, _, _ in os.walk(opened.new, topdown=False):
        sync_folder(Path(folder))
    for path in (opened.work.change, opened.work.folder, opened.work.folder.parent):
        sync_folder(path)
    if opened.target != opened.folder:
        os.replace(opened.new, opened.target)  # the new export is there as a whole, or not at all
        sync_folder(opened.target.parent)
        return
    journal = Journal(
        command=opened.command,
        export_id=manifest.export_id or "",
        files=(*files, MANIFEST),
        deletions=tuple(deletions),
    )
    write_journal(opened.work.journal, journal)
    roll_forward(opened.folder, opened.work, journal)


@contextmanager
def _clear_errors(export: Path) -> Iterator[None]:
    """Put what the disk says into words.

    Raises:
        ChangeError: the disk is full, permission denied, and so on.
    """
    try:
        yield
    except OSError as error:
        raise ChangeError(f"{export}: {failure_of(None, error).reason}; {_UNCHANGED}") from error
