"""Kinds of sources: how each finds its samples. What differs between them is in `SOURCES` and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.units import SourceKind, SourceSpec, Unit
from hfbucket.sources import folder, parquet, tars
from hfbucket.sources.listing import Files, Listing
from hfbucket.sources.rows import Look, Scanned

__all__ = ["SOURCES", "Files", "Listing", "Source"]


class ListUnits(Protocol):
    """How a source is listed."""

    def __call__(self, spec: SourceSpec, number: int, config: Config, files: Files | None = None) -> Listing:
        """Return the units of the source of this number; `files` are its files where they were looked up before."""


class ScanUnit(Protocol):
    """How a unit is scanned."""

    def __call__(self, unit: Unit, config: Config, look: Look = ..., aside: Path | None = ...) -> Scanned:
        """Return the rows of a unit, schema INDEX, and what else was seen.

        Args:
            look: looks at its images.
            aside: the folder for rows that are too many to be held in memory.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What one kind of source can do."""

    list_units: ListUnits
    scan_unit: ScanUnit
    #: (unit, rows with path, offset, size_bytes) to (number in the rows, image bytes), in the order of the unit.
    read_rows: Callable[[Unit, pa.Table, Config], Iterator[tuple[int, bytes]]]
    #: Whether single images of a unit can be read by path, or by offset and size.
    random_access: Callable[[Unit], bool]


SOURCES: Final[Mapping[SourceKind, Source]] = {
    "folder": Source(
        list_units=folder.list_units,
        scan_unit=folder.scan_unit,
        read_rows=folder.read_rows,
        random_access=folder.random_access,
    ),
    "tars": Source(
        list_units=tars.list_units,
        scan_unit=tars.scan_unit,
        read_rows=tars.read_rows,
        random_access=tars.random_access,
    ),
    "parquet": Source(
        list_units=parquet.list_units,
        scan_unit=parquet.scan_unit,
        read_rows=parquet.read_rows,
        random_access=parquet.random_access,
    ),
}
"""Kind to functions."""
