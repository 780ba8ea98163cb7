"""The work folder of a build: where everything lies that is no part of the export."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hfbucket.errors import BuildError
from hfbucket.io.journal import CHANGE, JOURNAL, work_folder
from hfbucket.io.locks import locked

_LOCK_WAIT_S: Final = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Names in a work folder; `<export>.work` unless the settings say otherwise. Nothing here is ever published."""

    folder: Path

    @property
    def lock(self) -> Path:
        """Held by the build that is at work."""
        return self.folder / "lock"

    @property
    def settings(self) -> Path:
        """The content settings that the shards so far were written with."""
        return self.folder / "settings.json"

    @property
    def units(self) -> Path:
        """The units that task rows point to."""
        return self.folder / "units.json"

    @property
    def tasks(self) -> Path:
        """The folder of the tasks table."""
        return self.folder / "tasks"

    @property
    def receipts(self) -> Path:
        """One receipt per finished shard."""
        return self.folder / "receipts"

    @property
    def spool(self) -> Path:
        """Images of sources that cannot be read at random."""
        return self.folder / "spool"

    @property
    def copies(self) -> Path:
        """Remote tars and Parquet files as they are."""
        return self.folder / "copies"

    @property
    def previous(self) -> Path:
        """The manifest of the export that is being replaced: its words and history live on."""
        return self.folder / "previous-manifest.json"

    @property
    def journal(self) -> Path:
        """The change of the finished export whose files are taking their places."""
        return self.folder / JOURNAL

    @property
    def change(self) -> Path:
        """What a change of the finished export writes aside."""
        return self.folder / CHANGE

    @property
    def update(self) -> Path:
        """New shards of an update that does not count yet."""
        return self.folder / "update"

    @property
    def finished(self) -> Path:
        """What the last finished build was made of."""
        return self.folder / "finished.json"


def work_of(export: Path, work_dir: str | None) -> Work:
    """Return the work folder of an export."""
    return Work(folder=Path(os.path.abspath(work_dir)) if work_dir else work_folder(export))


@contextmanager
def only_one(work: Work) -> Iterator[None]:
    """Hold the work folder.

    Raises:
        BuildError: another build or change does.
    """
    with locked(work.lock, wait_s=_LOCK_WAIT_S) as held:
        if not held:
            raise BuildError(f"another build is at work in {work.folder}; wait for it, or end it")
        yield
