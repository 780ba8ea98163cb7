"""What images are compared by, against the definition in fractions, and against what changes on the way."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image, ImageFilter

from hfbucket.core.duplicates.near import distances
from hfbucket.errors import SampleError
from hfbucket.io.images.fingerprint import box_sums, bytes_hash, difference_hash, hash_of, pixels_hash

LIMIT = 10**8


def picture(seed: int, width: int = 480, height: int = 320) -> Image.Image:
    """A picture with structure at many scales, as photos have."""
    random = np.random.default_rng(seed)
    layers = [
        Image.fromarray(random.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize((width, height), 3)
        for side in (3, 7, 20)
    ]
    mixed = Image.blend(Image.blend(layers[0], layers[1], 0.4), layers[2], 0.2)
    return mixed.filter(ImageFilter.GaussianBlur(1))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def near(a: bytes, b: bytes) -> int:
    hashes = [difference_hash(data, max_pixels=LIMIT) for data in (a, b)]
    assert None not in hashes
    x, y = (np.array([value], dtype=np.uint64) for value in hashes)
    return int(distances(x, y)[0])


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 8), (10, 9), (13, 31), (64, 5), (5, 64)])
def test_boxes_are_exact_averages(size: tuple[int, int]) -> None:
    width, height = size
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    gray = [[int(299 * r + 587 * g + 114 * b) for r, g, b in row] for row in pixels.astype(int).tolist()]

    def overlap(number: int, boxes: int, length: int, at: int) -> Fraction:
        start, stop = Fraction(number * length, boxes), Fraction((number + 1) * length, boxes)
        return max(Fraction(0), min(stop, Fraction(at + 1)) - max(start, Fraction(at)))

    for (row, column), found in np.ndenumerate(box_sums(pixels)):
        shares = [[overlap(row, 8, height, y) * overlap(column, 9, width, x) for x in range(width)]
                  for y in range(height)]  # fmt: skip
        total = sum(s * g for a, b in zip(shares, gray, strict=True) for s, g in zip(a, b, strict=True))
        assert found == total * 72
        assert sum(map(sum, shares)) * 72 == width * height


def test_bits_say_which_neighbour_is_darker() -> None:
    """From the highest bit on, row by row."""
    boxes = np.full((8, 9), 100, dtype=np.uint8)
    boxes[:, 1::2] = 140
    boxes[0, 0] = 250
    image = Image.fromarray(boxes).convert("RGB").resize((90, 80), Image.Resampling.NEAREST)
    assert hash_of(image) == int("11010101" + "01010101" * 7, 2)
    boxes[0, 0] = 140  # equal to its neighbour, which is not brighter either
    boxes[0, 2] = 141  # by one level, not by more
    image = Image.fromarray(boxes).convert("RGB").resize((90, 80), Image.Resampling.NEAREST)
    assert hash_of(image) == int("00010101" + "01010101" * 7, 2)


@pytest.mark.parametrize("seed", range(8))
def test_other_encodings_and_sizes_stay_near(seed: int) -> None:
    image = picture(seed)
    twins = [
        encoded(image, quality=30),
        encoded(image, "PNG"),
        encoded(image.resize((240, 160), Image.Resampling.BICUBIC), quality=75),
        encoded(image.resize((1500, 1000), Image.Resampling.LANCZOS), quality=85),
    ]
    original = encoded(image, quality=95)
    assert max(near(original, twin) for twin in twins) <= 4
    assert near(original, encoded(picture(seed + 100))) > 8


def test_what_shows_too_little_has_no_difference_hash() -> None:
    slope = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (128, 256, 3))
    spot = np.full((160, 160, 3), 255, dtype=np.uint8)
    spot[60:100, 60:100] = 20
    for pixels in (np.full((64, 64, 3), 128, np.uint8), slope, slope.transpose(1, 0, 2), spot):
        assert difference_hash(encoded(Image.fromarray(np.ascontiguousarray(pixels))), max_pixels=LIMIT) is None


def test_pixels_are_compared_upright_with_their_size() -> None:
    image = picture(3, 60, 40)
    png = encoded(image, "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned to the left, shown turned to the right
    turned = encoded(image.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert pixels_hash(png, max_pixels=LIMIT) == pixels_hash(turned, max_pixels=LIMIT)
    assert bytes_hash(png) != bytes_hash(turned)
    flat = Image.new("RGB", (60, 40))
    assert pixels_hash(encoded(flat, "PNG"), max_pixels=LIMIT) != pixels_hash(
        encoded(flat.resize((40, 60)), "PNG"), max_pixels=LIMIT
    )


def test_what_cannot_be_decoded_says_so() -> None:
    data = encoded(picture(1))[:-200]
    for take in (pixels_hash, difference_hash):
        with pytest.raises(SampleError):
            take(data, max_pixels=LIMIT)
