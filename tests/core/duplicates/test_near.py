"""Near duplicates by bands against comparing each with each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfbucket.core.duplicates import near
from hfbucket.core.duplicates.near import MAX_THRESHOLD, Hashes, distances, near_repeats


def one_by_one(hashes: Hashes, threshold: int, kept: int) -> list[tuple[int, int]]:
    """The definition: row by row against all rows that stay."""
    staying: list[int] = []
    gone: list[tuple[int, int]] = []
    for row, value in enumerate(hashes.tolist()):
        close = [k for k in staying if bin(hashes[k].item() ^ value).count("1") <= threshold]
        equal = [k for k in close if hashes[k] == value]
        if row >= kept and close:
            gone.append((row, (equal or close)[0]))
        else:
            staying.append(row)
    return gone


def drawn(seed: int, count: int, centers: int, flips: int) -> Hashes:
    """Hashes around some centers, each with up to `flips` bits turned, so that chains and clusters come about."""
    random = np.random.default_rng(seed)
    middle = random.integers(0, 2**64, centers, dtype=np.uint64)
    hashes = middle[random.integers(0, centers, count)]
    for _ in range(flips):
        hashes ^= np.where(random.random(count) < 0.6, np.uint64(1) << random.integers(0, 64, count, dtype=np.uint64), 0
                           ).astype(np.uint64)  # fmt: skip
    return hashes


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 160),
    centers=st.integers(1, 40),
    flips=st.integers(0, 12),
    threshold=st.integers(0, MAX_THRESHOLD),
    kept=st.integers(0, 60),
)
def test_a_row_goes_if_it_is_near_to_one_that_stays(
    seed: int, count: int, centers: int, flips: int, threshold: int, kept: int
) -> None:
    hashes = drawn(seed, count, centers, flips)
    with pytest.MonkeyPatch.context() as patch:
        # Small enough that every way through the code is taken.
        patch.setattr(near, "_DENSE", 4)
        patch.setattr(near, "_WAYS", 3)
        patch.setattr(near, "_TILE", 64)
        patch.setattr(near, "_CANDIDATES", 32)
        rows, twin = near_repeats(hashes, threshold, kept=kept)
    assert list(zip(rows.tolist(), twin.tolist(), strict=True)) == one_by_one(hashes, threshold, kept)


@pytest.mark.parametrize("threshold", [1, 4, 8])
def test_large_tables_as_small_ones(threshold: int) -> None:
    hashes = drawn(5, 1100, 200, 9)
    rows, twin = near_repeats(hashes, threshold)
    assert list(zip(rows.tolist(), twin.tolist(), strict=True)) == one_by_one(hashes, threshold, 0)


@pytest.mark.parametrize("threshold", range(MAX_THRESHOLD + 1))
def test_bands_miss_nothing(threshold: int) -> None:
    """Radii, counted r + 1, sum up to threshold + 1 for every number of bands, and the bands do not overlap."""
    for count in range(3, 10):
        bands = near._cut(threshold, count)
        assert sum(band.radius + 1 for band in bands) == threshold + 1
        assert all(band.radius >= 0 and len(band.masks) == band.look_ups for band in bands)
        covered = [bit for band in bands for bit in range(band.shift, band.shift + band.bits)]
        assert len(covered) == len(set(covered)) <= 64


def test_distances_without_numpys_own_count() -> None:
    random = np.random.default_rng(1)
    a, b = random.integers(0, 2**64, (2, 50), dtype=np.uint64)
    expected = [bin(x ^ y).count("1") for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert distances(a, b).tolist() == expected
    assert near._table_count(a ^ b).tolist() == expected
