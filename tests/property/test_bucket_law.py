"""The bucket law in columns against a brute force in exact fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfbucket.core.law.assign import METRICS, assign
from hfbucket.core.law.buckets import SDXL, Bucket, scaled_buckets
from hfbucket.core.law.explain import explain
from hfbucket.core.law.rare import dissolve_rare
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.errors import ConfigError
from tests.property import oracle

ODD_PROTOS = ((1000, 600), (512, 512), (513, 511), (2048, 130), (700, 1024), (1024, 700), (90, 3000), (1024, 1023))

metrics = st.sampled_from(sorted(METRICS))
protos = st.lists(st.tuples(st.integers(1, 4096), st.integers(1, 4096)), min_size=1, max_size=8, unique=True)
bases = st.lists(st.integers(1, 2048), min_size=1, max_size=3, unique=True)
shares = st.fractions(min_value=0, max_value=1, max_denominator=10**6)
sides = st.one_of(st.integers(1, 3000), st.integers(1, 63).flatmap(lambda bits: st.integers(1, 2**bits - 1)))


def as_targets(buckets: Sequence[Bucket]) -> list[oracle.Target]:
    return [(bucket.base, (bucket.proto_w, bucket.proto_h), (bucket.w, bucket.h)) for bucket in buckets]


def by_law(
    images: Sequence[oracle.Size], buckets: Sequence[Bucket], metric: str, max_crop: Fraction
) -> list[int | str]:
    width, height = np.array(images, dtype=np.int64).T
    found = assign(width, height, buckets, metric=metric, max_crop=max_crop)
    assert found.bucket.dtype == np.int16
    assert found.outcome.dtype == np.uint8
    pairs = zip(found.bucket.tolist(), found.outcome.tolist(), strict=True)
    return [OUTCOMES[outcome] if outcome else bucket for bucket, outcome in pairs]


def check(images: Sequence[oracle.Size], buckets: Sequence[Bucket], metric: str, max_crop: Fraction) -> None:
    targets = as_targets(buckets)
    expected = [oracle.choose(image, targets, metric, max_crop) for image in images]
    assert by_law(images, buckets, metric, max_crop) == expected


@pytest.mark.parametrize("max_crop", [Fraction(1), Fraction(3, 10)])
@pytest.mark.parametrize("metric", sorted(METRICS))
def test_every_size_of_a_dense_grid(metric: str, max_crop: Fraction) -> None:
    """Every width and height from 1 to 90 pixels, past every bucket of odd protos at two small bases."""
    buckets = scaled_buckets((64, 32), ODD_PROTOS, 4)
    check([(w, h) for w in range(1, 91) for h in range(1, 91)], buckets, metric, max_crop)


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_the_default_table_over_photo_sizes(metric: str) -> None:
    """The default table at 512 and 256, over sizes that step through all residues of the divisor."""
    grid = [(w, h) for w in range(100, 2500, 73) for h in range(100, 2500, 73)]
    check(grid, scaled_buckets((512, 256), SDXL, 32), metric, Fraction(1))


@pytest.mark.parametrize("max_crop", [Fraction(1), Fraction(10**17 - 1, 10**17), Fraction(1, 2) + Fraction(1, 10**30)])
@pytest.mark.parametrize("metric", sorted(METRICS))
def test_sizes_around_every_power_of_two(metric: str, max_crop: Fraction) -> None:
    """Where products of int64 begin to overflow, at each of the magnitudes int64 holds."""
    steps = sorted({2**bits + off for bits in range(8, 63, 3) for off in (-1, 1)} | {2**63 - 1})
    images = [(w, h) for w in steps for h in (w, w - w // 5, w // 2 + 1)]
    images += [(h, w) for w, h in images]
    check(images, scaled_buckets((128, 64), SDXL[::3], 8), metric, max_crop)


@settings(max_examples=60)
@given(protos=protos, bases=bases, divisible=st.integers(1, 64), metric=metrics, max_crop=shares, data=st.data())
def test_any_table_any_size(
    protos: list[oracle.Size], bases: list[int], divisible: int, metric: str, max_crop: Fraction, data: st.DataObject
) -> None:
    """Any protos, bases, divisor, metric and limit, for any size int64 can hold, and sizes around the buckets'."""
    targets = oracle.targets(bases, protos, divisible)
    if not targets:
        with pytest.raises(ConfigError, match="leave no bucket"):
            scaled_buckets(bases, protos, divisible)
        return
    buckets = scaled_buckets(bases, protos, divisible)
    assert as_targets(buckets) == targets
    images = data.draw(st.lists(st.tuples(sides, sides), min_size=1, max_size=10))
    near = [
        (max(1, w + dw), max(1, h + dh)) for _, _, (w, h) in targets[:3] for dw, dh in product((-1, 0, 1), repeat=2)
    ]
    check([*images, *near], buckets, metric, max_crop)


@settings(max_examples=40)
@given(w=st.integers(1, 5000), h=st.integers(1, 5000), metric=metrics, max_crop=shares)
def test_explain_tells_the_same_scores(w: int, h: int, metric: str, max_crop: Fraction) -> None:
    buckets = scaled_buckets((128, 64), SDXL[::4], 8)
    found = explain(w, h, buckets, metric=metric, max_crop=max_crop)
    chosen = oracle.choose((w, h), as_targets(buckets), metric, max_crop)
    assert [number for number, score in enumerate(found.scores) if score.chosen] == [chosen][: isinstance(chosen, int)]
    for score in found.scores:
        target = (score.bucket.w, score.bucket.h)
        assert score.score == oracle.score(metric, (w, h), target)
        assert score.crop_share == oracle.crop_share((w, h), target)
        assert (score.fit != "too_small") == oracle.fits_size((w, h), target)


@settings(max_examples=60)
@given(
    images=st.lists(st.tuples(st.integers(1, 80), st.integers(1, 80)), min_size=1, max_size=40),
    metric=metrics, max_crop=shares, min_bucket=st.integers(0, 12), rare=st.sampled_from(["keep", "merge", "drop"]),
)  # fmt: skip
def test_rare_buckets(images: list[oracle.Size], metric: str, max_crop: Fraction, min_bucket: int, rare: str) -> None:
    """Dissolving on distinct sizes with counts equals dissolving image by image."""
    buckets = scaled_buckets((64, 32), ODD_PROTOS[:5], 8)
    expected = oracle.with_rare(images, as_targets(buckets), metric, max_crop, min_bucket, rare)
    distinct, of_image, counts = np.unique(np.array(images), axis=0, return_inverse=True, return_counts=True)
    width, height = distinct.T
    law = assign(width, height, buckets, metric=metric, max_crop=max_crop)
    found = dissolve_rare(
        law.bucket, counts, width, height, buckets,
        min_bucket=min_bucket, rare=rare, metric=metric, max_crop=max_crop,
    )[of_image.ravel()]  # fmt: skip
    assert [bucket if isinstance(bucket, int) else -1 for bucket in expected] == found.tolist()
