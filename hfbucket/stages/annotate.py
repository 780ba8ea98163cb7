"""Stage annotate: captions and metadata of annotation files joined onto the index, unit by unit.

What the scan found stays in the cache as it is; a unit with annotated images gets rows of its own beside it, named by
what was joined: they are made anew exactly when an annotation of the unit's own images changed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.config import DEFAULT_VARIANTS, Config
from hfbucket.core.annotations import Column, Int64s, Matches, match
from hfbucket.core.events import Notice, OnEvent
from hfbucket.core.hashing import canonical_json, sha256_of, table_sha256
from hfbucket.core.keys import digest_of
from hfbucket.core.units import UnitFacts
from hfbucket.errors import BuildError, SourceError
from hfbucket.io.images.formats import EXTENSION_FORMATS
from hfbucket.io.index_files import Index, IndexedUnit, read_unit, write_unit
from hfbucket.io.tables import read_table
from hfbucket.schemas import ANNOTATIONS, INDEX
from hfbucket.sources.annotations.fields import place_of
from hfbucket.sources.annotations.table import Annotations
from hfbucket.sources.rows import id_text
from hfbucket.stages.caches import cache_folder
from hfbucket.stages.survey import Attached, Survey

_VERSION: Final = 1
"""Raised whenever a join gives other rows for the same scan and annotations."""

_IMAGE_EXTENSION: Final = rf"(?i)\.({'|'.join(EXTENSION_FORMATS)})$"
_SHOWN: Final = 3


def annotated(index: Index, found: Survey, *, on_event: OnEvent) -> Index:
    """Return the index with what annotation files say about its images.

    Raises:
        SourceError: a file that was named says nothing about any image.
    """
    joins: dict[int, tuple[Int64s, Annotations]] = {}
    notes: dict[int, list[str]] = {}
    for attached in found.annotations:
        numbers = [n for n, unit in enumerate(index.units) if attached.source in (None, unit.unit.source)]
        part = replace(index, units=tuple(index.units[number] for number in numbers))
        matches = match(attached.annotations.table["name"], _names(part), _without_extension)
        notes.setdefault(attached.source or 0, []).extend(_told(attached, matches, part, found.config, on_event))
        for number, start, unit in zip(numbers, part.starts.tolist(), part.units, strict=False):
            joins[number] = (matches.record_of_image[start : start + unit.rows], attached.annotations)
    units = [_joined(unit, joins.get(number), found) for number, unit in enumerate(index.units)]
    if found.config.id_column is not None:
        units = [_with_ids(unit, found.config) for unit in units]
    facts = tuple(
        replace(facts, notes=tuple(sorted({*facts.notes, *notes.get(number, ())})))
        for number, facts in enumerate(index.listing_facts)
    )
    return replace(index, units=tuple(units), listing_facts=facts)


def _names(index: Index) -> pa.Table:
    """Return image_id, archive and member of every image; no member where a Parquet file's row has only a number."""
    table = index.columns("image_id", "archive", "member", "offset")
    kinds = [unit.unit.kind == "parquet" for unit in index.units]
    is_row = pa.array(np.repeat(np.array(kinds, dtype=bool), np.diff(index.starts)))
    unnamed = pc.and_(is_row, pc.equal(table["member"], table["offset"].cast(pa.string())))
    member = pc.if_else(unnamed, pa.scalar(None, pa.string()), table["member"])
    return table.select(["image_id", "archive"]).append_column("member", member)


def _without_extension(names: Column) -> Column:
    return pc.replace_substring_regex(names, _IMAGE_EXTENSION, "")


def _told(attached: Attached, matches: Matches, index: Index, config: Config, on_event: OnEvent) -> list[str]:
    """Tell how annotations and images fit; return what a user should be warned of.

    Raises:
        SourceError: not at all, and the file was named.
    """
    names = attached.annotations.table["name"]
    where = attached.annotations.name
    count = int(np.count_nonzero(matches.record_of_image >= 0))
    if not count and config.sample_units is None:
        images = index.take(np.arange(min(index.rows, 1), dtype=np.int64), ("image_id",))["image_id"].to_pylist()
        text = f"names none of the {index.rows:,} images: it has {names[0].as_py()!r}, an image is {images[0]!r}"
        if len(matches.ambiguous):
            text += f"; {len(matches.ambiguous):,} of its names could mean several images"
        if not attached.found:
            raise SourceError(f"{where}: {text}. Is it of this source?")
        return [f"{where}: looks like annotations, but {text}: not used"]
    text = f"{where}: annotations of {count:,} of {index.rows:,} images"
    on_event(Notice(level="info", text=text + (", found beside them" if attached.found else "")))
    notes = []
    if len(matches.ambiguous):
        notes.append(f"{where}: {_some(names, matches.ambiguous)} could mean several images, or ones that others name")
    if len(matches.unmatched) and config.sample_units is None:
        notes.append(f"{where}: {_some(names, matches.unmatched)} name no image")
    return [f"{note}: not used" for note in notes]


def _some(names: pa.ChunkedArray, rows: Int64s) -> str:
    shown = ", ".join(names.take(pa.array(rows[:_SHOWN])).to_pylist())
    return f"{len(rows):,} of {len(names):,} records ({shown}{', …' if len(rows) > _SHOWN else ''})"


def _joined(unit: IndexedUnit, join: tuple[Int64s, Annotations] | None, found: Survey) -> IndexedUnit:
    """Return the unit with the records of its images (-1 for none) in its rows, and the variants there are now."""
    rows, said, keys = np.zeros(0, dtype=np.int64), ANNOTATIONS.empty_table(), list[str]()
    if join is not None:
        records, annotations = join
        rows = np.flatnonzero(records >= 0)
        said = annotations.rows(records[rows])
        keys = _keys(said, annotations)
    scanned, variants = list(found.named_columns or DEFAULT_VARIANTS), list(found.config.variants)
    if not len(rows) and variants == scanned:
        return unit
    what = said.drop_columns(["name", "keys"]).append_column("row", pa.array(rows))
    change = _Join(rows=rows, said=said, keys=keys, variants=variants, scanned=scanned, columns=found.named_columns)
    key = [_VERSION, table_sha256(what), keys, variants, found.named_columns]
    return _made(unit, key, found.config, change)


def _keys(said: pa.Table, annotations: Annotations) -> list[str]:
    """Return the metadata keys of these records."""
    return sorted({key for number in pc.unique(said["keys"]).to_pylist() for key in annotations.keys[number]})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Join:
    """Puts records into rows."""

    rows: Int64s
    #: schemas.ANNOTATIONS, one per row.
    said: pa.Table
    keys: Sequence[str]
    #: Of the captions there are to be, and of those that the scan looked for.
    variants: Sequence[str]
    scanned: Sequence[str]
    #: Columns that the user named.
    columns: Sequence[str]

    def __call__(self, table: pa.Table, facts: UnitFacts, prefix: str) -> tuple[pa.Table, UnitFacts]:
        """Return the rows and facts of a unit with these records."""
        if self.variants != self.scanned:
            table = _set(table, "captions", self._other_variants(table["captions"]))
        if not len(self.rows):
            return table, facts
        table = _put(table, "captions", self.rows, self._captions(table))
        table = _put(table, "meta", self.rows, self._meta(table))
        repaired = np.array(table["caption_repaired"].fill_null(False).to_numpy())
        repaired[self.rows] |= self.said["repaired"].to_numpy()
        table = _set(table, "caption_repaired", pa.array(repaired))
        kept = tuple(sorted({*facts.kept_keys, *self.keys}))
        facts = replace(
            facts,
            meta_keys=tuple(sorted({*facts.meta_keys, *self.keys, *self._found_columns()})),
            kept_keys=kept,
            sidecars=dict(sorted({**facts.sidecars, "annotations": len(self.rows)}.items())),
        )
        return table, facts

    def _captions(self, table: pa.Table) -> pa.Array:
        """Return the captions of the rows: the record's, where it has none for a variant the row's own."""
        own = table["captions"].take(pa.array(self.rows)).combine_chunks()
        return _lists([pc.coalesce(self._said_of(v), pc.list_element(own, n)) for n, v in enumerate(self.variants)])

    def _other_variants(self, captions: pa.ChunkedArray) -> pa.Array:
        """Return what the scan found, in the places of the variants that there are to be."""
        own = captions.combine_chunks()
        return _lists([
            pc.list_element(own, self.scanned.index(name)) if name in self.scanned else pa.nulls(len(own), pa.string())
            for name in self.variants
        ])  # fmt: skip

    def _said_of(self, variant: str) -> pa.Array:
        """Return what the records have for a variant, as text or null."""
        named = pa.nulls(len(self.rows), pa.string())
        if variant in self.columns:
            named = self._element("named", self.columns.index(variant))
        # `caption` is another name of the first one, where that has not its own
        place = None if variant == "caption" and "caption_1" in self.variants else place_of(variant)
        return named if place is None else pc.coalesce(named, self._element("captions", place))

    def _element(self, column: str, place: int) -> pa.Array:
        """Return one element of every list, null where it is shorter."""
        lists = self.said[column].combine_chunks()
        lengths = pc.list_value_length(lists).to_numpy()
        starts = lists.offsets.to_numpy()[:-1].astype(np.int64) - int(lists.offsets[0].as_py() if len(lists) else 0)
        at = pa.array(starts + place, mask=lengths <= place)
        return lists.flatten().take(at).cast(pa.string())

    def _found_columns(self) -> list[str]:
        return [name for name in self.variants if self._said_of(name).null_count < len(self.rows)]

    def _meta(self, table: pa.Table) -> pa.Array:
        """Return the metadata of the rows: the row's own with the record's over it."""
        own = table["meta"].take(pa.array(self.rows)).to_pylist()
        if all(text in (None, "{}") for text in own):
            return self.said["meta"].cast(pa.string()).combine_chunks()
        said = self.said["meta"].to_pylist()
        return pa.array([_merged(below, above) for below, above in zip(own, said, strict=True)], pa.string())


def _lists(columns: Sequence[pa.Array]) -> pa.Array:
    """Return one list per row with an element of each column."""
    count, rows = len(columns), len(columns[0])
    flat = pa.concat_arrays(columns).take(pa.array(np.arange(count * rows).reshape(count, rows).T.ravel()))
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1) * count, pa.int32()), flat)


def _merged(below: str | None, above: str) -> str:
    if below in (None, "{}"):
        return above
    return below if above == "{}" else canonical_json(json.loads(below) | json.loads(above))


def _with_ids(unit: IndexedUnit, config: Config) -> IndexedUnit:
    """Return the unit with the ids that a metadata column gives."""

    def named(table: pa.Table, facts: UnitFacts, prefix: str) -> tuple[pa.Table, UnitFacts]:
        ids, outcomes, details = (table[name].to_pylist() for name in ("image_id", "outcome", "detail"))
        for row, meta in enumerate(table["meta"].to_pylist()):
            text, problem = id_text(config.id_column, json.loads(meta) if meta else {})
            if not problem:
                ids[row] = prefix + text
            elif outcomes[row] is None:
                outcomes[row], details[row] = "source_errors", problem
        table = _set(table, "image_id", pa.array(ids, pa.string()))
        table = _set(table, "digest", pa.array([digest_of(each) for each in ids], pa.binary(32)))
        table = _set(table, "outcome", pa.array(outcomes, pa.string()))
        return _set(table, "detail", pa.array(details, pa.string())), facts

    return _made(unit, [_VERSION, "ids", config.id_column, unit.unit.prefix], config, named)


def _made(unit: IndexedUnit, key: Any, config: Config, change: Any) -> IndexedUnit:  # noqa: ANN401 - JSON; a change
    """Return a unit with changed rows, from the cache where it has them."""
    name = sha256_of([Path(unit.file).stem, unit.index_sha256, key])
    file = cache_folder(config) / "index" / name[:2] / f"{name}.parquet"
    there = read_unit(str(file), unit.unit)
    if there is not None:
        return there
    table, facts = change(read_table(unit.file, INDEX.names).cast(INDEX), unit.facts, unit.unit.prefix)
    try:
        return replace(write_unit(file, replace(unit.unit, entries=()), table, facts), unit=unit.unit)
    except OSError as error:
        message = f"the index cache cannot be written: {error}; HFBUCKET_CACHE names another folder"
        raise BuildError(message) from error


def _put(table: pa.Table, column: str, rows: Int64s, values: pa.Array) -> pa.Table:
    """Return a table with other values in some rows of a column."""
    chosen = np.arange(table.num_rows, dtype=np.int64)
    chosen[rows] = table.num_rows + np.arange(len(rows))
    both = pa.chunked_array([*table[column].chunks, values.cast(INDEX.field(column).type)])
    return _set(table, column, both.take(pa.array(chosen)))


def _set(table: pa.Table, column: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), INDEX.field(column), values)
