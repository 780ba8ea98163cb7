"""The index on disk: one Parquet file per unit, read by column or by row, in source order."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hfbucket.core.hashing import table_sha256
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.io import tables
from hfbucket.schemas import INDEX, INDEX_LOGICAL

_SHA256 = b"hfbucket.index_sha256"
_FACTS = b"hfbucket.facts"


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexedUnit:
    """A unit that was scanned, and where its rows are."""

    unit: Unit
    #: The Parquet file, schema INDEX.
    file: str
    rows: int
    #: Over the logical rows, `INDEX_LOGICAL`.
    index_sha256: str
    facts: UnitFacts


def write_unit(file: str, unit: Unit, table: pa.Table, facts: UnitFacts) -> IndexedUnit:
    """Write the rows of a unit with what the scan learned, atomically; return where they are."""
    sha256 = table_sha256(table.select(list(INDEX_LOGICAL)))
    metadata = {
        _SHA256.decode(): sha256,
        _FACTS.decode(): json.dumps(dataclasses.asdict(facts), sort_keys=True, ensure_ascii=True),
    }
    tables.write_table(file, table, metadata=metadata)
    return IndexedUnit(unit=unit, file=file, rows=table.num_rows, index_sha256=sha256, facts=facts)


def read_unit(file: str, unit: Unit) -> IndexedUnit | None:
    """Return the unit that `write_unit` wrote to a file; None where there is none or it is no such file."""
    if not os.path.exists(file):
        return None
    try:
        footer = pq.read_metadata(file)
        words = footer.metadata or {}
        facts = _facts(json.loads(words[_FACTS]))
        sha256 = words[_SHA256].decode()
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError):
        return None
    return IndexedUnit(unit=unit, file=file, rows=footer.num_rows, index_sha256=sha256, facts=facts)


def _facts(values: dict[str, object]) -> UnitFacts:
    return UnitFacts(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """Every source image of a plan: the rows of all units, one after another, in source order.

    A position is a row's number in that order, from 0. Captions and metadata stay on disk until they are taken.
    """

    sources: tuple[SourceSpec, ...]
    units: tuple[IndexedUnit, ...]
    #: Per source: what its listing told beside the units' own facts.
    listing_facts: tuple[UnitFacts, ...] = ()
    #: Per source: how many units it has; more than are indexed where only a sample was scanned.
    units_listed: tuple[int, ...] = ()
    #: First position of each unit, and the number of rows at the end; int64[units + 1].
    starts: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        counts = np.array([0, *(unit.rows for unit in self.units)], dtype=np.int64)
        object.__setattr__(self, "starts", np.cumsum(counts))

    @property
    def rows(self) -> int:
        """The number of source images."""
        return int(self.starts[-1])

    def columns(self, *names: str) -> pa.Table:
        """Return whole columns, one row per source image."""
        schema = pa.schema([INDEX.field(name) for name in names])
        pieces = (tables.read_table(unit.file, names).cast(schema) for unit in self.units if unit.rows)
        return pa.concat_tables([schema.empty_table(), *pieces])

    def groups(self, *names: str) -> Iterator[tuple[int, pa.Table]]:
        """Return (first position, rows) of every row group: whole columns with memory for one group."""
        schema = pa.schema([INDEX.field(name) for name in names])
        for start, unit in zip(self.starts.tolist(), self.units, strict=False):
            for table in tables.read_groups(unit.file, names) if unit.rows else ():
                yield start, table.cast(schema)
                start += table.num_rows

    def take(self, positions: npt.NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Return the rows at `positions`, in the order given, read only from where they are."""
        schema = pa.schema([INDEX.field(name) for name in columns])
        positions = np.asarray(positions, dtype=np.int64)
        order = np.argsort(positions, kind="stable")
        ascending = positions[order]
        # A unit's rows are one run of the ascending positions.
        edges = np.searchsorted(ascending, self.starts)
        pieces = [schema.empty_table()]
        for number in np.flatnonzero(np.diff(edges)):
            local = pa.array(ascending[edges[number] : edges[number + 1]] - self.starts[number])
            pieces.append(tables.read_rows(self.units[number].file, local, columns).cast(schema))
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order), dtype=np.int64)
        return pa.concat_tables(pieces).take(pa.array(back))

    def unit_of(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the number (in `units`) of the unit that holds each position."""
        return np.searchsorted(self.starts, positions, side="right").astype(np.int64) - 1

    def source_sha256(self, source: int) -> str:
        """Return the hash of a source's logical rows: sha256 over its units' hashes, in order."""
        hashes = (unit.index_sha256 for unit in self.units if unit.unit.source == source)
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    def facts(self, source: int) -> UnitFacts:
        """Return what listing and scanning a source told."""
        listed = self.listing_facts[source] if self.listing_facts else UnitFacts()
        scanned = (unit.facts for unit in self.units if unit.unit.source == source)
        return sum(scanned, start=listed)
