"""The journal of a change: which finished files take whose places in an export. Where one lies, a change is under way.

A change (recaption, remove, update) writes all its new files aside, flushes them to disk, and then writes the journal:
that is the moment from which it counts. What follows can be done again from any point, so a kill leaves the export as
it was before, or one that the next command brings to its end.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from hfbucket.core.keys import MANIFEST, safe_file
from hfbucket.errors import FormatError
from hfbucket.io.atomic import write_bytes
from hfbucket.io.urls import is_local, local_path

JOURNAL: Final = "journal.json"
"""Its name in the work folder."""

CHANGE: Final = "change"
"""The folder beside it that the new files are written to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Journal:
    """What is left to do; every name is a file below the export."""

    #: The command that began the change.
    command: str
    #: Of the export that the change makes.
    export_id: str
    #: New files, in the order in which they take their places; the manifest is the last.
    files: tuple[str, ...]
    #: Files that the new export does not have.
    deletions: tuple[str, ...]


def work_folder(export: Path) -> Path:
    """Return where everything lies that belongs to an export and is no part of it."""
    return export.with_name(export.name + ".work")


def write_journal(path: Path, journal: Journal) -> None:
    """Write a journal, whole or not at all: with this the change counts."""
    write_bytes(path, json.dumps(asdict(journal), ensure_ascii=True).encode("ascii"))


def read_journal(path: Path) -> Journal | None:
    """Return a journal; None where there is none.

    Raises:
        FormatError: it is none that was written here.
    """
    try:
        values = json.loads(path.read_bytes())
        files, deletions = (
            tuple(safe_file(name, where=str(path)) for name in values.pop(key)) for key in ("files", "deletions")
        )
        return Journal(**values, files=files, deletions=deletions)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"is no journal of a change ({error}); fetch or build the export again"
        raise FormatError(message, where=str(path)) from error


def refuse_unfinished(export: str | os.PathLike[str]) -> None:
    """Refuse an export of this machine whose files are being exchanged; elsewhere there are none such.

    Args:
        export: its folder or its manifest.json.

    Raises:
        FormatError: a change of it was interrupted; names the command that ends it.
    """
    url = os.fspath(export)
    if not is_local(url):
        return
    folder = local_path(url.removesuffix(MANIFEST))
    for place in {folder: None, os.path.realpath(folder): None}:
        journal = read_journal(work_folder(Path(place)) / JOURNAL)
        if journal is not None:
            raise FormatError(
                f"`hfbucket {journal.command}` was interrupted while its files took their places, so old and new ones "
                "stand side by side: run that command again, it finishes this first",
                where=place,
            )
