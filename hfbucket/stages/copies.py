"""Copies: remote tars and Parquet files, fetched whole for a build's scan and kept in its work folder while needed.

Scanning reads nearly all of their bytes, writing reads the images: with a copy no byte crosses the network twice. A
copy is named by what the unit is, and has its name only when it is whole. With a work folder at a store, what lies at
such a store is read from there: a copy would be no nearer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from hfbucket.config import Config
from hfbucket.core.card.numbers import size
from hfbucket.core.events import Notice, OnEvent
from hfbucket.core.units import Unit
from hfbucket.errors import SourceError
from hfbucket.io.places import Place, free_bytes, present, remove_temporaries, scratch
from hfbucket.io.store import download, is_local
from hfbucket.sources import SOURCES
from hfbucket.sources.rows import Look, Scanned
from hfbucket.stages.copied import copy_of
from hfbucket.stages.unchanged import check_unchanged


def from_copy(folder: Place, unit: Unit) -> Unit:
    """Return the unit as it is read: from its copy where there is one."""
    copy = copy_of(folder, unit.url, unit.version)
    return replace(unit, url=str(copy), parts=()) if is_further(unit, folder) and copy.exists() else unit


def is_further(unit: Unit, folder: Place) -> bool:
    """Return whether copies are made of such units: of containers that are further away than a copy would be."""
    if unit.kind == "folder" or is_local(unit.url):
        return False
    return isinstance(folder, Path) or not unit.url.startswith(f"{folder.protocol}://")


def plan_copies(units: Sequence[Unit], folder: Place, on_event: OnEvent) -> dict[str, Place]:
    """Return the copies to make, by url: of all remote containers, as far as half of the free disk holds them.

    The other half is for what is made of them; a store has room for all.
    """
    remote = [unit for unit in units if is_further(unit, folder)]
    if not remote:
        return {}
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)
    remove_temporaries(folder)
    copies: dict[str, Place] = {}
    free, size_bytes, there = free_bytes(folder), 0, present(folder)
    for unit in remote:
        copy = copy_of(folder, unit.url, unit.version)
        need = 0 if there(copy.name) else unit.size_bytes
        if free is None or size_bytes + need <= free // 2:
            copies[unit.url] = copy
            size_bytes += need
    text = f"{len(copies):,} of {len(remote):,} remote files are copied to {folder}, so that none is read twice: "
    on_event(Notice(level="info", text=f"{text}{size(size_bytes)}, removed when the export is complete"))
    left = sum(unit.size_bytes for unit in remote if unit.url not in copies)
    if left:
        on_event(Notice(level="warning", text=f"no room for copies of {size(left)} more: these are read twice"))
    return copies


def scanned(unit: Unit, copy: Place | None, config: Config, look: Look, aside: Path | None) -> Scanned:
    """Return what scanning a unit gives; with the place of a copy, made of that, after fetching it.

    Raises:
        SourceError: the source makes no sense, or changed since it was listed.
        OSError: it cannot be read, or the disk is full.
    """
    scan_unit = SOURCES[unit.kind].scan_unit
    with fetched(unit, copy) as read:
        try:
            return scan_unit(read, config, look, aside)
        except SourceError as error:
            raise SourceError(str(error).replace(read.url, unit.url)) from error


@contextmanager
def fetched(unit: Unit, copy: Place | None) -> Iterator[Unit]:
    """Yield the unit as it is read from its copy on this machine, which is fetched where it is not there.

    Args:
        copy: None where there is to be none: then it is the unit as it is.

    Raises:
        SourceError: it changed since it was listed.
        OSError: it cannot be read, or the disk is full.
    """
    if copy is None:
        yield unit
        check_unchanged(unit)
    elif isinstance(copy, Path):
        _fetch(unit, copy)
        yield replace(unit, url=str(copy), parts=())
    else:
        with scratch() as folder:
            here = folder / copy.name
            if copy.exists():
                download(str(copy), here, unit.size_bytes)
            else:
                _fetch(unit, here)
                copy.put(here)
            yield replace(unit, url=str(here), parts=())


def _fetch(unit: Unit, path: Path) -> None:
    if not path.exists():  # it has its name only when it is whole, and what was listed
        download(unit.url, path, unit.size_bytes, parts=unit.parts, check=partial(check_unchanged, unit))
