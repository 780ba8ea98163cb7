"""What the card's pictures show: every bucket once, and crop boxes that lie where they lie in the image."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.card.pictures import chart, panels, row_lines, sheet, sheet_title
from hfbucket.core.card.previews import CELL_H_PX, CELL_W_PX, frame
from hfbucket.core.manifest.model import Asset
from tests.io.card_manifest import FULL

SIDES = st.integers(1, 20_000)


@given(SIDES, SIDES, st.data())
def test_frames_fit_their_cell_with_the_box_inside(resized_w: int, resized_h: int, data: st.DataObject) -> None:
    left = data.draw(st.integers(0, resized_w - 1))
    top = data.draw(st.integers(0, resized_h - 1))
    right, bottom = data.draw(st.integers(left + 1, resized_w)), data.draw(st.integers(top + 1, resized_h))
    w, h, (x0, y0, x1, y1) = frame(resized_w, resized_h, (left, top, right, bottom))
    assert 1 <= w <= CELL_W_PX
    assert 1 <= h <= CELL_H_PX
    assert 0 <= x0 < x1 <= w
    assert 0 <= y0 < y1 <= h
    scale = min(Fraction(CELL_W_PX, resized_w), Fraction(CELL_H_PX, resized_h), Fraction(1))
    for got, exact in ((w, resized_w), (h, resized_h), (x0, left), (y0, top), (x1, right), (y1, bottom)):
        assert abs(got - exact * scale) < 2  # a box of less than a pixel is drawn as one


def test_frames_are_not_enlarged() -> None:
    assert frame(64, 48, (0, 0, 64, 40)) == (64, 48, (0, 0, 64, 40))
    assert frame(576, 432, (0, 16, 576, 432)) == (200, 150, (0, 6, 200, 150))


def test_panels_go_from_tall_to_wide() -> None:
    first, second = panels(FULL)
    assert first.title == "Base 512: 1,234,555 images in 2 buckets"
    assert [(bar.w, bar.h, bar.images) for bar in first.bars] == [(512, 512, 555), (576, 416, 1_234_000)]
    assert second.title == "Base 51: 12 images in 1 bucket"


def test_rows_and_titles() -> None:
    lines = ("r512_p1152x832", "576 x 416", "1,234,000 images", "2.0% cropped away")
    assert row_lines(FULL, "r512_p1152x832") == lines
    assert row_lines(replace(FULL, statistics={}), "r512_p1152x832") == lines[:3]
    told = "Outlined: what the crop keeps. Dark: what it takes away."
    assert sheet_title(FULL, 512, 2) == f"Base 512: images of its 2 buckets. {told}"
    assert sheet_title(FULL, 512, 1) == f"Base 512: images of the 1 largest of its 2 buckets. {told}"


def test_the_card_shows_only_pictures_that_are_there() -> None:
    assert chart(FULL) == sheet(FULL, 512) == ""
    with_sheet = replace(FULL, assets=(Asset(file="assets/samples-512.jpg", bytes=1, sha256="0" * 64),))
    assert sheet(with_sheet, 512) == "![Images of base 512 with their crop boxes](assets/samples-512.jpg)"
    assert chart(with_sheet) == sheet(with_sheet, 51) == ""
