"""The plan: what will be done with every source image; writing only obeys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hfbucket.core.chunks import counts
from hfbucket.core.duplicates.find import Twins
from hfbucket.core.law.buckets import Bucket
from hfbucket.core.law.sizes import Sizes
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.core.plan.filtered import Filtered
from hfbucket.core.plan.weights import Weights

Int8s = npt.NDArray[np.int8]
Int16s = npt.NDArray[np.int16]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shards:
    """The shards of a plan, by bucket, then number."""

    #: int16[shards], position in the plan's buckets; and int32[shards], the number in it.
    bucket: Int16s
    number: Int32s
    #: int64[shards + 1]: place of each shard's first member among all members, and their number at the end.
    start: Int64s
    #: int64[shards]: what the members count for in shard cuts.
    planned_bytes: Int64s


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What becomes of every index row, in 10 bytes a row, 11 where source bytes are kept.

    Arrays are over index rows in source order unless said. What follows from size and digest is not kept: see
    `core.plan.layout.geometry_of`.
    """

    #: Every bucket of the settings, with or without images: bases largest first, inside a base in table order.
    buckets: tuple[Bucket, ...]
    #: Codes of core.outcomes; 0 is planned to be exported, or in an export already.
    outcome: npt.NDArray[np.uint8]
    #: Which of `sizes` each image has; of images that cannot be read that of 0 x 0 pixels.
    size: Int32s
    sizes: Sizes
    #: int16[sizes]: position in `buckets` of the exported images of each size, -1 where there are none.
    bucket_of_size: Int16s
    #: The place in the priority of the selected caption variant, -1 for none and for rows without a place.
    caption_index: Int8s
    #: ENCODE_BUCKET, ENCODE_NONE or ENCODE_FULL.
    encode: Int8s
    #: Index rows of the shards' members, in their order; int32 where that is enough, else int64.
    members: npt.NDArray[np.signedinteger]
    shards: Shards
    #: 16 hex digits of what decides the plan: content settings and every source's index hash.
    plan_id: str
    #: Of the index rows, for whoever takes many at once; not part of what the plan is.
    caption_bytes: Weights = field(default_factory=Weights)
    #: Rows that go as duplicates of another's bytes or pixels.
    twins: Twins = field(default_factory=Twins.none)
    #: Rows that are left out as `filtered`.
    filtered: Filtered = field(default_factory=Filtered.none)

    def shard_rows(self) -> Iterator[tuple[int, int, Int64s]]:
        """Return (bucket, shard, index rows in member order) of every shard, by bucket, then shard."""
        bounds = self.shards.start.tolist()
        numbered = zip(self.shards.bucket.tolist(), self.shards.number.tolist(), bounds, bounds[1:], strict=False)
        for bucket, number, start, stop in numbered:
            yield bucket, number, self.members[start:stop].astype(np.int64)

    def images(self) -> list[int]:
        """Return how many rows have each outcome, in the order of OUTCOMES."""
        images: list[int] = counts(self.outcome, len(OUTCOMES)).tolist()
        return images
