"""Resize and crop: columns against single images against exact fractions."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from hfbucket.core.law.geometry import cover, cover_columns, crop_columns, digest_words, geometry
from tests.property import oracle

sides = st.one_of(st.integers(1, 5000), st.integers(1, 2**31 - 1))
targets = st.integers(1, 4096)
corners = st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True)


@settings(max_examples=200)
@given(w=sides, h=sides, target_w=targets, target_h=targets)
def test_cover_is_the_exact_size_rounded_half_up(w: int, h: int, target_w: int, target_h: int) -> None:
    expected = oracle.cover((w, h), (target_w, target_h))
    assert cover(w, h, target_w, target_h) == expected
    columns = cover_columns(*(np.array([side], dtype=np.int64) for side in (w, h, target_w, target_h)))
    assert tuple(int(column[0]) for column in columns) == expected


@settings(max_examples=200)
@given(
    w=st.integers(1, 5000), h=st.integers(1, 5000), target_w=targets, target_h=targets, image_id=st.text(),
    crop=st.sampled_from(["corner", "center"]), corners=corners, corner_jitter=st.integers(0, 5000),
)  # fmt: skip
def test_the_crop_box_lies_in_the_resized_image(
    w: int, h: int, target_w: int, target_h: int, image_id: str, crop: str, corners: list[int], corner_jitter: int
) -> None:
    digest = hashlib.sha256(image_id.encode("utf-8", "surrogatepass")).digest()
    got = geometry(w, h, target_w, target_h, digest, crop=crop, corners=corners, corner_jitter=corner_jitter)
    assert (got.w, got.h) == (target_w, target_h)
    slack_x, slack_y = got.resized_w - target_w, got.resized_h - target_h
    assert 0 <= got.crop_left <= slack_x
    assert 0 <= got.crop_top <= slack_y
    left, top = crop_columns(
        np.array([slack_x]), np.array([slack_y]), digest_words(pa.array([digest], pa.binary(32))),
        crop=crop, corners=corners, corner_jitter=corner_jitter,
    )  # fmt: skip
    assert (left.tolist(), top.tolist()) == ([got.crop_left], [got.crop_top])
