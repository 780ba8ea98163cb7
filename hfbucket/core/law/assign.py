"""The bucket law: which bucket an image of a given size gets (FORMAT section 3, rules 1 to 5).

Sizes are columns, one entry per distinct (width, height); the work is a loop over buckets, never over images. All
arithmetic is exact: int64 where products provably fit, Python integers for the rare sizes where they might not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hfbucket.core.law.buckets import Bucket
from hfbucket.core.outcomes import CODE, EXPORTED

Int64s = npt.NDArray[np.int64]

# int64, or Python integers in an object array where products exceed 63 bits.
_Ints = npt.NDArray[Any]
_Score = tuple[_Ints, _Ints]


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """The bucket of every size: `bucket` int16[n] (-1 for none) and `outcome` uint8[n], 0 where there is a bucket."""

    bucket: npt.NDArray[np.int16]
    outcome: npt.NDArray[np.uint8]


def assign(
    width: Int64s, height: Int64s, buckets: Sequence[Bucket], *, metric: str, max_crop: Fraction = Fraction(1)
) -> Assignment:
    """Return the bucket of every size by the bucket law; `bucket` holds positions in `buckets`.

    Args:
        width: int64[n] in pixels after EXIF orientation, at least 1; so is `height`.
        buckets: as `scaled_buckets` orders them.
        metric: a key of METRICS.
        max_crop: largest share of the cover-resized image, taken before rounding to whole pixels, to be cropped away.
    """
    bucket = np.full(len(width), -1, dtype=np.int16)
    too_cropped = np.zeros(len(width), dtype=bool)
    fast = np.maximum(width, height) <= _fast_side(buckets, max_crop)
    for rows, kind in ((np.flatnonzero(fast), np.int64), (np.flatnonzero(~fast), object)):
        if len(rows):
            w, h = width[rows].astype(kind), height[rows].astype(kind)
            bucket[rows], too_cropped[rows] = _assign(w, h, buckets, METRICS[metric], max_crop)
    outcome = np.where(too_cropped, CODE["skipped_too_cropped"], CODE["skipped_too_small"])
    return Assignment(bucket=bucket, outcome=np.where(bucket >= 0, EXPORTED, outcome).astype(np.uint8))


def _fast_side(buckets: Sequence[Bucket], max_crop: Fraction) -> int:
    """Return the largest image side for which every product fits into int64.

    The largest are (bucket side * image side)**2, where scores are compared, and bucket side * image side * the
    denominator of `max_crop`.
    """
    largest = 2**63 - 1
    side = max((max(bucket.w, bucket.h) for bucket in buckets), default=1)
    return min(math.isqrt(largest), largest // max_crop.denominator) // side


def _assign(
    w: _Ints, h: _Ints, buckets: Sequence[Bucket], score: Callable[[_Ints, _Ints, Bucket], _Score], max_crop: Fraction
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    chosen = np.full(len(w), -1, dtype=np.int16)
    held_by_crop = np.zeros(len(w), dtype=bool)
    for _, group in groupby(enumerate(buckets), key=lambda numbered: numbered[1].base):
        rows = np.flatnonzero(chosen == -1)
        best = _Best(w[rows], h[rows])
        for number, bucket in group:
            held_by_crop[rows[best.offer(number, bucket, score, max_crop)]] = True
        chosen[rows] = best.bucket
    return chosen, held_by_crop


class _Best:
    """The best bucket so far of every size, within one base."""

    def __init__(self, w: _Ints, h: _Ints) -> None:
        self.w, self.h = w, h
        self.bucket = np.full(len(w), -1, dtype=np.int16)
        self.score: _Score = (np.zeros_like(w), np.ones_like(w))

    def offer(
        self, number: int, bucket: Bucket, score: Callable[[_Ints, _Ints, Bucket], _Score], max_crop: Fraction
    ) -> Int64s:
        """Take a bucket where it fits and is better; return the sizes where only `max_crop` stood in the way."""
        rows = np.flatnonzero((self.w >= bucket.w) & (self.h >= bucket.h))
        w, h = self.w[rows], self.h[rows]
        fits = crop_fits(w, h, bucket, max_crop)
        held, rows, w, h = rows[~fits], rows[fits], w[fits], h[fits]
        numerator, denominator = score(w, h, bucket)
        best_numerator, best_denominator = self.score
        better = numerator * best_denominator[rows] < best_numerator[rows] * denominator
        better |= self.bucket[rows] == -1
        rows = rows[better]
        self.bucket[rows] = number
        best_numerator[rows], best_denominator[rows] = numerator[better], denominator[better]
        return held


def crop_fits(w: _Ints, h: _Ints, bucket: Bucket, max_crop: Fraction) -> npt.NDArray[np.bool_]:
    """Return where at most `max_crop` of the cover-resized image is cropped away.

    The resized image is W x hW/w or wH/h x H, so the share is |hW - wH| / max(hW, wH).
    """
    if max_crop >= 1:
        return np.ones(len(w), dtype=bool)
    by_width, by_height = bucket.w * h, bucket.h * w
    lost, whole = abs(by_width - by_height), np.maximum(by_width, by_height)
    return np.asarray(lost * max_crop.denominator <= whole * max_crop.numerator, dtype=bool)


def min_crop(w: _Ints, h: _Ints, bucket: Bucket) -> _Score:
    """Return the pixels cropped away at the target's scale, times w * h (the same for all buckets of an image).

    W * (hW - Hw) / w where the width decides, else H * (wH - Wh) / h; so max(Wh, Hw) * |Wh - Hw| over w * h.
    """
    by_width, by_height = bucket.w * h, bucket.h * w
    return np.maximum(by_width, by_height) * abs(by_width - by_height), np.ones_like(w)


def nearest_log(w: _Ints, h: _Ints, bucket: Bucket) -> _Score:
    """Return the ratio of the two aspects, the larger over the smaller: |log(w/h) - log(W/H)| without the log."""
    by_width, by_height = bucket.w * h, bucket.h * w
    return np.maximum(by_width, by_height), np.minimum(by_width, by_height)


def nearest_linear(w: _Ints, h: _Ints, bucket: Bucket) -> _Score:
    """Return |w/h - W/H| times h (the same for all buckets of an image): |wH - Wh| / H."""
    return abs(bucket.h * w - bucket.w * h), np.full_like(w, bucket.h)


METRICS: Final[dict[str, Callable[[_Ints, _Ints, Bucket], _Score]]] = {
    "min-crop": min_crop,
    "nearest-log": nearest_log,
    "nearest-linear": nearest_linear,
}
"""Name to score: numerators and positive denominators over sizes; the smallest fraction is the best bucket."""
