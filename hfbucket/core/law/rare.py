"""Rare buckets: dissolve those with too few images (FORMAT section 3, rule 6)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hfbucket.core.law.assign import assign
from hfbucket.core.law.buckets import Bucket

Int64s = npt.NDArray[np.int64]
Int16s = npt.NDArray[np.int16]


def dissolve_rare(
    bucket: Int16s,
    images: Int64s,
    width: Int64s,
    height: Int64s,
    buckets: Sequence[Bucket],
    *,
    min_bucket: int,
    rare: str,
    metric: str,
    max_crop: Fraction,
    standing_images: Int64s | None = None,
) -> Int16s:
    """Return the bucket of every size once no bucket holds fewer than `min_bucket` images, -1 for what found none.

    While some bucket has fewer, the smallest goes (of equals the lowest base, then the last in table order); with
    "merge" its sizes get the next best of the buckets still standing, with "drop" none. An empty bucket is the
    smallest there is, so it goes before any other and nothing is merged into it.

    Args:
        bucket: int16[n], the bucket of every distinct size, -1 for none.
        images: int64[n], images of every size that are still eligible.
        rare: "keep" changes nothing.
        standing_images: int64[buckets], images that every bucket holds already; they count and stay where they are.
    """
    result = bucket.copy()
    if rare == "keep":
        return result
    standing = list(range(len(buckets)))
    counts = np.zeros(len(buckets), dtype=np.int64) if standing_images is None else standing_images.copy()
    np.add.at(counts, bucket[bucket >= 0], images[bucket >= 0])
    while standing:
        smallest = min(standing, key=lambda number: (counts[number], -number))
        if counts[smallest] >= min_bucket:
            break
        standing.remove(smallest)
        rows = np.flatnonzero(result == smallest)
        result[rows] = -1
        if rare == "merge" and standing and len(rows):
            rest = [buckets[number] for number in standing]
            found = assign(width[rows], height[rows], rest, metric=metric, max_crop=max_crop).bucket
            result[rows] = np.append(np.asarray(standing, dtype=np.int16), np.int16(-1))[found]
            np.add.at(counts, result[rows[found >= 0]], images[rows[found >= 0]])
    return result
