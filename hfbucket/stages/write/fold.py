"""Receipts folded into what an export tells about its samples: tables, counts, statistics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.card.statistics import Statistics, sample_statistics
from hfbucket.core.events import OnEvent, Progress
from hfbucket.core.keys import part_file
from hfbucket.core.manifest.model import SampleTable
from hfbucket.core.outcomes import CODE, EXPORTED, OUTCOMES
from hfbucket.core.plan.model import Plan
from hfbucket.core.row_groups import regrouped
from hfbucket.io.arrow import give_back
from hfbucket.io.hashes import sha256_of
from hfbucket.io.index_files import Index
from hfbucket.io.places import Place, made_here
from hfbucket.io.receipts import Receipt, Rejected, samples_of
from hfbucket.io.tables import table_writer
from hfbucket.schemas import LEDGER, SAMPLES
from hfbucket.stages.twins import TwinDetails

_GROUP_ROWS: Final = 65_536
_GROUP_BYTES: Final = 1 << 26
"""Of captions and metadata: a row group ends where it has so many of them, for whoever reads one holds it."""

_GROUPS_PER_PART: Final = 16

_SIZE_OUTCOMES: Final = tuple(CODE[name] for name in ("skipped_too_small", "skipped_too_cropped"))
"""Outcomes whose detail is the image's size."""


@dataclass(slots=True)
class Totals:
    """What the samples add up to."""

    statistics: Statistics = field(default_factory=lambda: sample_statistics(SAMPLES.empty_table()))
    #: Images by the caption variant that was selected.
    selected: Counter[str] = field(default_factory=Counter)
    #: Images by their own image_mode.
    modes: Counter[str] = field(default_factory=Counter)

    def add(self, samples: pa.Table) -> None:
        """Take the samples of one shard."""
        self.statistics += sample_statistics(samples)
        self.selected.update(_counted(samples["caption_variant"]))
        self.modes.update(_counted(samples["image_mode"]))

    def with_ok(self, variant: str) -> int:
        """Return how many images have a caption of this variant that is not blank, chosen or not."""
        measure = self.statistics.caption_characters_by_variant.get(variant)
        return measure.images if measure else 0


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist() if entry["values"]}


def write_samples(
    export: Place, receipts: Sequence[Receipt], folder: Place, *, on_event: OnEvent
) -> tuple[tuple[SampleTable, ...], Totals]:
    """Write the sample tables, sorted by shard and offset; return their entries and what the samples add up to.

    Args:
        folder: of the receipts.
    """
    totals = Totals()
    total = sum(receipt.count for receipt in receipts)

    def tables() -> Iterator[pa.Table]:
        done = 0
        ordered = sorted(receipts, key=lambda receipt: receipt.file.encode("utf-8"))
        for samples in chain.from_iterable(samples_of(folder, [receipt.file for receipt in ordered])):
            totals.add(samples)
            done += samples.num_rows
            on_event(Progress(stage="finish", done=done, total=total, unit="images"))
            yield samples

    return write_parts(export, "samples", SAMPLES, tables()), totals


def write_ledger(
    export: Place, index: Index, plan: Plan, rejected: Iterable[Rejected], dedupe: str
) -> tuple[SampleTable, ...]:
    """Write the ledger: every input in source order with its outcome; return its files.

    Args:
        dedupe: the setting that duplicates were looked for with.
    """
    rows = (table for _, table in ledger_rows(index, plan, rejected, dedupe))
    return write_parts(export, "ledger", LEDGER, rows)


def ledger_rows(index: Index, plan: Plan, rejected: Iterable[Rejected], dedupe: str) -> Iterator[tuple[int, pa.Table]]:
    """Yield the ledger's rows of every input, piece by piece, each with the position of its first one."""
    twins = TwinDetails(index, plan.twins, dedupe)
    later = {entry.image_id: entry for entry in rejected}
    later_ids = pa.array(list(later), pa.string())
    for start, piece in index.groups("image_id", "detail", "width", "height"):
        yield start, _ledger_rows(piece, start, plan, twins, later, later_ids)


def _ledger_rows(
    piece: pa.Table, start: int, plan: Plan, twins: TwinDetails, later: dict[str, Rejected], later_ids: pa.Array
) -> pa.Table:
    codes = plan.outcome[start : start + piece.num_rows].copy()
    stop = start + piece.num_rows
    filters = plan.filtered.details(np.arange(start, stop))
    detail = pc.coalesce(twins.between(start, stop), filters, _size_details(piece, codes))
    texts: list[str | None] | None = None
    if later:
        ids = piece["image_id"].combine_chunks()
        hit = pc.is_in(ids, value_set=later_ids).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(hit & (codes == EXPORTED)).tolist():
            entry = later[ids[row].as_py()]
            codes[row] = CODE[entry.outcome]
            texts = detail.to_pylist() if texts is None else texts
            texts[row] = entry.detail
    names = pa.array(OUTCOMES, pa.string()).take(pa.array(codes))
    details = detail if texts is None else pa.array(texts, pa.string())
    return pa.table([piece["image_id"], names, details], schema=LEDGER)


def _size_details(piece: pa.Table, codes: npt.NDArray[np.uint8]) -> pa.ChunkedArray:
    """Return the details: what the scan said, or the size of an image that is left out for it."""
    sizes = pc.binary_join_element_wise(piece["width"].cast(pa.string()), piece["height"].cast(pa.string()), "x")
    by_size = pa.array(np.isin(codes, _SIZE_OUTCOMES))
    return pc.if_else(by_size, sizes, piece["detail"])


def write_parts(export: Place, name: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> tuple[SampleTable, ...]:
    """Write tables as `<name>/part-00000.parquet` and so on, in row groups and parts that their rows alone decide."""
    groups = regrouped(tables, schema, most_rows=_GROUP_ROWS, most_bytes=_GROUP_BYTES)
    written: list[SampleTable] = []
    group = next(groups, None)
    while group is not None:
        file = part_file(name, len(written))
        rows = 0
        with made_here(export / file) as here:
            with table_writer(here, schema) as writer:
                for _ in range(_GROUPS_PER_PART):
                    heavy = group.nbytes >= _GROUP_BYTES
                    if heavy:
                        give_back()  # what it was joined of
                    writer.write_table(group, row_group_size=group.num_rows)
                    rows += group.num_rows
                    group = None  # gone before the next one is gathered
                    if heavy:
                        give_back()
                    if (group := next(groups, None)) is None:
                        break
            with here.open("rb") as whole:
                sha256 = sha256_of(whole)
            written.append(SampleTable(file=file, rows=rows, bytes=here.stat().st_size, sha256=sha256))
    return tuple(written)
