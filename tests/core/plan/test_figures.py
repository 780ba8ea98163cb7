"""The figures of a plan's report, against plans made by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from hfbucket.config import Config
from hfbucket.core.law.buckets import SDXL, Bucket, scaled_buckets
from hfbucket.core.law.sizes import Sizes
from hfbucket.core.outcomes import CODE
from hfbucket.core.plan import figures
from hfbucket.core.plan.encoding import ENCODE_BUCKET, ENCODE_FULL, ENCODE_NONE
from hfbucket.core.plan.model import Plan, Shards

BUCKETS = (
    Bucket(bucket_id="r64_a", base=64, proto_w=1024, proto_h=1024, w=64, h=64),
    Bucket(bucket_id="r64_b", base=64, proto_w=1536, proto_h=640, w=96, h=32),
    Bucket(bucket_id="r32_a", base=32, proto_w=1024, proto_h=1024, w=32, h=32),
)
SMALL, BROKEN = CODE["skipped_too_small"], CODE["decode_errors"]


@pytest.fixture
def plan() -> Plan:
    """Three images in r64_b, one in r64_a, one in r32_a; two too small, one broken."""
    sides = [(0, 0), (960, 320), (96, 48), (64, 128), (96, 64), (40, 40), (9, 9)]
    return Plan(
        buckets=BUCKETS,
        outcome=np.array([0, SMALL, 0, 0, BROKEN, 0, 0, SMALL], dtype=np.uint8),
        size=np.array([1, 6, 2, 3, 0, 4, 5, 6], dtype=np.int32),
        sizes=Sizes(width=np.array([w for w, _ in sides]), height=np.array([h for _, h in sides])),
        bucket_of_size=np.array([-1, 1, 1, 0, 1, 2, -1], dtype=np.int16),
        caption_index=np.zeros(8, dtype=np.int8),
        encode=np.array([0, 0, ENCODE_NONE, ENCODE_FULL, 0, 0, ENCODE_BUCKET, 0], dtype=np.int8),
        members=np.array([3, 0, 2, 5, 6], dtype=np.int32),
        shards=Shards(
            bucket=np.array([0, 1, 2], dtype=np.int16),
            number=np.zeros(3, dtype=np.int32),
            start=np.array([0, 1, 4, 5]),
            planned_bytes=np.array([3, 7, 5]),
        ),
        plan_id="0123456789abcdef",
    )


def test_tables_count_every_exported_image_once(plan: Plan) -> None:
    found = figures.figures_of(plan)
    assert found.exported.tolist() == [0, 1, 1, 1, 1, 1, 0]
    assert found.loss_ppm[plan.size[plan.outcome == 0]].tolist() == [0, 333_334, 500_000, 500_000, 0]
    assert (found.open_to_bases.tolist(), found.too_small.tolist()) == ([0, 1, 1, 1, 1, 1, 2], [0] * 6 + [2])
    tables = figures.base_tables(plan, found, batch_size=2)
    assert [(table.base, table.images) for table in tables] == [(64, 4), (32, 1)]
    first, second = tables[0].buckets
    assert (first.bucket_id, first.images, first.batches, first.left_over) == ("r64_b", 3, 1, 1)
    assert (first.share_ppm, first.mean_crop_loss_ppm, first.worst_crop_loss_ppm) == (600_000, 277_778, 500_000)
    assert (second.bucket_id, second.under_filled, first.under_filled) == ("r64_a", True, False)


def test_worst_crops_are_the_first_of_the_worst(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    found = figures.figures_of(plan)
    for rows in (8, 1, 3):
        monkeypatch.setattr("hfbucket.core.chunks.CHUNK_ROWS", rows)
        assert figures.worst_rows(plan, found).tolist() == [3, 5, 2]
    assert figures.worst_rows(plan, replace(found, loss_ppm=np.zeros_like(found.loss_ppm))).tolist() == []


def test_every_reason_has_its_first_rows(plan: Plan) -> None:
    found = {name: rows.tolist() for name, rows in figures.first_rows(plan).items()}
    assert found == {"decode_errors": [4], "skipped_too_small": [1, 7]}


def test_failures_are_too_many_above_the_limit_only(plan: Plan) -> None:
    assert not figures.too_many_failures(plan, Fraction(1, 8))
    assert figures.too_many_failures(plan, Fraction(1, 9))


def test_output_is_what_the_shards_are_cut_by(plan: Plan) -> None:
    assert figures.output_bytes(plan) == 15


def test_time_is_shared_by_workers(plan: Plan) -> None:
    found = figures.figures_of(plan)
    assert (found.encoded.sum(), found.encoded_full.sum()) == (3, 1)
    one = figures.build_seconds(plan, found, 10**11, 1)
    assert one > 60
    assert abs(figures.build_seconds(plan, found, 10**11, 4) - one / 4) <= 1


def test_lower_bases_and_other_bases() -> None:
    side, images = np.array([1100, 600, 300, 90, 10]), np.array([1, 1, 2, 1, 1])
    sizes, small = Sizes(width=side, height=side), np.array([0, 0, 2, 1, 1])
    assert figures.rescued_by_base(sizes, small, Config(base=(512,)), SDXL) == {256: 2, 128: 2, 64: 3}
    options = {option.bases: option for option in figures.base_options(sizes, images, Config(batch_size=2), SDXL)}
    assert list(options) == [
        (1024,), (512,), (256,), (1024, 512), (1024, 256), (512, 256), (1024, 512, 256),
    ]  # fmt: skip
    both = options[(512, 256)]
    assert (both.images, both.skipped_too_small, both.buckets, both.under_filled) == (4, 2, 2, 0)
    assert all(option.images + option.skipped_too_small == images.sum() for option in options.values())


def test_protos_that_leave_no_bucket_take_nothing() -> None:
    sizes = Sizes(width=np.array([50]), height=np.array([50]))
    assert figures.rescued_by_base(sizes, np.array([1]), Config(base=(256,)), ((100, 100),)) == {}
    assert scaled_buckets((1024,), ((100, 100),), 32)[0].w == 96
