from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.workspace.lengths import Lengths, lengths_of


def test_nothing_has_no_lengths() -> None:
    assert lengths_of([], []) is None


def test_figures_of_few() -> None:
    assert lengths_of([30, 10], [1, 3]) == Lengths(mean=15.0, min=10, p5=10, p25=10, median=10, p75=10, p95=30, max=30)


@given(st.dictionaries(st.integers(0, 500), st.integers(1, 40), min_size=1))
def test_percentiles_are_those_of_the_sorted_captions(counts: dict[int, int]) -> None:
    every = sorted(length for length, count in counts.items() for _ in range(count))
    found = lengths_of(list(counts), list(counts.values()))
    assert found is not None
    at = {percent: every[-(-len(every) * percent // 100) - 1] for percent in (5, 25, 50, 75, 95)}
    assert (found.p5, found.p25, found.median, found.p75, found.p95) == tuple(at.values())
    assert (found.min, found.max, found.mean) == (every[0], every[-1], round(sum(every) / len(every), 1))
