"""The card's statistics: exact, and the same whatever the shards they are folded from."""

from __future__ import annotations

import json
from fractions import Fraction
from math import ceil

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.card.statistics import SPREADS, Measure, Statistics, sample_statistics
from hfbucket.errors import FormatError
from hfbucket.schemas import SAMPLES

Row = tuple[int, int, int, int, int, int, str | None]

COLUMNS = ("w", "h", "resized_w", "resized_h", "source_w", "source_h", "caption")
PHOTO: Row = (576, 416, 576, 432, 4000, 3000, "a dog")


def table(rows: list[Row]) -> pa.Table:
    types = [pa.int32(), pa.int32(), pa.int32(), pa.int32(), pa.int64(), pa.int64(), pa.string()]
    captions = SAMPLES.field("captions")
    schema = pa.schema([*zip(COLUMNS, types, strict=True), pa.field("bucket_id", pa.string()), captions])
    return pa.Table.from_pylist([named(row) for row in rows], schema=schema)


def named(row: Row) -> dict[str, object]:
    texts = [{"variant": "long", "text": row[6]}, {"variant": "short", "text": " "}, {"variant": "alt", "text": "ab"}]
    return {**dict(zip(COLUMNS, row, strict=True)), "bucket_id": f"p{row[0]}x{row[1]}", "captions": texts}


@st.composite
def rows(draw: st.DrawFn) -> Row:
    w, h = draw(st.integers(32, 2048)), draw(st.integers(32, 2048))
    resized_w, resized_h = w + draw(st.integers(0, 100_000)), h + draw(st.integers(0, 100_000))
    source_w, source_h = resized_w + draw(st.integers(0, 10**6)), resized_h + draw(st.integers(0, 10**6))
    caption = draw(st.none() | st.text(alphabet="a\U0001f600é ", max_size=30))
    return (w, h, resized_w, resized_h, source_w, source_h, caption)


def test_one_photo() -> None:
    statistics = sample_statistics(table([PHOTO]))
    assert statistics.crop_loss_ppm.sum == ceil(Fraction(16, 432) * 10**6) == 37_038
    assert statistics.crop_loss_ppm.images == (0, 0, 1, 0, 0, 0, 0, 0)
    assert statistics.downscale_permille.max == ceil(Fraction(4000, 576) * 1000)
    assert statistics.caption_characters.sum == 5


def test_untouched_image_stands_in_the_first_bands() -> None:
    statistics = sample_statistics(table([(512, 512, 512, 512, 512, 512, None)]))
    for spread in (statistics.crop_loss_ppm, statistics.downscale_permille, statistics.caption_characters):
        assert spread.images[0] == spread.count == 1


def test_no_rows() -> None:
    assert sample_statistics(table([])).crop_loss_ppm.count == 0


def test_characters_are_counted_not_bytes() -> None:
    assert sample_statistics(table([(*PHOTO[:6], "日本\U0001f600")])).caption_characters.sum == 3


@given(st.lists(rows(), max_size=12), st.integers(0, 12))
def test_parts_fold_to_the_whole(rows: list[Row], cut: int) -> None:
    whole = sample_statistics(table(rows))
    parts = sample_statistics(table(rows[:cut])), sample_statistics(table(rows[cut:]))
    assert parts[0] + parts[1] == parts[1] + parts[0] == whole


@given(st.lists(rows(), min_size=1, max_size=12))
def test_crop_loss_is_exact(rows: list[Row]) -> None:
    losses = [ceil((1 - Fraction(w * h, rw * rh)) * 10**6) for w, h, rw, rh, *_ in rows]
    spread = sample_statistics(table(rows)).crop_loss_ppm
    assert (spread.sum, spread.max, spread.count) == (sum(losses), max(losses), len(losses))


@given(st.lists(rows(), max_size=5))
def test_goes_through_json(rows: list[Row]) -> None:
    statistics = sample_statistics(table(rows))
    assert Statistics.from_dict(json.loads(json.dumps(statistics.to_dict()))) == statistics


def test_chunks_and_slices_do_not_matter() -> None:
    rows: list[Row] = [PHOTO, (512, 512, 600, 512, 1200, 1024, None), PHOTO]
    chunked = pa.concat_tables([table(rows[:1]), table([PHOTO, *rows[1:]]).slice(1)])
    assert sample_statistics(chunked) == sample_statistics(table(rows))


def test_measures_by_bucket_and_variant() -> None:
    other: Row = (512, 512, 600, 512, 1200, 1024, "é" * 9)
    statistics = sample_statistics(table([PHOTO, other, PHOTO, (*PHOTO[:6], None)]))
    assert statistics.crop_loss_ppm_by_bucket == {
        "p576x416": Measure(images=3, sum=3 * 37_038, max=37_038),
        "p512x512": Measure(images=1, sum=146_667, max=146_667),
    }
    assert statistics.caption_characters_by_variant == {
        "long": Measure(images=3, sum=19, max=9),
        "alt": Measure(images=4, sum=8, max=2),
    }


def test_statistics_of_earlier_releases_have_no_measures() -> None:
    value = sample_statistics(table([PHOTO])).to_dict()
    old = {name: value[name] for name in SPREADS}
    assert Statistics.from_dict(old).crop_loss_ppm_by_bucket == {}


@pytest.mark.parametrize("broken", [[], {"a": 1}, {"a": {"images": 1, "sum": 1}}])
def test_broken_measures_are_named(broken: object) -> None:
    value = {**sample_statistics(table([PHOTO])).to_dict(), "crop_loss_ppm_by_bucket": broken}
    with pytest.raises(FormatError, match=r"statistics\.crop_loss_ppm_by_bucket: must hold integers"):
        Statistics.from_dict(value)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({}, "statistics.crop_loss_ppm: must be an object, got None"),
        ({"crop_loss_ppm": {"images": [1]}}, "statistics.crop_loss_ppm: must hold integers .* 'up_to'"),
        ({"crop_loss_ppm": {"images": [1], "up_to": [1], "sum": 0, "max": 0}}, "one band more than ends, got 1 and 1"),
    ],
)
def test_broken_statistics_are_named(broken: dict[str, object], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Statistics.from_dict(broken)
