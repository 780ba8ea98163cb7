"""The index on disk: one Parquet file per unit, read by column or by row, in source order."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.core.hashing import rows_sha256
from hfbucket.core.plan.captions import Choice
from hfbucket.core.plan.variants import Merge, merged, merged_sources
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.io import tables
from hfbucket.io.pieces import Pieces
from hfbucket.io.places import Place, made_here
from hfbucket.schemas import CAPTIONS, INDEX, INDEX_LOGICAL

_SHA256 = b"hfbucket.index_sha256"
_FACTS = b"hfbucket.facts"
_LOGICAL = pa.schema([INDEX.field(name) for name in INDEX_LOGICAL])


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


def write_unit(place: Place, unit: Unit, rows: pa.Table | Pieces, facts: UnitFacts) -> IndexedUnit:
    """Write the rows of a unit with what the scan learned, atomically; return where they are."""
    pieces = rows if isinstance(rows, Pieces) else Pieces.of(rows)
    sha256 = rows_sha256(pieces.num_rows, _LOGICAL, pieces.chunks_of)
    metadata = {
        _SHA256.decode(): sha256,
        _FACTS.decode(): json.dumps(dataclasses.asdict(facts), sort_keys=True, ensure_ascii=True),
    }
    with made_here(place) as here, tables.group_writer(here, pieces.schema, tables.ROW_GROUP_ROWS) as writer:
        for table in pieces.tables():
            writer.add(table)
        writer.end(metadata)
    return IndexedUnit(unit=unit, file=str(place), rows=pieces.num_rows, index_sha256=sha256, facts=facts)


def read_unit(file: str, unit: Unit) -> IndexedUnit | None:
    """Return the unit that `write_unit` wrote to a file; None where there is none or it is no such file."""
    if not os.path.exists(file):
        return None
    try:
        with tables.parquet_at(file) as parquet:
            footer = parquet.metadata
        words = footer.metadata or {}
        facts = _facts(json.loads(words[_FACTS]))
        sha256 = words[_SHA256].decode()
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError):
        return None
    return IndexedUnit(unit=unit, file=file, rows=footer.num_rows, index_sha256=sha256, facts=facts)


def _facts(values: dict[str, object]) -> UnitFacts:
    return UnitFacts(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexCaptions:
    """The captions that an index serves in the place of those that its units hold."""

    choice: Choice
    merge: Merge
    #: Of every unit the Parquet file, schema CAPTIONS, of what the workspace has for its rows; nothing without one.
    files: tuple[str, ...] = ()
    #: Of the workspace's captions and their sources; empty without one.
    sha256: str = ""
    #: What the manifest says about where the workspace's captions come from.
    sources: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """Every source image of a plan: the rows of all units, one after another, in source order.

    A position is a row's number in that order, from 0. Captions and metadata stay on disk until they are taken.
    Columns are those of INDEX, and `caption_source_ids` of CAPTIONS; both columns of captions have one entry for each
    variant of `captions.choice.universe`, or without `captions` what the units hold.
    """

    sources: tuple[SourceSpec, ...]
    units: tuple[IndexedUnit, ...]
    #: Per source: what its listing told beside the units' own facts.
    listing_facts: tuple[UnitFacts, ...] = ()
    #: Per source: how many units it has; more than are indexed where only a sample was scanned.
    units_listed: tuple[int, ...] = ()
    captions: IndexCaptions | None = None
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
        pieces = (table for _, table in self._pieces(names, whole=True))
        return pa.concat_tables([_schema(names).empty_table(), *pieces])

    def groups(self, *names: str) -> Iterator[tuple[int, pa.Table]]:
        """Return (first position, rows) piece by piece: whole columns with memory for some rows."""
        yield from self._pieces(names, whole=False)

    def take(self, positions: npt.NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Return the rows at `positions`, in the order given, read only from where they are."""
        positions = np.asarray(positions, dtype=np.int64)
        order = np.argsort(positions, kind="stable")
        ascending = positions[order]
        # A unit's rows are one run of the ascending positions.
        edges = np.searchsorted(ascending, self.starts)
        pieces = [_schema(columns).empty_table()]
        for number in np.flatnonzero(np.diff(edges)).tolist():
            local = pa.array(ascending[edges[number] : edges[number + 1]] - self.starts[number])
            stored = tables.read_rows(self.units[number].file, local, self._stored(columns))
            file = self._caption_file(number, columns)
            said = tables.read_rows(file, local, CAPTIONS.names) if file else None
            pieces.append(self._served(stored, said, columns))
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order), dtype=np.int64)
        return pa.concat_tables(pieces).take(pa.array(back))

    def _pieces(self, names: Sequence[str], *, whole: bool) -> Iterator[tuple[int, pa.Table]]:
        """Yield (first position, rows), unit by unit, as a whole or some at a time."""
        read = _whole if whole else tables.read_beside
        for number, unit in enumerate(self.units):
            start = int(self.starts[number])
            file = self._caption_file(number, names)
            files = [(unit.file, self._stored(names)), *([(file, CAPTIONS.names)] if file else [])]
            for stored, *said in read(files) if unit.rows else ():
                yield start, self._served(stored, said[0] if said else None, names)
                start += stored.num_rows

    def _stored(self, names: Sequence[str]) -> list[str]:
        """Return the columns of a unit's file that these columns are made of."""
        stored = [name for name in names if name in INDEX.names]
        return stored if stored else ["image_id"]  # for the number of rows

    def _caption_file(self, number: int, names: Sequence[str]) -> str | None:
        wanted = any(name in CAPTIONS.names for name in names)
        return self.captions.files[number] if self.captions is not None and self.captions.files and wanted else None

    def _served(self, stored: pa.Table, said: pa.Table | None, names: Sequence[str]) -> pa.Table:
        """Return the named columns of rows of a unit, with what the workspace says about them."""
        columns = dict(zip(stored.column_names, stored.columns, strict=True))
        if self.captions is not None and "captions" in names:
            texts = None if said is None else said["captions"]
            columns["captions"] = merged(columns["captions"], texts, self.captions.merge)
        if "caption_source_ids" in names:
            ids = None if said is None else said["caption_source_ids"]
            columns["caption_source_ids"] = (
                pa.nulls(stored.num_rows, CAPTIONS.field("caption_source_ids").type)
                if self.captions is None
                else merged_sources(ids, stored.num_rows, self.captions.merge)
            )
        return pa.table({name: columns[name] for name in names}).cast(_schema(names))

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


def _schema(names: Sequence[str]) -> pa.Schema:
    return pa.schema([(INDEX if name in INDEX.names else CAPTIONS).field(name) for name in names])


def _whole(files: Sequence[tuple[str, Sequence[str]]]) -> Iterator[tuple[pa.Table, ...]]:
    yield tuple(tables.read_table(file, names) for file, names in files)
