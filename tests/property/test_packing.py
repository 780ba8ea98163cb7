"""Shard cuts against a loop over samples."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hfbucket.core.plan.packing import cut, fine_chroma_from
from tests.property import oracle


@settings(max_examples=200)
@given(
    planned=st.lists(st.integers(4096, 40_000), max_size=60),
    piece=st.integers(1, 61),
    max_bytes=st.integers(1, 120_000),
    max_samples=st.integers(1, 20),
)
def test_cut_closes_before_the_sample_that_would_exceed_a_limit(
    planned: list[int], piece: int, max_bytes: int, max_samples: int
) -> None:
    pieces = [np.array(planned[start : start + piece], dtype=np.int64) for start in range(0, len(planned), piece)]
    samples, size_bytes = cut(pieces, max_bytes, max_samples)
    assert samples.dtype == size_bytes.dtype == np.int64
    shards: dict[int, list[int]] = {}
    for (shard, _), size in zip(oracle.cut(planned, max_bytes, max_samples), planned, strict=True):
        shards.setdefault(shard, []).append(size)
    assert samples.tolist() == [len(sizes) for sizes in shards.values()]
    assert size_bytes.tolist() == [sum(sizes) for sizes in shards.values()]


@settings(max_examples=200)
@given(target=st.integers(1, 4096), side=st.integers(1, 10**6), threshold=st.fractions(0, 1, max_denominator=10**9))
def test_full_chroma_from_the_side_where_the_scale_reaches_the_threshold(
    target: int, side: int, threshold: Fraction
) -> None:
    assert (side >= fine_chroma_from(target, threshold)) == (Fraction(target, side) <= threshold)
