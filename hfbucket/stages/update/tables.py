"""The tables of an export that has grown: old rows as they are, new ones where they belong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.duplicates.words import OF_REMOVED
from hfbucket.core.manifest.model import Manifest, SampleTable
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.core.plan.growth import LEFT_OUT, NEW, REMOVED, Bools, Growth, Int64s, Known
from hfbucket.core.plan.model import Plan
from hfbucket.io.export_files import ledger_parts
from hfbucket.io.index_files import Index
from hfbucket.io.receipts import Receipt, read_samples
from hfbucket.io.tables import read_groups
from hfbucket.schemas import LEDGER, SAMPLES
from hfbucket.stages.update.known import left_out_rows
from hfbucket.stages.write.fold import Totals, ledger_rows, write_parts

__all__ = ["LedgerChange", "grown_samples"]


def grown_samples(
    folder: Path, new: Path, manifest: Manifest, receipts: Sequence[Receipt], receipts_folder: Path
) -> tuple[tuple[SampleTable, ...], Totals]:
    """Write the sample tables with the samples of new shards among the old ones; return them and what they add up to.

    Args:
        folder: of the export.
        new: folder for the new tables.
    """
    totals = Totals()
    waiting = sorted((receipt.file for receipt in receipts if receipt.count), key=lambda file: file.encode("utf-8"))

    def rows() -> Iterator[pa.Table]:
        left = list(waiting)
        for table in manifest.samples:
            for group in read_groups(folder / table.file, SAMPLES.names):
                old = group.cast(SAMPLES)
                while left and (before := _rows_before(old, left[0])) < old.num_rows:
                    yield old.slice(0, before)
                    yield from read_samples(receipts_folder, left.pop(0))
                    old = old.slice(before)
                yield old
        for file in left:
            yield from read_samples(receipts_folder, file)

    def counted() -> Iterator[pa.Table]:
        for table in rows():
            totals.add(table)
            yield table

    return write_parts(new, "samples", SAMPLES, counted()), totals


def _rows_before(samples: pa.Table, shard: str) -> int:
    """Return how many rows, sorted by the UTF-8 of their shard, come before those of another shard."""
    later = pc.index(pc.greater(samples["shard"].cast(pa.binary()), shard.encode("utf-8")), True).as_py()
    return samples.num_rows if later < 0 else int(later)


@dataclass(slots=True)
class LedgerChange:
    """What an update changes in the ledger: rows of new inputs, and of those that had been left out for another reason.

    A row that changes moves to the end, so that the samples of every new shard stand in the ledger's order.
    """

    index: Index
    plan: Plan
    growth: Growth
    known: Known
    receipts: Sequence[Receipt]
    dedupe: str
    #: bool[left out]: rows of the old ledger that go.
    moved: Bools = field(init=False)
    #: Inputs by outcome: of rows that come and of those that go.
    coming: Counter[str] = field(default_factory=Counter)
    going: Counter[str] = field(default_factory=Counter)
    #: Inputs by outcome that the export has not seen before.
    new: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.moved = np.zeros(len(self.known.left_out), dtype=bool)
        for start, table, codes in self._tables():
            comes = self._comes(start, codes)
            here = slice(start, start + table.num_rows)
            listed = self.growth.listed[here][comes & (self.growth.state[here] == LEFT_OUT)]
            self.moved[listed] = True
            self.coming.update(_names(codes[comes]))
            self.new.update(_names(codes[self.growth.state[here] == NEW]))
        self.going.update(_names(self.known.outcome[self.moved]))

    def write(self, folder: Path, new: Path) -> tuple[SampleTable, ...]:
        """Write the ledger of the export in `folder` as it is now to `new`; return its parts."""
        return write_parts(new, "ledger", LEDGER, self._rows(folder))

    def _rows(self, folder: Path) -> Iterator[pa.Table]:
        start = 0
        for path in ledger_parts(folder):
            for group in read_groups(path, LEDGER.names):
                out = left_out_rows(group).to_numpy()
                stays = np.ones(len(out), dtype=bool)
                stays[out] = ~self.moved[start : start + np.count_nonzero(out)]
                start += int(np.count_nonzero(out))
                yield group.filter(pa.array(stays)).cast(LEDGER)
        for start, table, codes in self._tables():
            yield table.filter(pa.array(self._comes(start, codes)))

    def _tables(self) -> Iterator[tuple[int, pa.Table, Int64s]]:
        rejected = [entry for receipt in self.receipts for entry in receipt.rejected]
        twins = self.plan.twins
        unnamed = pa.array(np.sort(twins.rows[self.growth.state[twins.twin] == REMOVED]))
        for start, table in ledger_rows(self.index, self.plan, rejected, self.dedupe):
            rows = pa.array(np.arange(start, start + table.num_rows))
            detail = pc.if_else(pc.is_in(rows, value_set=unnamed), OF_REMOVED, table["detail"])
            table = table.set_column(table.schema.get_field_index("detail"), LEDGER.field("detail"), detail)
            yield start, table, pc.index_in(table["outcome"], value_set=pa.array(OUTCOMES)).to_numpy().astype(np.int64)

    def _comes(self, start: int, codes: Int64s) -> Bools:
        """Return which rows are new, or have another outcome than the ledger says."""
        here = slice(start, start + len(codes))
        state, listed = self.growth.state[here], self.growth.listed[here]
        # -1 is the last one, of nothing.
        before = np.append(self.known.outcome, np.uint8(0))[listed]
        comes: Bools = (state == NEW) | ((state == LEFT_OUT) & (codes != before))
        return comes


def _names(codes: npt.NDArray[np.integer]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(OUTCOMES)).tolist()
    return {name: count for name, count in zip(OUTCOMES, counts, strict=True) if count}
