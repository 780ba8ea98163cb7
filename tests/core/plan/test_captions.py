from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hfbucket.config import Config
from hfbucket.core.law.geometry import digest_words
from hfbucket.core.plan.captions import (
    Choice,
    Words,
    characters_of,
    choice_of,
    own_variants,
    priority_of,
    select,
    selected,
)
from hfbucket.errors import ConfigError

ROWS = [["a", "b"], [None, "b"], ["", "b"], [" \n\t\u3000", None], None, [], ["x"], ["\u200b", ""]]
DIGESTS = np.zeros((len(ROWS), 4), dtype=np.uint64)


def column(chunks: int = 1) -> pa.ChunkedArray:
    whole = pa.array(ROWS, pa.list_(pa.string()))
    step = -(-len(whole) // chunks)
    return pa.chunked_array([whole.slice(at, step) for at in range(0, len(whole), step)])


def texts(*rows: list[str | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(rows, pa.list_(pa.string()))])


def choice(*priority: str, **changes: object) -> Choice:
    return Choice(universe=priority, priority=priority, **changes)  # type: ignore[arg-type]


def config(**settings: Any) -> Config:
    return Config(**settings)


def digests(count: int) -> tuple[list[bytes], Words]:
    found = [hashlib.sha256(str(number).encode()).digest() for number in range(count)]
    return found, digest_words(pa.array(found, pa.binary(32)))


def test_the_first_ok_variant_is_selected() -> None:
    """Null, empty and blank (in any script) are not ok."""
    for chunks in (1, 3, len(ROWS)):
        assert select(column(chunks), DIGESTS, choice("a", "b")).tolist() == [0, 1, 1, -1, -1, -1, 0, 0]


def test_characters() -> None:
    assert characters_of(column(2), 2).tolist() == [
        [1, 1], [0, 1], [0, 1], [0, 0], [0, 0], [0, 0], [1, 0], [1, 0],
    ]  # fmt: skip
    assert characters_of(column(), 1).ravel().tolist() == [1, 0, 0, 0, 0, 0, 1, 1]
    assert characters_of(pa.chunked_array([], pa.list_(pa.string())), 3).shape == (0, 3)


def test_characters_are_code_points_and_short_captions_are_not_ok() -> None:
    found = texts(["日本", "ab"], ["\U0001f600", "abc"], ["x", None])
    assert characters_of(found, 2).tolist() == [[2, 2], [1, 3], [1, 0]]
    assert select(found, DIGESTS[:3], choice("a", "b", min_chars=2)).tolist() == [0, 1, -1]


def test_the_longest_is_selected_and_of_equals_the_first() -> None:
    found = texts(["ab", "abc"], ["ab", "cd"], [None, "x"], ["", None])
    assert select(found, DIGESTS[:4], choice("a", "b", select="longest")).tolist() == [1, 0, 1, -1]


def mix(word: int) -> int:
    """splitmix64 as it is published, in whole numbers."""
    word = (word + 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
def test_the_weighted_draw_is_the_documented_one(seed: int) -> None:
    found, words = digests(3000)
    rows = [["a", None if number % 3 == 0 else "b", "c"] for number in range(3000)]
    weights = (1, 5, 2)
    drawn = select(texts(*rows), words, choice("a", "b", "c", select="weighted", weights=weights, seed=seed)).tolist()
    for digest, row, got in zip(found, rows, drawn, strict=True):
        ok = [place for place in range(3) if row[place]]
        number = mix(int.from_bytes(digest[8:16], "big") ^ mix(seed)) % sum(weights[place] for place in ok)
        expected = next(p for p in ok if sum(weights[q] for q in ok if q <= p) > number)
        assert got == expected
    shares = np.bincount(np.array(drawn)[np.arange(3000) % 3 != 0], minlength=3) / 2000
    assert np.allclose(shares, np.array(weights) / 8, atol=0.04)


def test_what_stands_after_the_priority_is_never_selected() -> None:
    found = Choice(universe=("a", "b"), priority=("a",))
    assert select(texts([None, "b"], ["a", "b"]), DIGESTS[:2], found).tolist() == [-1, 0]


def test_the_entries_of_the_selected_variant() -> None:
    index = np.array([0, 1, -1], dtype=np.int8)
    assert selected(texts(["a", "b"], ["c", "d"], ["e", "f"]), index).to_pylist() == ["a", "d", None]
    assert selected(texts(["a"], ["c"], ["e"]).slice(1), index[:2]).to_pylist() == ["c", None]
    assert selected(pa.chunked_array([pa.nulls(3, pa.list_(pa.string()))]), index).to_pylist() == [None] * 3
    assert selected(pa.chunked_array([], pa.list_(pa.string())), index[:0]).to_pylist() == []


def test_without_captions_and_priority_everything_is_as_it_was() -> None:
    settings = config()
    assert own_variants(settings) == ("caption", "text", "sidecar")
    assert choice_of(settings, own_variants(settings), ()) == choice("caption", "text", "sidecar")


def test_the_priority_places_original_and_the_rest_is_kept() -> None:
    settings = config(priority="gemini,original")
    assert own_variants(settings) == ("original",)
    found = choice_of(settings, ("original",), ("ü", "gemini", "z", "a"))
    assert found.priority == ("gemini", "original")
    assert found.universe == ("gemini", "original", "a", "z", "ü")
    found = choice_of(config(priority=("gemini",)), ("original",), ("gemini",))
    assert (found.priority, found.universe) == (("gemini",), ("gemini", "original"))


def test_original_stands_for_the_columns_that_the_priority_does_not_name() -> None:
    settings = config(priority="title,w,original", caption_column=("alt", "title", "text"))
    own = own_variants(settings)
    assert own == ("alt", "title", "text")
    assert choice_of(settings, own, ("w",)).priority == ("title", "w", "alt", "text")


def test_the_only_variant_of_a_workspace_needs_no_priority() -> None:
    assert priority_of(config(), ("gemini",)) == ("gemini", "original")
    assert priority_of(config(priority=("original",)), ("a", "b")) == ("original",)
    with pytest.raises(
        ConfigError, match=r"captions needs a priority, .*: --priority NAME,NAME…; there are a, b, original"
    ):
        priority_of(config(), ("b", "a"))


WEIGHTED = {"select": "weighted", "priority": "a,original"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"priority": "a,c"}, "priority must name caption variants, got c; there are a, b, original"),
        ({"priority": "caption"}, "priority must name caption variants, got caption; there are a, b, original"),
        ({"priority": "a", "weights": "a=1"}, "weights and select weighted need one another, got select first and we"),
        ({**WEIGHTED}, "weights and select weighted need one another, got select weighted and no weights; there are a"),
        ({**WEIGHTED, "weights": "a=1"}, "weights must name every variant of the priority, original is missing"),
        ({**WEIGHTED, "weights": "a=1,b=1,original=2"}, "weights must name variants of the priority a, original, got "),
    ],
)
def test_settings_that_do_not_fit_the_variants(changes: dict[str, str], message: str) -> None:
    settings = config(**changes)
    with pytest.raises(ConfigError) as caught:
        choice_of(settings, own_variants(settings), ("b", "a"))
    assert message in str(caught.value)


def test_a_name_of_the_source_and_of_the_workspace_is_refused() -> None:
    settings = config(priority="alt", caption_column=("alt",))
    with pytest.raises(ConfigError, match="captions: alt is a caption of the source and one of the workspace"):
        choice_of(settings, own_variants(settings), ("alt",))


def test_weights_of_original_are_of_each_column_it_stands_for() -> None:
    weights = "original=2,w=3,alt=9"
    settings = config(select="weighted", priority="w,original", weights=weights, caption_column=("t", "alt"))
    found = choice_of(settings, own_variants(settings), ("w",))
    assert (found.priority, found.weights) == (("w", "t", "alt"), (3, 2, 9))


@pytest.mark.parametrize("weights", ["a", "a=0", "=1", "a=-1", "a=1.5", "a=9999999999"])
def test_weights_are_whole_numbers_of_names(weights: str) -> None:
    with pytest.raises(ConfigError, match="weights must be NAME=NUMBER, a whole number from 1 to 999999999, got"):
        config(weights=(weights,))


def test_names_stand_once() -> None:
    with pytest.raises(ConfigError, match="weights must name every variant once, got 'a' twice"):
        config(weights=("a=1", "a=2"))
    with pytest.raises(ConfigError, match="priority must name every value once"):
        config(priority="a,b,a")
    assert config(weights="b=02, a=1") == config(weights=("a=1", "b=2"))


def test_no_more_variants_than_a_place_can_count() -> None:
    with pytest.raises(ConfigError, match="at most 127 caption variants, got 128"):
        choice_of(config(priority="original"), ("original",), [f"v{number}" for number in range(127)])
