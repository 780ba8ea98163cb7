"""What an export has seen against a dictionary, and what is planned after it against what stands there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from hfbucket.config import Config
from hfbucket.core.keys import digest_of
from hfbucket.core.law.buckets import Bucket, scaled_buckets
from hfbucket.core.outcomes import CODE, EXPORTED, OUTCOMES
from hfbucket.core.plan.growth import HELD, LEFT_OUT, NEW, REMOVED, SETTLED, Growth, Known, grow, key_words, places_of
from hfbucket.core.plan.make import plan_rows
from hfbucket.core.plan.model import Plan
from tests.index_tables import places, planned_bytes, planning_rows, row
from tests.property import oracle

PROTOS = ((1024, 512), (1024, 1024), (512, 1024))

configs = st.builds(
    Config,
    base=st.sampled_from([(128, 64), (64,)]),
    divisible=st.just(8),
    shuffle=st.sampled_from([None, 7]),
    min_bucket=st.integers(0, 3),
    rare=st.sampled_from(["keep", "merge", "drop"]),
    max_shard_samples=st.integers(1, 4),
    max_shard_size=st.integers(1, 40_000),
    duplicate_ids=st.just("first"),
    image_mode=st.sampled_from(["reencode_jpeg", "passthrough_jpeg"]),
)
Image = tuple[int, int, str | None, int]
image = st.tuples(
    st.integers(1, 150), st.integers(1, 150), st.sampled_from(["a", "a", "a", None]), st.integers(1, 9_000)
)
inputs = st.dictionaries(st.integers(0, 30), image, max_size=16)


def rows_of(images: dict[int, Image]) -> list[dict[str, object]]:
    return [
        row(str(name), w, h, captions=[text, None, None], size_bytes=size)
        for name, (w, h, text, size) in sorted(images.items())
    ]


def plan(images: dict[int, Image], config: Config, grown: tuple[Growth, list[int], list[int]] | None = None) -> Plan:
    buckets = scaled_buckets(config.base, PROTOS, config.divisible)
    standing = None
    if grown is not None:
        growth, counts, next_shard = grown
        standing = growth.standing(np.array(counts), np.array(next_shard))
    return plan_rows(planning_rows(rows_of(images), config), buckets, config, standing=standing)


def known(made: Plan, images: dict[int, Image], removed: set[int], config: Config) -> Known:
    """What the tables of an export of this plan say."""
    names = sorted(images)
    held = [at for at, name in enumerate(names) if made.outcome[at] == EXPORTED and name not in removed]
    out = [at for at, name in enumerate(names) if made.outcome[at] != EXPORTED and name not in removed]
    kept = config.image_mode == "passthrough_jpeg"
    return Known(
        keys=keys(names[at] for at in held),
        source_w=np.array([images[names[at]][0] for at in held], dtype=np.int64),
        source_h=np.array([images[names[at]][1] for at in held], dtype=np.int64),
        source_bytes=np.array([images[names[at]][3] if kept else -1 for at in held], dtype=np.int64),
        left_out=pa.array([str(names[at]) for at in out], pa.string()),
        outcome=made.outcome[out],
        removed=keys(removed),
    )


def texts(names: list[int]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(map(str, names), pa.string())])


def keys(names: object) -> np.ndarray:
    return key_words(b"".join(digest_of(str(name))[:16] for name in names))  # type: ignore[attr-defined]


def held_by(made: Plan, buckets: tuple[Bucket, ...], images: dict[int, Image], removed: set[int]) -> list[int]:
    names = sorted(images)
    kept = [at for at, name in enumerate(names) if made.outcome[at] == EXPORTED and name not in removed]
    return [int(np.sum(places(made).bucket[kept] == number)) for number in range(len(buckets))]


@settings(max_examples=80)
@given(config=configs, first=inputs, second=inputs, gone=st.sets(st.integers(0, 30)), takes=st.sets(st.integers(0, 30)))
def test_growth(
    config: Config, first: dict[int, Image], second: dict[int, Image], gone: set[int], takes: set[int]
) -> None:
    before = plan(first, config)
    removed = takes & set(first)
    told = known(before, first, removed, config)
    now = {name: image for name, image in {**first, **second}.items() if name not in gone}
    names = sorted(now)
    made = planning_rows(rows_of(now), config)
    growth = grow(made, places_of(texts(names), told.left_out), told)

    was = dict(zip(sorted(first), before.outcome.tolist(), strict=True))
    states = [
        REMOVED if name in removed
        else NEW if name not in first
        else HELD if was[name] == EXPORTED
        else SETTLED if OUTCOMES[was[name]] == "duplicates_removed"
        else LEFT_OUT
        for name in names
    ]  # fmt: skip
    assert growth.state.tolist() == states
    listed = [told.left_out[at].as_py() if at >= 0 else None for at in growth.listed.tolist()]
    assert listed == [str(name) if state == LEFT_OUT else None for name, state in zip(names, states, strict=True)]
    sizes = slice(0, 4 if config.image_mode == "passthrough_jpeg" else 2)
    other = [at for at, name in enumerate(names) if states[at] == HELD and is_other(first[name], now[name], sizes)]
    assert growth.changed.tolist() == other
    held = [name for name in sorted(first) if was[name] == EXPORTED and name not in removed]
    assert [held[at] for at in growth.gone.tolist()] == [name for name in held if name in gone]

    buckets = before.buckets
    counts = held_by(before, buckets, first, removed)
    next_shard = next_shards(before)
    after = plan(now, config, (growth, counts, next_shard))
    planned = planned_bytes(plan(now, replace(config, max_shard_samples=1), (growth, counts, next_shard)))
    check_appended(after, planned, states, now, counts, next_shard, config)


def next_shards(made: Plan) -> list[int]:
    where = places(made)
    return [int(where.shard[where.bucket == number].max(initial=-1)) + 1 for number in range(len(made.buckets))]


def is_other(before: Image, now: Image, which: slice) -> bool:
    (w, h, _, size), (new_w, new_h, _, new_size) = before, now
    return (w, h, size)[which] != (new_w, new_h, new_size)[which]


def check_appended(
    after: Plan,
    planned: np.ndarray,
    states: list[int],
    now: dict[int, Image],
    counts: list[int],
    next_shard: list[int],
    config: Config,
) -> None:
    """What stands keeps its place, the rest comes after it, as a plan of it alone would have it."""
    where = places(after)
    looked_at = [at for at, state in enumerate(states) if state in (NEW, LEFT_OUT)]
    assert all(where.shard[at] == -1 for at in set(range(len(states))) - set(looked_at))
    assert [OUTCOMES[after.outcome[at]] for at, state in enumerate(states) if state == REMOVED] == ["removed"] * (
        states.count(REMOVED)
    )
    names = sorted(now)
    rest = {names[at]: now[names[at]] for at in looked_at}
    alone = plan(rest, replace(config, rare="keep"))
    if config.rare == "keep":
        assert after.outcome[looked_at].tolist() == alone.outcome.tolist()
        assert where.bucket[looked_at].tolist() == places(alone).bucket.tolist()
    else:
        for number, total in enumerate(counts):
            placed = int(np.sum(where.bucket == number))
            assert placed == 0 or placed + total >= config.min_bucket
    assert all(after.outcome[at] == CODE["skipped_rare_bucket"] or after.outcome[at] == alone.outcome[number]
               for number, at in enumerate(looked_at))  # fmt: skip
    ordered = [(bucket, shard, members.tolist()) for bucket, shard, members in after.shard_rows()]
    for number, start in enumerate(next_shard):
        mine = [(shard, members) for bucket, shard, members in ordered if bucket == number]
        assert [shard for shard, _ in mine] == list(range(start, start + len(mine)))
        inside = [at for _, members in mine for at in members]
        assert sorted(inside) == np.flatnonzero(where.bucket == number).tolist()
        if config.shuffle is None:
            assert inside == sorted(inside)
        cut = oracle.cut(planned[inside].tolist(), config.max_shard_size, config.max_shard_samples)
        assert [(s - start, p) for s, p in zip(where.shard[inside], where.position[inside], strict=True)] == cut


@given(config=configs, images=inputs)
def test_an_empty_export_grows_into_what_is_built_at_once(config: Config, images: dict[int, Image]) -> None:
    built = plan(images, config)
    empty = known(plan({}, config), {}, set(), config)
    names = texts(sorted(images))
    growth = grow(planning_rows(rows_of(images), config), places_of(names, empty.left_out), empty)
    nothing = [0] * len(built.buckets)
    grown = plan(images, config, (growth, nothing, nothing))
    assert grown.outcome.tolist() == built.outcome.tolist()
    assert [(*shard, at.tolist()) for *shard, at in grown.shard_rows()] == [
        (*shard, at.tolist()) for *shard, at in built.shard_rows()
    ]
    assert grown.shards.planned_bytes.tolist() == built.shards.planned_bytes.tolist()


@given(config=configs, images=inputs)
def test_nothing_new_plans_nothing(config: Config, images: dict[int, Image]) -> None:
    built = plan(images, config)
    told = known(built, images, set(), config)
    names = texts(sorted(images))
    growth = grow(planning_rows(rows_of(images), config), places_of(names, told.left_out), told)
    next_shard = next_shards(built)
    again = plan(images, config, (growth, held_by(built, built.buckets, images, set()), next_shard))
    assert list(again.shard_rows()) == []
    assert again.outcome.tolist() == built.outcome.tolist()
    assert (len(growth.changed), len(growth.gone)) == (0, 0)
