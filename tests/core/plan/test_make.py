from __future__ import annotations

import numpy as np
import pytest

from hfbucket.config import Config
from hfbucket.core.duplicates.exact import Int64s, repeats
from hfbucket.core.duplicates.find import EQUAL, Fingerprints
from hfbucket.core.keys import digest_of
from hfbucket.core.law.buckets import SDXL, scaled_buckets
from hfbucket.core.law.geometry import geometry
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.core.plan.encoding import ENCODE_FULL, ENCODE_NONE
from hfbucket.core.plan.make import plan_rows
from hfbucket.core.plan.model import Plan
from hfbucket.core.plan.standing import Standing
from tests.index_tables import geometries, places, planned_bytes, planning_rows, row


def plan(rows: list[dict[str, object]], **settings: object) -> Plan:
    config = Config(**settings)  # type: ignore[arg-type]
    buckets = scaled_buckets(config.base, SDXL, config.divisible)
    return plan_rows(planning_rows(rows, config), buckets, config, plan_id="0123456789abcdef")


def outcomes(made: Plan) -> list[str]:
    return [OUTCOMES[code] for code in made.outcome]


def test_the_first_reason_that_applies_counts() -> None:
    """Each row has its reason and all that come after it in the format's order."""
    none = [None, None, None]
    rows = [
        row("a", None, None, outcome="decode_errors", captions=none, format="png"),
        row("b", 10, 10, captions=none, format="png"),
        row("c", 10, 10, captions=none),
        row("d", 10, 10),
        row("e", 6000, 600),
        row("d2", 600, 600),
        row("d2", 600, 600),
        row("f", 900, 600),
        row("d", 600, 600),
    ]
    made = plan(
        rows, image_mode="passthrough_jpeg", not_jpeg="skip", max_crop="0.3", min_bucket=2, rare="drop",
        duplicate_ids="first",
    )  # fmt: skip
    assert outcomes(made) == [
        "decode_errors", "skipped_not_jpeg", "skipped_no_caption", "skipped_too_small", "skipped_too_cropped",
        "images_exported", "duplicates_removed", "skipped_rare_bucket", "images_exported",
    ]  # fmt: skip


def test_only_eligible_images_are_duplicates_and_count_for_rare_buckets() -> None:
    rows = [row("a", 100, 100), row("a"), row("a"), row("b")]
    assert outcomes(plan(rows, duplicate_ids="first")) == [
        "skipped_too_small", "images_exported", "duplicates_removed", "images_exported",
    ]  # fmt: skip
    dropped = plan(rows, duplicate_ids="first", min_bucket=3, rare="drop")
    assert outcomes(dropped)[1:] == ["skipped_rare_bucket", "duplicates_removed", "skipped_rare_bucket"]


def test_rare_images_are_merged_into_the_next_best_bucket() -> None:
    rows = [row(f"{n}", 4000, 3000) for n in range(2)] + [row(f"w{n}", 4000, 2800) for n in range(5)]
    before, after = plan(rows), plan(rows, min_bucket=5, rare="merge")
    ids = [[made.buckets[bucket].bucket_id for bucket in places(made).bucket] for made in (before, after)]
    assert ids[0] == ["p1152x832"] * 2 + ["p1216x832"] * 5
    assert ids[1] == ["p1216x832"] * 7
    shown = geometries(after, rows, Config())
    assert (shown["resized_w"][0], shown["resized_h"][0]) == (608, 456)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(None, "skipped_no_caption"), ("drop", "skipped_no_caption"), ("empty", "images_exported")],
)
def test_missing_captions(policy: str | None, expected: str) -> None:
    made = plan([row("a"), row("b", captions=["", " ", None])], missing_caption=policy)
    assert outcomes(made) == ["images_exported", expected]
    assert made.caption_index.tolist() == [0, -1]


def test_left_out_rows_hold_nothing() -> None:
    made = plan([row("a"), row("b", 9, 9)])
    assert (made.members.tolist(), made.caption_index.tolist(), made.images()[:1]) == ([0], [0, -1], [1])
    assert made.plan_id == "0123456789abcdef"


def test_geometry_is_that_of_single_images() -> None:
    rows = [row(f"{n}.jpg", 520 + 37 * n, 1400 - 23 * n) for n in range(30)]
    for crop in ("corner", "center"):
        made = plan(rows, base=(512, 256), crop=crop, corners=(0, 3), corner_jitter=5)
        shown = geometries(made, rows, Config(base=(512, 256), crop=crop, corners=(0, 3), corner_jitter=5))
        for at, source in enumerate(rows):
            bucket = made.buckets[places(made).bucket[at]]
            expected = geometry(
                520 + 37 * at, 1400 - 23 * at, bucket.w, bucket.h, digest_of(str(source["image_id"])),
                crop=crop, corners=(0, 3), corner_jitter=5,
            )  # fmt: skip
            names = ("resized_w", "resized_h", "crop_left", "crop_top")
            assert [shown[name][at] for name in names] == [getattr(expected, name) for name in names]


def test_planned_bytes_of_encoded_images() -> None:
    rows = [row("a", 602, 602), row("b", 603, 603), row("c", 512, 5120)]
    assert planned_bytes(plan(rows, max_shard_samples=1)).tolist() == [
        4096 + -(-512 * 512 * 450 // 1000),
        4096 + -(-512 * 512 * 600 // 1000),  # 512/603 is below 0.85, 512/602 is above
        4096 + -(-256 * 1024 * 600 // 1000),
    ]
    other = plan(rows, subsampling="4:2:2", quality=90, max_shard_samples=1)
    assert planned_bytes(other)[0] == 4096 + -(-512 * 512 * 350 // 1000)


def test_planned_bytes_of_passthrough() -> None:
    rows = [row("a"), row("b", 601, 600, format="png", size_bytes=9), row("c", 2**31 - 1, 600, format="png")]
    made = plan(rows, image_mode="passthrough_jpeg", max_shard_samples=1)
    assert made.encode.tolist() == [ENCODE_NONE, ENCODE_FULL, ENCODE_FULL]
    assert planned_bytes(made).tolist() == [
        4096 + 50_000,
        4096 + -(-601 * 600 * 600 // 1000),
        4096 + 65_500 * 600 * 600 // 1000,
    ]
    assert geometries(made, rows, Config())["resized_w"][0] == 512  # what loading will do


def test_shards_are_cut_per_bucket_in_source_order() -> None:
    rows = [row(f"{n}", *((600, 600) if n % 3 else (900, 600))) for n in range(9)]
    made = plan(rows, max_shard_samples=4)
    assert places(made).shard.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert places(made).position.tolist() == [0, 0, 1, 1, 2, 3, 2, 0, 1]
    shards = [(made.buckets[bucket].bucket_id, shard, members.tolist()) for bucket, shard, members in made.shard_rows()]
    assert shards == [("p1216x832", 0, [0, 3, 6]), ("p1024x1024", 0, [1, 2, 4, 5]), ("p1024x1024", 1, [7, 8])]
    by_bytes = plan(rows, max_shard_size=250_000)  # two of 600x600, whose 4096 + 117965 bytes twice are less
    assert [len(members) for bucket, _, members in by_bytes.shard_rows() if bucket == places(made).bucket[1]] == [
        2,
        2,
        2,
    ]


def test_a_shuffled_plan_is_a_permutation_that_source_order_does_not_change() -> None:
    rows = [row(f"{n}", *((600, 600) if n % 3 else (900, 600))) for n in range(40)]
    members: dict[str, list[list[str]]] = {}
    for name, given in (("as is", rows), ("reversed", rows[::-1])):
        made = plan(given, shuffle=7, max_shard_samples=10)
        members[name] = [[str(given[at]["image_id"]) for at in shard] for _, _, shard in made.shard_rows()]
    assert members["as is"] == members["reversed"]
    assert sorted(name for shard in members["as is"] for name in shard) == sorted(str(n) for n in range(40))
    assert members["as is"][0] != [str(n) for n in range(0, 40, 3)][:10]


def test_nothing_to_export() -> None:
    made = plan([row("a", 9, 9)])
    assert list(made.shard_rows()) == []
    assert list(plan([]).shard_rows()) == []


def test_repeats_are_known_by_the_whole_key() -> None:
    words = np.array([[1, 1], [1, 2], [3, 3], [1, 1], [1, 2], [1, 1]], dtype=np.uint64)
    again, first = repeats(words)
    assert (again.tolist(), first.tolist()) == ([3, 4, 5], [0, 1, 0])
    again, first = repeats(words, np.array([1, 3, 5]))
    assert (again.tolist(), first.tolist()) == ([5], [3])
    again, first = repeats(words[:3])
    assert (len(again), len(first)) == (0, 0)


def test_what_an_export_holds_comes_first_among_duplicates() -> None:
    """Whatever its place in the source order; what is not eligible is not compared, nor what cannot be read now."""
    rows = [row("new"), row("held"), row("small", 9, 9), row("other"), row("removed"), row("lost", None, None,
            outcome="source_errors"), row("again")]  # fmt: skip
    config = Config(dedupe="sha256")
    buckets = scaled_buckets(config.base, SDXL, config.divisible)
    asked: list[int] = []

    def fingerprints(positions: Int64s) -> Fingerprints:
        asked.extend(positions.tolist())
        made = Fingerprints.empty(len(positions))
        made.has_exact[:] = True
        made.exact[:, 0] = [{3: 2, 4: 3, 6: 3}.get(position, 1) for position in positions.tolist()]
        return made

    held = np.array([False, True, False, False, True, True, False])
    standing = Standing(
        apart=held,
        outcome=np.array([0, 0, 0, 0, OUTCOMES.index("removed"), 0, 0], dtype=np.uint8),
        earlier=held,
        images=np.zeros(len(buckets), dtype=np.int64),
        next_shard=np.zeros(len(buckets), dtype=np.int64),
    )
    made = plan_rows(planning_rows(rows, config), buckets, config, standing=standing, fingerprints=fingerprints)
    assert asked == [1, 4, 0, 3, 6]
    assert outcomes(made) == [
        "duplicates_removed", "images_exported", "skipped_too_small", "images_exported", "removed", "images_exported",
        "duplicates_removed",
    ]  # fmt: skip
    assert (made.twins.rows.tolist(), made.twins.twin.tolist()) == ([0, 6], [1, 4])
    assert made.twins.distance.tolist() == [EQUAL, EQUAL]
