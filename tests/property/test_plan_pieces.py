"""Wherever long arrays are cut into pieces, the plan is the same, and what is found in them is what sorting finds."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.config import Config
from hfbucket.core.duplicates.exact import find_repeats
from hfbucket.core.law.buckets import scaled_buckets
from hfbucket.core.plan.make import plan_rows
from hfbucket.core.plan.order import in_order, shuffle_keys
from tests.index_tables import planning_rows, row

PROTOS = ((1024, 512), (1024, 1024), (512, 1024))


@given(
    bucket=st.lists(st.integers(0, 3), max_size=60),
    heads=st.lists(st.one_of(st.integers(0, 2**64 - 1), st.just(7)), min_size=60, max_size=60),
    shuffled=st.booleans(),
    at_once=st.integers(1, 9),
    step=st.integers(1, 20),
)
def test_rows_are_ordered_by_bucket_then_key_then_source(
    bucket: list[int], heads: list[int], shuffled: bool, at_once: int, step: int
) -> None:
    rows = np.arange(len(bucket)) * 2  # every other row is eligible
    words = np.zeros(2 * len(bucket), dtype=np.uint64)
    words[rows] = heads[: len(bucket)]
    keys = shuffle_keys(words, 5) if shuffled else np.zeros_like(words)

    def pieces() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for at in range(0, len(rows), step):
            yield rows[at : at + step], np.array(bucket[at : at + step], dtype=np.int32)

    with mock.patch("hfbucket.core.plan.order._SORTED_AT_ONCE", at_once):
        found, images = in_order(pieces, np.arange(4, dtype=np.int16), 4, words if shuffled else None, 5, len(words))
    assert found.tolist() == sorted(rows.tolist(), key=lambda at: (bucket[at // 2], int(keys[at]), at))
    assert images.tolist() == [bucket.count(number) for number in range(4)]


@given(
    keys=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=40), rows=st.integers(1, 9), data=st.data()
)
def test_repeats_are_those_that_a_dictionary_finds(keys: list[tuple[int, int]], rows: int, data: st.DataObject) -> None:
    words = np.array(keys, dtype=np.uint64).reshape(-1, 2)
    with mock.patch("hfbucket.core.chunks.CHUNK_ROWS", rows):
        found = find_repeats(words[:, 0], lambda positions: words[positions])
    assert found.rows.tolist() == sorted(
        (at for at, key in enumerate(keys) if keys.count(key) > 1), key=lambda at: (keys[at], at)
    )
    counted = data.draw(st.lists(st.booleans(), min_size=len(keys), max_size=len(keys)))
    first: dict[tuple[int, int], int] = {}
    expected = [(at, first[key]) for at, key in enumerate(keys) if counted[at] and first.setdefault(key, at) != at]
    again, of = found.among(np.array(counted, dtype=bool)[found.rows])
    assert list(zip(again.tolist(), of.tolist(), strict=True)) == expected


@given(
    sides=st.lists(st.tuples(st.integers(1, 150), st.integers(1, 150), st.integers(0, 25)), max_size=25),
    rows=st.integers(1, 9),
    mode=st.sampled_from(["reencode_jpeg", "passthrough_jpeg"]),
)
def test_pieces_make_no_difference(sides: list[tuple[int, int, int]], rows: int, mode: str) -> None:
    config = Config(
        base=(128, 64), divisible=8, shuffle=1, min_bucket=2, rare="merge", max_shard_samples=3,
        duplicate_ids="first", image_mode=mode,  # type: ignore[arg-type]
    )  # fmt: skip
    buckets = scaled_buckets(config.base, PROTOS, config.divisible)
    given_rows = [row(str(name), w, h) for w, h, name in sides]
    whole = plan_rows(planning_rows(given_rows, config), buckets, config)
    with mock.patch("hfbucket.core.chunks.CHUNK_ROWS", rows), mock.patch("hfbucket.core.plan.order._SORTED_AT_ONCE", 1):
        cut = plan_rows(planning_rows(given_rows, config, pieces=3), buckets, config)
        assert cut.images() == whole.images()
    for name in ("outcome", "members", "caption_index", "encode"):
        assert getattr(cut, name).tolist() == getattr(whole, name).tolist()
    for name in ("bucket", "number", "start", "planned_bytes"):
        assert getattr(cut.shards, name).tolist() == getattr(whole.shards, name).tolist()
