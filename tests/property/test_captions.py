"""Selection holds to its words for any captions, variants and settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.plan.captions import Choice, select, selected

NAMES = ("a", "b", "c", "d")
TEXTS = st.none() | st.sampled_from(["", " \n", "\u3000", "x", "xy", "日本", "\U0001f600" * 3, "a longer one"])
SEED = 2**64


@st.composite
def selections(draw: Any) -> tuple[list[list[str | None] | None], list[int], Choice]:
    rows = draw(st.lists(st.none() | st.lists(TEXTS, max_size=5), max_size=12))
    words = draw(st.lists(st.integers(0, SEED - 1), min_size=len(rows), max_size=len(rows)))
    names = NAMES[: draw(st.integers(1, 4))]
    how = draw(st.sampled_from(["first", "longest", "weighted"]))
    priority = names[: draw(st.integers(1, len(names)))]
    weights = draw(st.lists(st.integers(1, 10**9 - 1), min_size=len(priority), max_size=len(priority)))
    return rows, words, Choice(
        universe=names, priority=priority, select=how, weights=tuple(weights) if how == "weighted" else (),
        seed=draw(st.integers(0, 2**63 - 1)), min_chars=draw(st.integers(0, 4)),
    )  # fmt: skip


def mix(word: int) -> int:
    word = (word + 0x9E3779B97F4A7C15) % SEED
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % SEED
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % SEED
    return word ^ (word >> 31)


def oracle(row: list[str | None] | None, word: int, choice: Choice) -> int:
    ok = [
        place for place, text in enumerate((row or [])[: len(choice.priority)])
        if text is not None and text.strip() and len(text) >= choice.min_chars
    ]  # fmt: skip
    if not ok:
        return -1
    if choice.select == "longest":
        return max(ok, key=lambda place: (len((row or [])[place] or ""), -place))
    if choice.select == "first":
        return ok[0]
    number = mix(word ^ mix(choice.seed)) % sum(choice.weights[place] for place in ok)
    for place in ok:
        number -= choice.weights[place]
        if number < 0:
            return place
    raise AssertionError


@given(selections())
def test_selection(given: tuple[list[list[str | None] | None], list[int], Choice]) -> None:
    rows, words, choice = given
    digests = np.array([[0, word] for word in words], dtype=np.uint64).reshape(-1, 2)
    captions = pa.chunked_array([pa.array(rows, pa.list_(pa.string()))])
    index = select(captions, digests, choice)
    assert index.tolist() == [oracle(row, word, choice) for row, word in zip(rows, words, strict=True)]
    texts = [row[place] if row and place >= 0 else None for row, place in zip(rows, index.tolist(), strict=True)]
    assert selected(captions, index).to_pylist() == texts
