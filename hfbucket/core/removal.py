"""Taking samples out of a finished export: what stays of its tables, its shards and its summary (pure, columnar)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.duplicates.words import OF_REMOVED, twin_ids
from hfbucket.core.key_sets import Values, is_among, keys_of, to_hex
from hfbucket.core.keys import MEMBERS
from hfbucket.core.outcomes import OUTCOMES

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]

REMOVED: Final = "removed"
BLOCK: Final = 512
"""Bytes of a tar's header, and what members are padded to."""

NO_PARTS: Final[Int64s] = np.zeros((0, 2), dtype=np.int64)


def spans(samples: pa.Table) -> Int64s:
    """Return the first byte and the one after the last of every sample in its shard, int64[n, 2].

    Args:
        samples: `jpg_offset`, `json_offset` and `json_size` of `schemas.SAMPLES`.
    """
    first, last, size = (
        samples[name].to_numpy().astype(np.int64) for name in ("jpg_offset", "json_offset", "json_size")
    )
    return np.stack([first - BLOCK, last + size + -size % BLOCK], axis=1)


@dataclass(slots=True)
class Cut:
    """The sample tables without some samples, piece by piece, and the parts of shards that stay."""

    #: By shard: from byte to byte what stays, int64[·, 2] ascending, piece after piece.
    _parts: dict[str, list[Int64s]] = field(default_factory=dict)
    #: The shards that lose samples.
    _hit: set[str] = field(default_factory=set)
    #: The shard that the last piece ended in, and how many of its bytes are out so far.
    _shard: str = ""
    _out: int = 0

    @property
    def parts(self) -> dict[str, Int64s]:
        """Of every shard that loses samples, from byte to byte what stays, int64[·, 2] ascending; none where all goes.

        Two numbers for what may be every other sample, so no lists of them.
        """
        return {file: np.concatenate([NO_PARTS, *parts]) for file, parts in self._parts.items() if file in self._hit}

    def rows(self, samples: pa.Table, keep: Bools) -> pa.Table:
        """Return the rows that stay, their offsets as they are in the new shards.

        Args:
            samples: SAMPLES of whole tables, by shard and offset; call after call in their order.
            keep: bool[n].
        """
        if samples.num_rows == 0:
            return samples
        span = spans(samples)
        shard = samples["shard"].combine_chunks().dictionary_encode()
        number = shard.indices.to_numpy().astype(np.int64)  # in the order of the rows, so ascending
        names = shard.dictionary.to_pylist()
        out = np.where(keep, 0, span[:, 1] - span[:, 0])
        before = np.cumsum(out) - out  # bytes out of all shards of this piece before each row
        first = np.searchsorted(number, np.arange(len(names)))
        carried = np.zeros(len(names), dtype=np.int64)
        if names[0] == self._shard:
            carried[0] = self._out
        shift = (before - before[first][number]) + carried[number]
        self._shard, self._out = names[-1], int(shift[-1] + out[-1])
        self._note(names, number, span, keep)
        kept = samples.filter(pa.array(keep))
        for member in MEMBERS:
            name = f"{member}_offset"
            moved = pa.array(kept[name].to_numpy() - shift[keep])
            kept = kept.set_column(kept.schema.get_field_index(name), samples.schema.field(name), moved)
        return kept

    def _note(self, names: Sequence[str], number: Int64s, span: Int64s, keep: Bools) -> None:
        self._hit.update(names[at] for at in np.unique(number[~keep]).tolist())
        starts_run = np.append(True, (number[1:] != number[:-1]) | ~keep[:-1]) & keep
        stops_run = np.append((number[1:] != number[:-1]) | ~keep[1:], True) & keep
        runs = np.stack([span[starts_run, 0], span[stops_run, 1]], axis=1)
        edges = np.searchsorted(number[starts_run], np.arange(len(names) + 1))
        for name, start, stop in zip(names, edges[:-1], edges[1:], strict=True):
            parts, more = self._parts.setdefault(name, []), runs[start:stop]
            if parts and len(more) and parts[-1][-1, 1] == more[0, 0]:
                more[0, 0] = parts[-1][-1, 0]
                parts[-1] = parts[-1][:-1]
            if len(more):
                parts.append(more)


def entomb(ledger: pa.Table, keys: Values) -> tuple[pa.Table, pa.ChunkedArray]:
    """Return ledger rows in which inputs are called removed, and the former outcomes of those.

    Of what is removed only the key stays, in the place of the image_id, and no detail: enough to know it again, too
    little to find it. Its duplicates do not name it any more.

    Args:
        keys: of the inputs, ascending.
    """
    its_key = keys_of(ledger["image_id"])
    gone = is_among(its_key, keys) & pc.not_equal(ledger["outcome"], REMOVED).to_numpy()
    hit, names = pa.array(gone), ledger["image_id"].combine_chunks()
    detail = pc.if_else(pa.array(_of_removed(ledger, keys)), OF_REMOVED, ledger["detail"])
    columns = [
        pc.replace_with_mask(names, hit, to_hex(its_key[gone])),
        pc.if_else(hit, REMOVED, ledger["outcome"]),
        pc.if_else(hit, pa.scalar(None, pa.string()), detail),
    ]
    return pa.table(columns, schema=ledger.schema), ledger["outcome"].filter(hit)


def _of_removed(ledger: pa.Table, keys: Values) -> Bools:
    """Return which rows are duplicates of what is removed."""
    is_duplicate = pc.equal(ledger["outcome"], "duplicates_removed").to_numpy()
    twins = twin_ids(pc.fill_null(ledger["detail"].filter(pa.array(is_duplicate)), ""))
    found: Bools = np.zeros(ledger.num_rows, dtype=bool)
    found[is_duplicate] = is_among(keys_of(twins), keys)
    return found


def with_removed(summary: Mapping[str, int], former: Mapping[str, int]) -> dict[str, int]:
    """Return the summary after inputs were removed; its sum stays.

    Args:
        former: how many of them had each outcome before.
    """
    counts = {name: summary.get(name, 0) - former.get(name, 0) for name in OUTCOMES}
    counts[REMOVED] += sum(former.values())
    return {**summary, **counts}


def known_conversions(conversions: Mapping[str, int]) -> dict[str, int]:
    """Return what is still known of what decoding did, once some samples are gone: that nothing was done."""
    return {name: count for name, count in conversions.items() if not count}
