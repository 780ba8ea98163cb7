"""The work folder of a build: where everything lies that is no part of the export."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar, cast

from hfbucket.core.hashing import sha256_of
from hfbucket.errors import BuildError
from hfbucket.io.journal import CHANGE, JOURNAL, work_folder
from hfbucket.io.locks import locked
from hfbucket.io.places import Place, place_of

P = TypeVar("P", bound=Place, covariant=True)

_LOCK_WAIT_S: Final = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Work(Generic[P]):
    """Names in a work folder; `<export>.work` unless the settings say otherwise. Nothing here is ever published."""

    folder: P

    def _at(self, name: str) -> P:
        return cast("P", self.folder / name)

    @property
    def lock(self) -> P:
        """Held by the build that is at work."""
        return self._at("lock")

    @property
    def settings(self) -> P:
        """The content settings that the shards so far were written with."""
        return self._at("settings.json")

    @property
    def units(self) -> P:
        """The units that task rows point to."""
        return self._at("units.json")

    @property
    def tasks(self) -> P:
        """The folder of the tasks table."""
        return self._at("tasks")

    @property
    def receipts(self) -> P:
        """One receipt per finished shard."""
        return self._at("receipts")

    @property
    def parts(self) -> P:
        """Parts of shards that several processes write, each with a receipt of its own, until they are joined."""
        return self._at("parts")

    @property
    def spool(self) -> P:
        """Images of sources that cannot be read at random."""
        return self._at("spool")

    @property
    def copies(self) -> P:
        """Remote tars and Parquet files as they are."""
        return self._at("copies")

    @property
    def passing(self) -> tuple[P, ...]:
        """The folders that are of no use once the export is finished."""
        return self.parts, self.spool, self.copies

    @property
    def previous(self) -> P:
        """The manifest of the export that is being replaced: its words and history live on."""
        return self._at("previous-manifest.json")

    @property
    def journal(self) -> P:
        """The change of the finished export whose files are taking their places."""
        return self._at(JOURNAL)

    @property
    def change(self) -> P:
        """What a change of the finished export writes aside."""
        return self._at(CHANGE)

    @property
    def update(self) -> P:
        """New shards of an update that does not count yet."""
        return self._at("update")

    @property
    def finished(self) -> P:
        """What the last finished build was made of."""
        return self._at("finished.json")


def work_of(export: Place, work_dir: str | None) -> Work[Place]:
    """Return the work folder of a build: the one that is asked for, else the one beside the export."""
    if work_dir:
        return Work(folder=place_of(work_dir))
    return Work(folder=work_folder(export) if isinstance(export, Path) else export.parent / f"{export.name}.work")


def work_beside(export: Path) -> Work[Path]:
    """Return the work folder beside an export of this machine."""
    return Work(folder=work_folder(export))


@contextmanager
def only_one(work: Work[Place], locks: Path | None = None) -> Iterator[None]:
    """Hold the work folder.

    Args:
        locks: folder of this machine for locks of work folders elsewhere: stores have none, so this keeps apart only
            what runs here.

    Raises:
        BuildError: another build or change does.
    """
    lock = work.lock
    if not isinstance(lock, Path):
        lock = (locks or Path(tempfile.gettempdir())) / f"{sha256_of(str(work.folder))}.lock"
    with locked(lock, wait_s=_LOCK_WAIT_S) as held:
        if not held:
            raise BuildError(f"another build is at work in {work.folder}; wait for it, or end it")
        yield
