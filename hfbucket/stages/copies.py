"""Copies: remote tars and Parquet files, fetched whole for a build's scan and kept on this disk while it needs them.

Scanning reads nearly all of their bytes, writing reads the images: with a copy no byte crosses the network twice. A
copy is named by what the unit is, and has its name only when it is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.card.numbers import size
from hfbucket.core.events import Notice, OnEvent
from hfbucket.core.units import Unit, UnitFacts
from hfbucket.errors import SourceError
from hfbucket.io.atomic import remove_temporaries
from hfbucket.io.store import download, is_local
from hfbucket.sources import SOURCES
from hfbucket.sources.rows import Look
from hfbucket.stages.copied import copy_of


def from_copy(folder: Path, unit: Unit) -> Unit:
    """Return the unit as it is read: from its copy where there is one."""
    copy = copy_of(folder, unit.url, unit.version)
    return replace(unit, url=str(copy), parts=()) if copy.exists() else unit


def plan_copies(units: Sequence[Unit], folder: Path, on_event: OnEvent) -> dict[str, str]:
    """Return the copies to make, by url: of all remote containers, as far as half of the free disk holds them.

    The other half is for what is made of them.
    """
    remote = [unit for unit in units if unit.kind != "folder" and not is_local(unit.url)]
    if not remote:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporaries(folder)
    copies: dict[str, str] = {}
    room, size_bytes = shutil.disk_usage(folder).free // 2, 0
    for unit in remote:
        copy = copy_of(folder, unit.url, unit.version)
        need = 0 if copy.exists() else unit.size_bytes
        if size_bytes + need <= room:
            copies[unit.url] = str(copy)
            size_bytes += need
    text = f"{len(copies):,} of {len(remote):,} remote files are copied to {folder}, so that none is read twice: "
    on_event(Notice(level="info", text=f"{text}{size(size_bytes)}, removed when the export is complete"))
    left = sum(unit.size_bytes for unit in remote if unit.url not in copies)
    if left:
        on_event(Notice(level="warning", text=f"no room for copies of {size(left)} more: these are read twice"))
    return copies


def scanned(unit: Unit, copy: str, config: Config, look: Look) -> tuple[pa.Table, UnitFacts]:
    """Return what scanning a unit gives; with the name of a copy, made of that, after fetching it.

    Raises:
        SourceError: the source makes no sense, or changed since it was listed.
        OSError: it cannot be read, or the disk is full.
    """
    scan_unit = SOURCES[unit.kind].scan_unit
    if not copy:
        return scan_unit(unit, config, look)
    try:
        return scan_unit(fetched(unit, copy), config, look)
    except SourceError as error:
        raise SourceError(str(error).replace(copy, unit.url)) from error


def fetched(unit: Unit, copy: str) -> Unit:
    """Return the unit as it is read from its copy, which is fetched where it is not there.

    Raises:
        SourceError: it changed since it was listed.
        OSError: it cannot be read, or the disk is full.
    """
    place = Path(copy)
    if not place.exists():
        download(unit.url, place, unit.size_bytes, parts=unit.parts)
    got = place.stat().st_size
    if got != unit.size_bytes:
        place.unlink()
        raise SourceError(f"{unit.url}: has {got} bytes, listed were {unit.size_bytes}; run the same command again")
    return replace(unit, url=copy, parts=())
