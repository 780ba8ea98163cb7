"""Explain the bucket law for one image size: every bucket with its exact score, the choice, and the crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from hfbucket.core.law.assign import assign
from hfbucket.core.law.buckets import Bucket
from hfbucket.core.outcomes import OUTCOMES


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How one bucket does for one image."""

    bucket: Bucket
    #: "too_small": the image is; "too_cropped": more than `max_crop` would go.
    fit: Literal["fits", "too_small", "too_cropped"]
    #: The smallest is the best: pixels cropped away (min-crop), the larger aspect over the smaller (nearest-log),
    #: or the difference of the aspects (nearest-linear).
    score: Fraction
    #: Share of the cover-resized image that is cropped away.
    crop_share: Fraction
    chosen: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """What the bucket law says of one size in pixels; `scores` has every bucket, in the order of the law."""

    width: int
    height: int
    outcome: str
    scores: tuple[Score, ...]

    @property
    def chosen(self) -> Bucket | None:
        """The bucket the image gets."""
        return next((score.bucket for score in self.scores if score.chosen), None)


def explain(
    width: int, height: int, buckets: Sequence[Bucket], *, metric: str, max_crop: Fraction = Fraction(1)
) -> Explanation:
    """Return every bucket's score for an image of width x height pixels after EXIF orientation, and the choice."""
    sizes = np.array([width], dtype=np.int64), np.array([height], dtype=np.int64)
    law = assign(*sizes, buckets, metric=metric, max_crop=max_crop)
    chosen = int(law.bucket[0])
    scores = tuple(
        _score(width, height, bucket, metric, max_crop, chosen=number == chosen)
        for number, bucket in enumerate(buckets)
    )
    return Explanation(width=width, height=height, outcome=OUTCOMES[law.outcome[0]], scores=scores)


def _score(w: int, h: int, bucket: Bucket, metric: str, max_crop: Fraction, *, chosen: bool) -> Score:
    aspect, target = Fraction(w, h), Fraction(bucket.w, bucket.h)
    ratio = max(aspect / target, target / aspect)
    crop_share = 1 - 1 / ratio
    # Whatever covers the target has ratio times its pixels.
    pixels_cropped = bucket.w * bucket.h * (ratio - 1)
    score = {"min-crop": pixels_cropped, "nearest-log": ratio, "nearest-linear": abs(aspect - target)}[metric]
    fit: Literal["fits", "too_small", "too_cropped"] = "fits"
    if bucket.w > w or bucket.h > h:
        fit = "too_small"
    elif crop_share > max_crop:
        fit = "too_cropped"
    return Score(bucket=bucket, fit=fit, score=score, crop_share=crop_share, chosen=chosen)
