from __future__ import annotations

import pyarrow as pa
import pytest

from hfbucket.config import Config
from hfbucket.core.plan.captions import choice_of, own_variants
from hfbucket.core.plan.variants import columns_of, first_ok, lists_of, merge_of, merged, merged_sources

TEXTS = pa.list_(pa.string())


def lists(*rows: list[str | None] | None, chunks: int = 1) -> pa.ChunkedArray:
    whole = pa.array(rows, TEXTS)
    step = -(-len(whole) // chunks) or 1
    return pa.chunked_array([whole.slice(at, step) for at in range(0, len(whole), step)], TEXTS)


@pytest.mark.parametrize("chunks", [1, 2, 5])
def test_columns_of_lists_and_back(chunks: int) -> None:
    rows = lists(["a", "b"], None, [], ["c"], [None, "d", "too many"], chunks=chunks)
    columns = columns_of(rows, 2)
    assert [column.to_pylist() for column in columns] == [["a", None, None, "c", None], ["b", None, None, None, "d"]]
    assert lists_of(columns).to_pylist() == [["a", "b"], [None, None], [None, None], ["c", None], [None, "d"]]
    assert [column.to_pylist() for column in columns_of(lists(), 2)] == [[], []]


def test_original_is_the_first_that_is_not_blank() -> None:
    rows = lists(["a", "b", "c"], [None, " ", "c"], ["", None, "\u3000"], None, chunks=2)
    assert first_ok(rows, 3).to_pylist() == ["a", "c", None, None]


def test_the_usual_places_and_a_workspace_become_one_list() -> None:
    config = Config(priority=("v", "original"))
    own = own_variants(config)
    merge = merge_of(config, choice_of(config, own, ("v", "u")), own, ("v", "u"))
    indexed, theirs = lists(["x", "y", None], [None, "y", "z"]), lists(["v0", None], [None, "u1"])
    assert merged(indexed, theirs, merge).to_pylist() == [["v0", "x", None], [None, "y", "u1"]]
    ids = lists(["s0", None], [None, "s1"])
    assert merged_sources(ids, 2, merge).to_pylist() == [["s0", None, None], [None, None, "s1"]]


def test_named_columns_without_a_workspace_only_change_places() -> None:
    config = Config(priority=("b",), caption_column=("a", "b", "c"))
    own = own_variants(config)
    merge = merge_of(config, choice_of(config, own, ()), own, ())
    assert merged(lists(["a", None, "c"], None), None, merge).to_pylist() == [[None, "a", "c"], [None, None, None]]
    assert merged_sources(None, 2, merge).to_pylist() == [[None] * 3] * 2
