"""A whole plan against the oracle: every row in exactly one place, the place the format's text gives it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from hfbucket.config import Config
from hfbucket.core.law.buckets import scaled_buckets
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.core.plan.make import plan_rows
from tests.index_tables import places, planned_bytes, planning_rows, row
from tests.property import oracle

PROTOS = ((1024, 512), (1024, 1024), (512, 1024), (1000, 600))

configs = st.builds(
    Config,
    base=st.lists(st.sampled_from([128, 64, 32]), min_size=1, max_size=3, unique=True).map(tuple),
    divisible=st.sampled_from([1, 8, 32]),
    max_crop=st.sampled_from([Fraction(1), Fraction(1, 4)]),
    min_bucket=st.integers(0, 6),
    rare=st.sampled_from(["keep", "merge", "drop"]),
    shuffle=st.none(),
    max_shard_samples=st.integers(1, 5),
    max_shard_size=st.integers(1, 40_000),
    missing_caption=st.sampled_from(["drop", "empty"]),
    duplicate_ids=st.just("first"),
)
images = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 150), st.integers(1, 150), st.sampled_from(["a", None])), max_size=25
)


@settings(max_examples=60)
@given(config=configs, images=images)
def test_every_row_has_the_place_the_format_gives_it(
    config: Config, images: list[tuple[int, int, int, str | None]]
) -> None:
    rows = [row(str(name), w, h, captions=[text, None, None]) for name, w, h, text in images]
    buckets = scaled_buckets(config.base, PROTOS, config.divisible)
    made = plan_rows(planning_rows(rows, config), buckets, config)
    where = places(made)
    planned = planned_bytes(plan_rows(planning_rows(rows, config), buckets, replace(config, max_shard_samples=1)))

    targets = oracle.targets(config.base, PROTOS, config.divisible)
    expected: list[int | str] = [
        oracle.choose((w, h), targets, config.metric, config.max_crop) for _, w, h, _ in images
    ]
    for at, (name, _, _, text) in enumerate(images):
        if text is None and config.missing_caption == "drop":
            expected[at] = "skipped_no_caption"
        elif isinstance(expected[at], int) and any(
            isinstance(expected[before], int) and images[before][0] == name for before in range(at)
        ):
            expected[at] = "duplicates_removed"
    left = [at for at, found in enumerate(expected) if isinstance(found, int)]
    sizes = [images[at][1:3] for at in left]
    finally_ = oracle.with_rare(sizes, targets, config.metric, config.max_crop, config.min_bucket, config.rare)
    for at, found in zip(left, finally_, strict=True):
        expected[at] = found

    assert [
        int(bucket) if code == 0 else OUTCOMES[code] for bucket, code in zip(where.bucket, made.outcome, strict=True)
    ] == expected
    for number in range(len(buckets)):
        members = [at for at, found in enumerate(expected) if found == number]
        cut = oracle.cut(planned[members].tolist(), config.max_shard_size, config.max_shard_samples)
        assert list(zip(where.shard[members], where.position[members], strict=True)) == cut
    told = [(bucket, shard, at) for bucket, shard, members in made.shard_rows() for at in members.tolist()]
    assert sorted(at for _, _, at in told) == [at for at, found in enumerate(expected) if isinstance(found, int)]
    assert made.shards.planned_bytes.sum() == planned.sum()
