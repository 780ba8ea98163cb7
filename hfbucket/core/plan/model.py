"""The plan: one row per source image with everything that will be done with it; writing only obeys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from hfbucket.core.duplicates.find import Twins
from hfbucket.core.law.buckets import Bucket
from hfbucket.core.plan.filtered import Filtered

ENCODE_BUCKET: Final = 0
"""Resize, crop and encode to the bucket's size."""
ENCODE_NONE: Final = 1
"""Keep the source's own JPEG bytes."""
ENCODE_FULL: Final = 2
"""Encode at full size: passthrough of an image whose bytes do not mean the same to every reader."""

Int8s = npt.NDArray[np.int8]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What becomes of every index row. All arrays are over index rows in source order, pixels and bytes.

    Rows that are left out, and those that an export holds already, have bucket, shard and position -1 and zeros
    elsewhere.
    """

    #: Every bucket of the settings, with or without images: bases largest first, inside a base in table order.
    buckets: tuple[Bucket, ...]
    #: Codes of core.outcomes; 0 is planned to be exported.
    outcome: npt.NDArray[np.uint8]
    #: Position in `buckets`.
    bucket: npt.NDArray[np.int16]
    #: Number of the shard in its bucket, and place in the shard.
    shard: Int32s
    position: Int32s
    #: The place in the priority of the selected caption variant, -1 for none.
    caption_index: Int8s
    #: ENCODE_BUCKET, ENCODE_NONE or ENCODE_FULL.
    encode: Int8s
    resized_w: Int32s
    resized_h: Int32s
    crop_left: Int32s
    crop_top: Int32s
    #: What the sample counts for in shard cuts.
    planned_bytes: Int64s
    #: 16 hex digits of what decides the plan: content settings and every source's index hash.
    plan_id: str
    #: Rows that go as duplicates of another's bytes or pixels.
    twins: Twins = field(default_factory=Twins.none)
    #: Rows that are left out as `filtered`.
    filtered: Filtered = field(default_factory=Filtered.none)

    def shard_rows(self) -> Iterator[tuple[int, int, Int64s]]:
        """Return (bucket, shard, index rows in member order) of every shard, by bucket, then shard."""
        rows = np.flatnonzero(self.shard >= 0)
        bucket, shard = self.bucket[rows], self.shard[rows]
        shards_per_bucket = np.zeros(len(self.buckets), dtype=np.int64)
        np.maximum.at(shards_per_bucket, bucket, shard.astype(np.int64) + 1)
        # Shards numbered through all buckets; a row's place follows from its shard's start: no sort is needed.
        first_shard = np.concatenate(([0], np.cumsum(shards_per_bucket)))
        through = first_shard[bucket] + shard
        starts = np.concatenate(([0], np.cumsum(np.bincount(through, minlength=int(first_shard[-1])))))
        members = np.empty(len(rows), dtype=np.int64)
        members[starts[through] + self.position[rows]] = rows
        for number in np.flatnonzero(np.diff(starts)).tolist():  # shards that stand already have no rows here
            at = int(np.searchsorted(first_shard, number, side="right")) - 1
            yield at, number - int(first_shard[at]), members[starts[number] : starts[number + 1]]
