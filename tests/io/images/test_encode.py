from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from hfbucket.config import Config
from hfbucket.core.law.geometry import Geometry
from hfbucket.errors import SampleError
from hfbucket.io.images.decode import decode_rgb
from hfbucket.io.images.encode import encode_jpeg, fit, jpeg_subsampling, versions
from hfbucket.io.images.jpeg import segments
from tests.io.images.pictures import encoded, exif, icc_profile, picture


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(7).integers(0, 255, (height, width, 3), np.uint8))


def box(resized: tuple[int, int], at: tuple[int, int], size: tuple[int, int]) -> Geometry:
    return Geometry(resized_w=resized[0], resized_h=resized[1], crop_left=at[0], crop_top=at[1], w=size[0], h=size[1])


def test_fit_is_the_resize_and_the_crop() -> None:
    image = noise(301, 200)
    seen = fit(image, box((97, 64), (1, 0), (96, 64)))
    expected = image.resize((97, 64), Image.Resampling.BICUBIC).crop((1, 0, 97, 64))
    assert seen.size == (96, 64)
    assert np.array_equal(np.asarray(seen), np.asarray(expected))


def test_fit_copies_nothing_that_it_does_not_change() -> None:
    image = noise(64, 64)
    assert fit(image, box((64, 64), (0, 0), (64, 64))) is image


def test_a_crop_alone_keeps_the_pixels() -> None:
    image = noise(64, 70)
    assert np.array_equal(np.asarray(fit(image, box((64, 70), (0, 6), (64, 64)))), np.asarray(image)[6:])


@pytest.mark.parametrize(("subsampling", "factors"), [("4:4:4", 0x11), ("4:2:2", 0x21), ("4:2:0", 0x22)])
def test_what_is_written_is_plain(subsampling: str, factors: int) -> None:
    source = encoded(picture(), "JPEG", exif=exif(6, gps=True), icc_profile=icc_profile(b"RGB "), comment=b"words")
    decoded = decode_rgb(source, max_pixels=1 << 20)
    data = encode_jpeg(decoded.image, quality=95, subsampling=subsampling)
    kinds = {segment.marker for segment in segments(data)}
    assert kinds == {0xD8, 0xE0, 0xDB, 0xC0, 0xC4, 0xDA, 0xD9}  # JFIF, tables, a baseline frame, one scan
    frame = next(segment for segment in segments(data) if segment.marker == 0xC0)
    assert data[frame.start + 11] == factors
    assert Image.open(io.BytesIO(data)).size == (64, 96)


def test_equal_pixels_give_equal_bytes() -> None:
    image = noise(64, 48)
    assert encode_jpeg(image, quality=95, subsampling="4:2:0") == encode_jpeg(
        image.copy(), quality=95, subsampling="4:2:0"
    )


def test_a_side_that_jpeg_cannot_say_is_an_encode_error() -> None:
    with pytest.raises(SampleError, match="encode_errors: 65501x1: ") as caught:
        encode_jpeg(Image.new("RGB", (65501, 1)), quality=95, subsampling="4:4:4")
    assert caught.value.outcome == "encode_errors"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ((1000, 1000), "4:4:4"),  # cover scale 0.85
        ((999, 1000), "4:2:0"),  # W/w just over it
        ((1000, 999), "4:2:0"),
        ((850, 850), "4:2:0"),
        ((10**12, 10**12), "4:4:4"),
    ],
)
def test_adaptive_subsampling_is_exact_at_its_threshold(source: tuple[int, int], expected: str) -> None:
    geometry = box((850, 850), (0, 0), (850, 850))
    assert jpeg_subsampling(Config(), geometry, *source) == expected


def test_subsampling_can_be_fixed_or_shifted() -> None:
    geometry = box((850, 850), (0, 0), (850, 850))
    assert jpeg_subsampling(Config(subsampling="4:2:2"), geometry, 9999, 9999) == "4:2:2"
    assert jpeg_subsampling(Config(subsampling_threshold=Fraction(1)), geometry, 850, 850) == "4:4:4"


def test_versions_name_pillow_and_libjpeg() -> None:
    found = versions()
    assert set(found) == {"pillow", "libjpeg"}
    assert found["libjpeg"].startswith("libjpeg")
