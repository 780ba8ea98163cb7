"""Every compiled kernel gives Pillow's pixels, bit for bit: any size, any crop, both orders of passes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hfbucket.errors import ConfigError, SampleError
from hfbucket.io.images import resize as resizing
from hfbucket.io.images.decode import decode_rgb
from hfbucket.io.images.resize import Box, Kernel, Size, kernel, resize

_resize = vars(resizing)["_resize"]
KERNELS = _resize.kernels() if _resize else []
compiled = pytest.mark.skipif(not KERNELS, reason="built without a compiler: Pillow does it all")

sides = st.one_of(st.integers(1, 24), st.integers(1, 200))


@pytest.fixture(autouse=True)
def _chosen_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("HFBUCKET_KERNEL", raising=False)
    resizing._kernel_named.cache_clear()
    yield
    resizing._kernel_named.cache_clear()


@st.composite
def orders(draw: st.DrawFn) -> tuple[Size, Size, Box]:
    """A size, what it is resized to, often in one direction or none, and a box therein."""
    size, resized = (draw(sides), draw(sides)), [draw(sides), draw(sides)]
    for axis in (0, 1):
        resized[axis] = draw(st.sampled_from((resized[axis], resized[axis], size[axis])))
    left, top = (draw(st.integers(0, side - 1)) for side in resized)
    right, bottom = (draw(st.integers(start + 1, side)) for start, side in zip((left, top), resized, strict=True))
    return size, (resized[0], resized[1]), (left, top, right, bottom)


def pictures(size: Size, seed: int) -> list[Image.Image]:
    """Noise, and black and white alone, where sums are largest and are clipped."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return [Image.fromarray(noise), Image.fromarray((noise > 127).astype(np.uint8) * np.uint8(255))]


def by_passes(image: Image.Image, resized: Size, box: Box, *, down_first: bool) -> bytes:
    """Return what Pillow gives for one direction after the other, whichever comes first where it does both."""
    between = (image.width, resized[1]) if down_first else (resized[0], image.height)
    for size in (between, resized):
        image = image.resize(size, Image.Resampling.BICUBIC)
    return image.crop(box).tobytes()


@compiled
@given(order=orders(), seed=st.integers(0, 99), down_first=st.booleans())
@settings(max_examples=200)
def test_every_kernel_gives_the_pixels_of_two_passes(
    order: tuple[Size, Size, Box], seed: int, down_first: bool
) -> None:
    size, resized, box = order
    for image in pictures(size, seed):
        expected = by_passes(image, resized, box, down_first=down_first)
        for name in KERNELS:
            chosen = Kernel(name=name, is_down_first=lambda *_sizes: down_first)
            assert chosen.resize(image, resized, box).tobytes() == expected, name


@given(order=orders(), seed=st.integers(0, 99))
@settings(max_examples=100)
def test_what_is_chosen_gives_the_pixels_of_pillow(order: tuple[Size, Size, Box], seed: int) -> None:
    size, resized, box = order
    for image in pictures(size, seed):
        seen = resize(image, resized, box)
        assert seen.mode == "RGB"
        assert seen.tobytes() == image.resize(resized, Image.Resampling.BICUBIC).crop(box).tobytes()


@compiled
@pytest.mark.parametrize("size", [(640, 480), (480, 640), (300, 900), (1200, 101), (65, 2000)])
@pytest.mark.parametrize("resized", [(288, 216), (216, 288), (700, 500), (30, 1000)])
def test_sizes_of_photos(size: Size, resized: Size) -> None:
    box = (5, 7, resized[0], resized[1] - 3)
    for image in pictures(size, 3):
        expected = image.resize(resized, Image.Resampling.BICUBIC).crop(box).tobytes()
        for name in KERNELS:
            chosen = resizing._kernel_named(name)
            assert chosen is not None, "the kernel does not give the pixels of the Pillow that is installed"
            assert chosen.resize(image, resized, box).tobytes() == expected, name


def boxes(resized: Size) -> Iterator[Box]:
    """Boxes at the borders and between them, of widths around what a vector takes: 1 to 6, 16, 17 and all."""
    width, height = resized
    for w in sorted({min(w, width) for w in (1, 2, 3, 4, 5, 6, 16, 17, width)}):
        for h in sorted({min(h, height) for h in (1, 5, height)}):
            for left in sorted({0, (width - w) // 2, width - w}):
                yield (left, height - h, left + w, height)


@compiled
@pytest.mark.parametrize(
    "factor", [1 / 11, 1 / 9, 1 / 8.7, 1 / 7, 1 / 5.5, 1 / 4, 1 / 3.7, 1 / 3, 1 / 2.1, 0.59, 0.97, 1.3]
)
@pytest.mark.parametrize("size", [(137, 61), (250, 33)])
def test_boxes_and_factors_at_their_bounds(size: Size, factor: float) -> None:
    """The wider paths take outputs and rows by fives, fours and sixteens, from as many inputs as factors leave near."""
    resized = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
    (_, image) = pictures(size, 5)
    whole = Image.frombytes("RGB", resized, by_passes(image, resized, (0, 0, *resized), down_first=False))
    for box in boxes(resized):
        expected = whole.crop(box).tobytes()
        for name in KERNELS:
            chosen = Kernel(name=name, is_down_first=lambda *_sizes: False)
            assert chosen.resize(image, resized, box).tobytes() == expected, (name, box)


@compiled
@pytest.mark.parametrize("size", [(1, 1), (3, 1), (4, 2), (5, 3), (7, 400), (400, 3), (3000, 5), (5, 3000)])
@pytest.mark.parametrize("resized", [(1, 1), (2, 3), (11, 9), (130, 70)])
def test_narrow_and_long(size: Size, resized: Size) -> None:
    for image in pictures(size, 7):
        for down_first in (False, True):
            expected = by_passes(image, resized, (0, 0, *resized), down_first=down_first)
            for name in KERNELS:
                chosen = Kernel(name=name, is_down_first=lambda *_sizes, first=down_first: first)
                assert chosen.resize(image, resized, (0, 0, *resized)).tobytes() == expected, name


@compiled
def test_hard_images(shared_data: Path) -> None:
    folder = shared_data / "hard"
    listed = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    seen = 0
    for entry in listed:
        if entry["cls"] not in ("accept", "accept_rotate", "accept_convert"):
            continue
        try:
            image = decode_rgb((folder / entry["file"]).read_bytes(), max_pixels=500_000).image
        except SampleError:
            continue
        seen += 1
        resized = (max(1, image.width * 2 // 3), max(1, image.height * 3 // 5))
        expected = image.resize(resized, Image.Resampling.BICUBIC).tobytes()
        for name in KERNELS:
            chosen = resizing._kernel_named(name)
            assert chosen is not None
            assert chosen.resize(image, resized, (0, 0, *resized)).tobytes() == expected, (entry["file"], name)
    assert seen > 100


def test_an_image_in_pieces_of_memory_is_resized_too() -> None:
    (image, _) = pictures((2100, 2100), 1)
    box = (3, 5, 90, 80)
    assert (
        resize(image, (96, 97), box).tobytes() == image.resize((96, 97), Image.Resampling.BICUBIC).crop(box).tobytes()
    )


def test_other_modes_are_pillows() -> None:
    image = Image.new("CMYK", (40, 30), (1, 2, 3, 4))
    assert resize(image, (20, 15), (0, 0, 20, 15)).mode == "CMYK"


def test_nothing_is_copied_that_does_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HFBUCKET_KERNEL", "pillow")
    image = Image.new("RGB", (8, 8))
    assert kernel() is None
    assert resize(image, (8, 8), (0, 0, 8, 8)) is image


@compiled
def test_a_kernel_that_does_not_give_pillows_pixels_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel() is not None
    monkeypatch.setattr(resizing, "_much_lower", lambda size, resized: size[1] > resized[1])
    monkeypatch.setattr(resizing, "_never", lambda size, resized: resized[1] > size[1])
    resizing._kernel_named.cache_clear()
    assert kernel() is None


def test_without_a_compiler_pillow_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resizing, "_resize", None)
    assert kernel() is None
    (image, _) = pictures((30, 20), 1)
    assert resize(image, (15, 10), (1, 1, 9, 9)).size == (8, 8)


def test_an_unknown_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HFBUCKET_KERNEL", "warp")
    with pytest.raises(ConfigError, match=r"HFBUCKET_KERNEL must be one of auto, pillow.*, got 'warp'"):
        kernel()


@compiled
@pytest.mark.parametrize(
    ("size", "resized", "box"),
    [
        ((9, 9), (4, 4), (0, 0, 4, 4)),  # not the size of the memory
        ((8, 8), (4, 4), (1, 0, 4, 4)),
        ((8, 8), (4, 4), (0, -1, 4, 4)),
        ((8, 8), (4, 4), (0, 0, 0, 4)),
        ((8, 8), (0, 4), (0, 0, 1, 4)),
        ((8, 8), (1 << 24, 4), (0, 0, 1, 4)),
    ],
)
def test_what_does_not_fit_together_is_refused(size: Size, resized: Size, box: Box) -> None:
    _, memory = Image.new("RGB", (8, 8)).__arrow_c_array__()
    with pytest.raises(ValueError, match=r"must"):
        _resize.bicubic(KERNELS[0], memory, size, resized, box, False)
    with pytest.raises(ValueError, match="no kernel warp"):
        _resize.bicubic("warp", memory, (8, 8), (4, 4), (0, 0, 4, 4), False)
    with pytest.raises(ValueError, match="PyCapsule"):
        _resize.bicubic(KERNELS[0], object(), (8, 8), (4, 4), (0, 0, 4, 4), False)
