from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from hfbucket.core.keys import digest_of, key_of
from hfbucket.core.law.geometry import Geometry, cover, digest_words, geometry

DIGEST = digest_of("a.jpg")


def test_the_formats_vector() -> None:
    assert key_of(DIGEST) == "509b0d4641a7c3ba088ffa28559d1f57"
    expected = Geometry(resized_w=576, resized_h=432, crop_left=0, crop_top=16, w=576, h=416)
    assert geometry(4000, 3000, 576, 416, DIGEST) == expected
    moved = geometry(4000, 3000, 576, 416, DIGEST, corner_jitter=8)
    assert (moved.crop_left, moved.crop_top) == (0, 9)


@pytest.mark.parametrize(
    ("image", "target", "expected"),
    [
        ((576, 416), (576, 416), (576, 416)),
        ((4000, 3000), (416, 576), (768, 576)),
        ((3, 2), (1, 1), (2, 1)),  # 1.5 rounds up
        ((1000, 999), (512, 512), (513, 512)),  # 512.51
        ((2049, 2048), (512, 512), (512, 512)),  # 512.25 rounds to no slack at all
        ((1, 10**9), (1, 1), (1, 10**9)),
    ],
)
def test_cover(image: tuple[int, int], target: tuple[int, int], expected: tuple[int, int]) -> None:
    assert cover(*image, *target) == expected


def test_corners_and_center() -> None:
    boxes = [geometry(400, 300, 100, 60, DIGEST, corners=(corner,)) for corner in range(4)]
    assert [(box.crop_left, box.crop_top) for box in boxes] == [(0, 0), (0, 0), (0, 15), (0, 15)]
    boxes = [geometry(300, 100, 100, 60, DIGEST, corners=(corner,)) for corner in range(4)]
    assert [(box.crop_left, box.crop_top) for box in boxes] == [(0, 0), (80, 0), (0, 0), (80, 0)]
    middle = geometry(301, 100, 100, 60, DIGEST, crop="center", corner_jitter=9)
    assert (middle.resized_w, middle.crop_left, middle.crop_top) == (181, 40, 0)


def test_only_allowed_corners_are_used_and_all_of_them() -> None:
    lefts = {geometry(300, 100, 100, 60, digest_of(f"{n}"), corners=(1, 3)).crop_left for n in range(50)}
    assert lefts == {80}
    tops = {geometry(100, 300, 60, 100, digest_of(f"{n}"), corners=(0, 2)).crop_top for n in range(50)}
    assert tops == {0, 80}


def test_digest_words_are_big_endian_and_know_slices() -> None:
    digests = pa.array([digest_of("x"), DIGEST, digest_of("y")], pa.binary(32))
    words = digest_words(digests.slice(1, 1))
    assert words.dtype == np.uint64
    assert words.tolist() == [[int.from_bytes(DIGEST[at : at + 8], "big") for at in (0, 8, 16, 24)]]
