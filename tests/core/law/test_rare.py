from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hfbucket.core.law.assign import assign
from hfbucket.core.law.buckets import scaled_buckets
from hfbucket.core.law.rare import dissolve_rare

BUCKETS = scaled_buckets([1024, 512], [(1024, 512), (1024, 1024), (512, 1024)], 32)
WIDTH = np.array([1024, 1100, 512, 512], dtype=np.int64)
HEIGHT = np.array([1024, 512, 1100, 512], dtype=np.int64)


def dissolved(images: list[int], min_bucket: int, rare: str) -> list[str | None]:
    law = assign(WIDTH, HEIGHT, BUCKETS, metric="min-crop")
    got = dissolve_rare(
        law.bucket, np.array(images), WIDTH, HEIGHT, BUCKETS,
        min_bucket=min_bucket, rare=rare, metric="min-crop", max_crop=Fraction(1),
    )  # fmt: skip
    return [BUCKETS[bucket].bucket_id if bucket >= 0 else None for bucket in got]


@pytest.mark.parametrize(
    ("min_bucket", "rare", "expected"),
    [
        (9, "keep", ["r1024_p1024x1024", "r1024_p1024x512", "r1024_p512x1024", "r512_p1024x1024"]),
        (3, "drop", ["r1024_p1024x1024", None, "r1024_p512x1024", "r512_p1024x1024"]),
        (3, "merge", ["r1024_p1024x1024", "r512_p1024x1024", "r1024_p512x1024", "r512_p1024x1024"]),
        (6, "merge", ["r1024_p1024x1024", "r512_p1024x1024", "r512_p1024x1024", "r512_p1024x1024"]),
        (99, "merge", [None, None, None, None]),
    ],
)
def test_the_smallest_goes_first_and_its_images_to_what_still_stands(
    min_bucket: int, rare: str, expected: list[str | None]
) -> None:
    assert dissolved([8, 2, 3, 5], min_bucket, rare) == expected


def test_of_equals_the_lowest_base_goes_first_then_the_last_in_the_table() -> None:
    # 512's square first, to nowhere; then 512x1024, to nowhere; then 1024's square, into 1024x512, which is enough.
    assert dissolved([4, 4, 4, 4], 5, "merge") == ["r1024_p1024x512", "r1024_p1024x512", None, None]


def test_nothing_is_merged_into_an_empty_bucket() -> None:
    # 512's 512x1024 would take the tall image, but it is empty, so it went first.
    assert dissolved([8, 8, 2, 0], 3, "merge")[2] is None
