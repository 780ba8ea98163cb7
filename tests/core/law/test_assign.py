"""Golden choices of the bucket law; tests/property compares all of it with a brute force."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hfbucket.core.law.assign import Assignment, assign
from hfbucket.core.law.buckets import SDXL, scaled_buckets
from hfbucket.core.outcomes import OUTCOMES

AT_512 = scaled_buckets([512], SDXL, 32)
TIERS = scaled_buckets([512, 256], SDXL, 32)


def bucket_of(w: int, h: int, metric: str = "min-crop", max_crop: str = "1") -> str:
    got = assign(np.array([w]), np.array([h]), TIERS, metric=metric, max_crop=Fraction(max_crop))
    bucket = int(got.bucket[0])
    return TIERS[bucket].bucket_id if bucket >= 0 else OUTCOMES[int(got.outcome[0])]


@pytest.mark.parametrize(
    ("metric", "landscape", "portrait"),
    [
        ("min-crop", "r512_p1152x832", "r512_p832x1152"),
        ("nearest-log", "r512_p1152x896", "r512_p896x1152"),
        ("nearest-linear", "r512_p1152x896", "r512_p896x1152"),
    ],
)
def test_four_to_three(metric: str, landscape: str, portrait: str) -> None:
    assert (bucket_of(4000, 3000, metric), bucket_of(3000, 4000, metric)) == (landscape, portrait)


@pytest.mark.parametrize(
    ("w", "h", "expected"),
    [
        (512, 512, "r512_p1024x1024"),
        (511, 511, "r256_p1024x1024"),  # the largest base with a fitting bucket, whatever the metric says
        (1024, 256, "r512_p2048x512"),
        (1023, 256, "r512_p1984x512"),
        (10_000, 300, "r512_p2048x512"),
        (127, 10_000, "skipped_too_small"),
        (1, 1, "skipped_too_small"),
    ],
)
def test_edges_of_fitting(w: int, h: int, expected: str) -> None:
    assert bucket_of(w, h) == expected


def test_max_crop_skips_buckets_then_bases_then_the_image() -> None:
    assert bucket_of(1100, 300) == "r512_p1856x512"  # of 512's, only flat ones fit
    assert bucket_of(1100, 300, max_crop="0.02") == "r512_p1856x512"
    assert bucket_of(1100, 300, max_crop="0.01") == "skipped_too_cropped"
    assert bucket_of(600, 450, max_crop="0.036") == "r512_p1152x896"
    assert bucket_of(570, 450, max_crop="0.036") == "r256_p1152x896"  # too small for that one at 512
    assert bucket_of(10_000, 300, max_crop="0.5") == "skipped_too_cropped"
    assert bucket_of(100, 100, max_crop="0.5") == "skipped_too_small"
    assert bucket_of(4000, 3000, max_crop="0.037") == "r512_p1152x896"  # 1152x832 loses 1/27, a little more
    assert bucket_of(4000, 3000, max_crop="1/27") == "r512_p1152x832"  # exactly the limit is allowed


def test_the_first_of_equals_wins() -> None:
    buckets = scaled_buckets([1024], [(96, 64), (64, 96)], 32)
    got = assign(np.array([96]), np.array([96]), buckets, metric="nearest-log")
    assert got.bucket.tolist() == [0]


def test_sizes_beyond_64_bit_products_are_exact() -> None:
    largest = 2**63 - 1
    width = np.array([largest, largest, 4000, largest - 1], dtype=np.int64)
    height = np.array([largest, 512, 3000, largest], dtype=np.int64)
    got = assign(width, height, AT_512, metric="min-crop", max_crop=Fraction(1, 10**30) + Fraction(999, 1000))
    ids = [AT_512[bucket].bucket_id if bucket >= 0 else None for bucket in got.bucket]
    assert ids == ["p1024x1024", None, "p1152x832", "p1024x1024"]
    assert OUTCOMES[got.outcome[1]] == "skipped_too_cropped"


def test_no_sizes_no_buckets() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    got = assign(nothing, nothing, AT_512, metric="min-crop")
    assert isinstance(got, Assignment)
    assert len(got.bucket) == len(got.outcome) == 0
