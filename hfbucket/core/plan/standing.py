"""What stands already: the part of an export that a plan adds to, and that it may not touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The rows of an index that are not planned anew, and what every bucket holds before the plan adds to it."""

    #: bool[n]: rows that the plan leaves alone, `outcome` says why.
    apart: Bools
    #: uint8[n]: codes of core.outcomes; only those of `apart` rows count.
    outcome: npt.NDArray[np.uint8]
    #: bool[n]: rows among `apart` that others may be duplicates of, whatever place they have in the source order.
    earlier: Bools
    #: int64[buckets]: images that every bucket holds; they count for rare buckets.
    images: Int64s
    #: int64[buckets]: number of the first shard that every bucket may get.
    next_shard: Int64s
