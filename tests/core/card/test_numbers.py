"""Numbers in a card: integers in, the same text on every machine out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.card.numbers import decimal, listed, number, plural, share, size


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0.0%"), (0, 7, "0.0%"), (7, 7, "100.0%"), (1, 3, "33.3%"), (2, 3, "66.7%"), (1, 2000, "0.1%"),
        (1, 2001, "< 0.1%"), (9999, 10_000, "> 99.9%"), (1, 8, "12.5%"), (1, 16, "6.3%"),
    ],
)  # fmt: skip
def test_share(part: int, whole: int, text: str) -> None:
    assert share(part, whole) == text


@given(st.integers(1, 10**12), st.data())
def test_only_nothing_is_zero_and_only_all_is_everything(whole: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, whole))
    assert (share(part, whole) == "0.0%") == (part == 0)
    assert (share(part, whole) == "100.0%") == (part == whole)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (1049, "1.0 kB"), (1050, "1.1 kB"),
        (20_123_456_789, "20.1 GB"), (10**15, "1.0 PB"), (10**19, "10000.0 PB"), (999_999, "1000.0 kB"),
    ],
)  # fmt: skip
def test_size(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


def test_words_and_numbers() -> None:
    assert number(1_234_567) == "1,234,567"
    assert [listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert [plural("bucket", count) for count in (0, 1, 2)] == ["buckets", "bucket", "buckets"]
    assert [decimal(value, 1000) for value in (1250, 1000, 5, 12_340)] == ["1.25", "1", "0.005", "12.34"]
