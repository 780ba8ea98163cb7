from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hfbucket.core.plan.packing import bytes_per_1000_px, cut, encoded_bytes, fine_chroma_from, kept_bytes


def test_the_formats_k() -> None:
    assert (bytes_per_1000_px(95, "4:2:0"), bytes_per_1000_px(95, "4:4:4")) == (450, 600)


def test_k_is_there_for_every_quality_and_grows_with_it() -> None:
    table = np.array([[bytes_per_1000_px(q, name) for name in ("4:2:0", "4:2:2", "4:4:4")] for q in range(1, 101)])
    assert (np.diff(table, axis=0) >= 0).all()
    assert (np.diff(table, axis=1) > 0).all()


def test_planned_bytes() -> None:
    pixels = np.array([1, 1000, 1001, 65_500**2], dtype=np.int64)
    assert encoded_bytes(pixels, 450).tolist() == [4097, 4546, 4547, 4096 + -(-(65_500**2) * 450 // 1000)]
    assert encoded_bytes(pixels[:2], np.array([600, 450])).tolist() == [4097, 4546]
    assert kept_bytes(np.array([0, 7])).tolist() == [4096, 4103]


@pytest.mark.parametrize(
    ("planned", "max_bytes", "max_samples", "expected"),
    [
        ([], 10, 10, []),
        ([10, 10, 10], 20, 10, [0, 0, 1]),  # exactly full is not over
        ([10, 11, 10], 20, 10, [0, 1, 2]),
        ([10, 99, 10], 20, 10, [0, 1, 2]),  # a larger one stands alone
        ([99, 10, 10], 20, 10, [0, 1, 1]),
        ([1, 1, 1, 1, 1], 20, 2, [0, 0, 1, 1, 2]),
    ],
)
def test_cut(planned: list[int], max_bytes: int, max_samples: int, expected: list[int]) -> None:
    samples = [expected.count(number) for number in sorted({*expected})]
    for step in (1, 2, 9):
        pieces = (np.array(planned[at : at + step], dtype=np.int64) for at in range(0, len(planned), step))
        found, size_bytes = cut(pieces, max_bytes, max_samples)
        assert found.tolist() == samples
        assert size_bytes.tolist() == [
            sum(size for size, at in zip(planned, expected, strict=True) if at == number)
            for number in range(len(samples))
        ]


def test_full_chroma_where_both_sides_shrink_to_the_threshold() -> None:
    assert fine_chroma_from(85, Fraction(85, 100)) == 100
    assert fine_chroma_from(86, Fraction(85, 100)) == 102  # 101 would be 0.8514…
    assert fine_chroma_from(512, Fraction(0)) == 2**63 - 1
    assert fine_chroma_from(512, Fraction(1)) == 512
