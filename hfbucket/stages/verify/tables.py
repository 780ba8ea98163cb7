"""The Parquet files of an export, checked: sample tables and ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hfbucket.core.card.statistics import Statistics, sample_statistics
from hfbucket.core.checks.layout import LAYOUT_COLUMNS, check_cuts, check_member_order, planned_bytes
from hfbucket.core.checks.problems import Problem, problem
from hfbucket.core.checks.tables import (
    TOTALS_COLUMNS,
    check_ledger_names,
    check_ledger_sums,
    check_order,
    check_totals,
    key_bytes,
    misplaced,
)
from hfbucket.core.key_sets import keys_of
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.outcomes import EXPORTED, OUTCOMES
from hfbucket.io.export_files import open_file
from hfbucket.io.tables import BUFFER_BYTES, batches, parquet_of
from hfbucket.schemas import LEDGER, SAMPLES

_COLUMNS: Final = tuple(dict.fromkeys((*TOTALS_COLUMNS, *LAYOUT_COLUMNS, "key", "jpg_offset")))

_MOST_MISPLACED: Final = 100

__all__ = ["TableFacts", "check_ledger_files", "check_sample_tables"]

_BROKEN = (OSError, pa.ArrowException, ValueError)
"""What a Parquet file that was damaged raises."""


@dataclass(kw_only=True, slots=True)
class TableFacts:
    """What one pass over the tables tells later checks."""

    #: The sample tables that hold rows of each shard.
    tables_of_shard: dict[str, list[str]] = field(default_factory=dict)
    #: 16 bytes for each sample, by the sample tables; None where they are not whole.
    keys: bytes | None = None
    #: Of each sample, a place in `shards`.
    shard_of_row: list[npt.NDArray[np.int32]] = field(default_factory=list)
    shards: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Totals:
    """What the sample tables add up to."""

    #: Samples by their own image mode, and by the caption variant that was selected.
    modes: Counter[str] = field(default_factory=Counter)
    variants: Counter[str] = field(default_factory=Counter)
    #: By shard.
    samples: Counter[str] = field(default_factory=Counter)
    planned_bytes: Counter[str] = field(default_factory=Counter)
    statistics: Statistics = field(default_factory=lambda: sample_statistics(SAMPLES.empty_table()))

    def add(self, table: pa.Table, image_mode: str | None) -> None:
        """Take the samples of one table."""
        self.modes.update(_counted(table.column("image_mode")))
        self.variants.update(_counted(table.column("caption_variant")))
        self.samples.update(_counted(table.column("shard")))
        planned = pa.table({"shard": table.column("shard"), "bytes": planned_bytes(table, image_mode)})
        sums = planned.group_by("shard").aggregate([("bytes", "sum")])
        self.planned_bytes.update(dict(zip(*(sums[name].to_pylist() for name in ("shard", "bytes_sum")), strict=True)))
        self.statistics += sample_statistics(table)

    @property
    def ok(self) -> Counter[str]:
        """Samples that have a caption of each variant."""
        return Counter({name: m.images for name, m in self.statistics.caption_characters_by_variant.items()})


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist() if entry["values"]}


def check_sample_tables(export: str, manifest: Manifest, files: Sequence[str], facts: TableFacts) -> Iterator[Problem]:
    """Yield what is wrong with the sample tables as a whole, and note which of them holds which shard."""
    totals = Totals()
    complete = len(files) == len(manifest.samples)
    rows = {table.file: table.rows for table in manifest.samples}
    shards = {shard.file for entry in manifest.buckets.values() for shard in entry.shards}
    keys = bytearray()
    last = ""
    for file in files:
        part = _Part(file=file)
        try:
            for table in _groups(export, file, SAMPLES, _COLUMNS):
                part.add(table, manifest)
                totals.add(table, manifest.image_mode)
        except _BROKEN as error:
            complete = False
            yield problem("samples", f"cannot be read as sample table: {error}", file=file)
            continue
        keys += part.keys
        if part.rows != rows[file]:
            yield problem("samples", f"must have {rows[file]} rows, got {part.rows}", file=file)
        yield from part.out_of_order
        names = list(part.shards)
        if names and names[0].encode() < last.encode():
            yield problem("samples", "must be sorted by shard and offset over all parts", file=file)
        last = names[-1] if names else last
        for name in names:
            facts.tables_of_shard.setdefault(name, []).append(file)
        _note_shards(facts, part)
        for name in sorted({*names} - shards):
            yield problem("samples", f"has rows of {name}, which the manifest does not name", file=file)
        yield from part.misplaced
    for name in sorted(shards - facts.tables_of_shard.keys()) if complete else ():
        yield problem("samples", "the sample tables have no row of it", file=name)
    if complete:
        facts.keys = bytes(keys)
        yield from check_totals(manifest, totals.modes, totals.variants, totals.ok, totals.statistics)
        yield from check_cuts(manifest, totals.planned_bytes, totals.samples)


@dataclass(kw_only=True, slots=True)
class _Part:
    """What one sample table tells, row group by row group: it counts where all of them can be read."""

    file: str
    rows: int = 0
    keys: bytearray = field(default_factory=bytearray)
    #: Number of every shard, in their order, and of each row the number of its shard.
    shards: dict[str, int] = field(default_factory=dict)
    shard_of_row: list[npt.NDArray[np.int32]] = field(default_factory=list)
    out_of_order: list[Problem] = field(default_factory=list)
    misplaced: list[Problem] = field(default_factory=list)
    #: Shard and offset of the last row.
    _last: pa.Table | None = None

    def add(self, table: pa.Table, manifest: Manifest) -> None:
        """Take the rows of one row group."""
        self.keys += b"".join(map(key_bytes, table["key"].to_pylist()))
        places = table.select(["shard", "jpg_offset"])
        before = 0 if self._last is None else 1
        if not self.out_of_order:
            here = places if self._last is None else pa.concat_tables([self._last, places])
            self.out_of_order += check_order(here["shard"], here["jpg_offset"], self.file, first=self.rows - before)
        self._last = places.slice(max(0, table.num_rows - 1)) if table.num_rows else self._last
        encoded = table["shard"].combine_chunks().dictionary_encode()
        numbers = [self.shards.setdefault(name, len(self.shards)) for name in encoded.dictionary.to_pylist()]
        self.shard_of_row.append(np.asarray(numbers, dtype=np.int32)[encoded.indices.to_numpy()])
        if len(self.misplaced) < _MOST_MISPLACED:
            self.misplaced += [*misplaced(manifest, table)][: _MOST_MISPLACED - len(self.misplaced)]
        self.rows += table.num_rows


def _groups(export: str, file: str, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield columns of a Parquet file, some rows of a row group at a time, every page checked by its checksum.

    Raises:
        ValueError: its schema or its statistics are others.
        OSError, ArrowException: it is damaged.
    """
    checked = {"page_checksum_verification": True, "buffer_size": BUFFER_BYTES}
    with open_file(export, file) as opened, parquet_of(opened, **checked) as parquet:
        if not parquet.schema_arrow.remove_metadata().equals(schema):
            raise ValueError(f"columns must be {', '.join(schema.names)} with their types")
        for number in range(parquet.num_row_groups):
            limits: dict[str, list[str]] = {field.name: [] for field in schema if field.type == pa.string()}
            for batch in batches(parquet, columns, [number]):
                table = pa.Table.from_batches([batch]).select(list(columns))
                for name in limits.keys() & set(columns):
                    limits[name] += [text for text in pc.min_max(table[name]).as_py().values() if text is not None]
                yield table
            _check_statistics(parquet.metadata.row_group(number), number, limits)


def _check_statistics(group: pq.RowGroupMetaData, number: int, limits: Mapping[str, Sequence[str]]) -> None:
    """Compare what the footer says of a row group's texts with the texts: readers skip row groups by it.

    Args:
        limits: the least and the greatest of some of its rows, of all rows, by column.

    Raises:
        ValueError: they differ.
    """
    for leaf in map(group.column, range(group.num_columns)):
        name, stated = leaf.path_in_schema, leaf.statistics
        found = limits.get(name)
        if not found or stated is None or not stated.has_min_max:
            continue
        if (stated.min, stated.max) != (min(map(str.encode, found)).decode(), max(map(str.encode, found)).decode()):
            raise ValueError(f"the footer says other limits of {name} in row group {number} than it has")


def _note_shards(facts: TableFacts, part: _Part) -> None:
    numbers = {name: place for place, name in enumerate(facts.shards)}
    places = np.asarray([numbers.setdefault(name, len(numbers)) for name in part.shards], dtype=np.int32)
    facts.shards = list(numbers)
    facts.shard_of_row += [places[rows] for rows in part.shard_of_row]


def check_ledger_files(export: str, manifest: Manifest, files: Sequence[str], facts: TableFacts) -> Iterator[Problem]:
    """Yield what is wrong with the ledger: its parts, its sums, and the images it calls exported."""
    outcomes: Counter[str] = Counter()
    exported = bytearray()
    for file in files:
        try:
            for table in _groups(export, file, LEDGER, LEDGER.names):
                ids = table.column("image_id").filter(pc.equal(table.column("outcome"), OUTCOMES[EXPORTED]))
                exported += keys_of(ids).tobytes()
                counts = pc.value_counts(table["outcome"]).to_pylist()
                outcomes.update({entry["values"]: entry["counts"] for entry in counts})
        except _BROKEN as error:
            yield problem("ledger", f"cannot be read as ledger: {error}", file=file)
            return
    yield from check_ledger_sums(manifest, outcomes)
    if facts.keys is not None:
        yield from check_ledger_names(bytes(exported), facts.keys)
        shard_of_row = np.concatenate(facts.shard_of_row)
        yield from check_member_order(manifest, facts.keys, shard_of_row, facts.shards, bytes(exported))
