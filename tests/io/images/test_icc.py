"""Compiled code takes a profile to sRGB in the very bytes of lcms, or is not used for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from hfbucket.io.images import icc, shaper
from hfbucket.io.images.icc import TRIED_PIXELS, Conversion, conversion_of, many_colors
from hfbucket.io.images.jpeg import read_plain
from hfbucket.io.images.memory import image_over
from hfbucket.io.images.shaper import Shaper, shaper_of
from tests.io.images.pictures import curv, icc_profile, para

_color = vars(shaper)["_color"]
compiled = pytest.mark.skipif(_color is None, reason="built without a compiler: lcms does it all")

ADOBE = {"r": (0.60974, 0.31111, 0.01947), "g": (0.20528, 0.62567, 0.06087), "b": (0.14919, 0.06322, 0.74457)}
SRGB_CURVE = para(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
PROFILES = {
    "Adobe RGB": icc_profile(b"RGB ", gamma=563 / 256, xyz=ADOBE),
    "swapped": icc_profile(b"RGB ", "gbr", curves=[SRGB_CURVE] * 3),
    "linear": icc_profile(b"RGB ", curves=[curv()] * 3),
    "table": icc_profile(b"RGB ", "brg", curves=[curv(*(round((i / 99) ** 1.8 * 65535) for i in range(100)))] * 3),
    "three curves": icc_profile(
        b"RGB ",
        curves=[para(1, 2.2, 1.1, -0.1), para(2, 1.8, 1.05, -0.05, 0), para(4, 2.4, 0.95, 0.05, 0.1, 0.05, 0, 0)],
    ),
}


@pytest.fixture(autouse=True)
def _chosen_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("HFBUCKET_KERNEL", raising=False)
    conversion_of.cache_clear()
    yield
    conversion_of.cache_clear()


def tried(profile: bytes) -> Conversion:
    """Return the conversion of a profile that has come often enough for the compiled code."""
    conversion = Conversion(profile, "RGB")
    conversion._pixels_by_lcms = TRIED_PIXELS
    return conversion


def noise(seed: int, width: int = 61, height: int = 53) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def assert_same(conversion: Conversion, image: Image.Image) -> None:
    seen, expected = conversion.apply(image), conversion.by_lcms(image)
    assert (seen.mode, seen.size) == (expected.mode, expected.size)
    assert seen.tobytes() == expected.tobytes()


@compiled
@pytest.mark.parametrize("name", PROFILES)
def test_what_occurs_is_compiled(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    conversion = tried(PROFILES[name])
    for width in (1, 2, 60, 61):
        assert_same(conversion, noise(1, width))
    expected = conversion.by_lcms(noise(2)).tobytes()
    monkeypatch.setattr(conversion, "by_lcms", None)
    assert conversion.apply(noise(2)).tobytes() == expected


@compiled
@pytest.mark.parametrize("name", ["Adobe RGB", "swapped"])
def test_all_colors(name: str) -> None:
    colors = image_over(np.arange(1 << 24, dtype="<u4"), (1 << 12, 1 << 12))
    assert_same(tried(PROFILES[name]), colors)


gammas = st.integers(1, 5 * 256).map(curv)
tables = st.one_of(
    st.lists(st.integers(0, 65535), min_size=2, max_size=40),
    st.builds(
        lambda number, power: [round((i / (number - 1)) ** power * 65535) for i in range(number)],
        st.integers(2, 5000), st.floats(0.2, 5),
    ),
).map(lambda entries: curv(*entries))  # fmt: skip
power, slope, shift = st.floats(0.1, 6), st.floats(0.05, 2), st.floats(-0.5, 0.5)
parametric = st.one_of(
    st.builds(lambda *values: para(0, *values), power),
    st.builds(lambda *values: para(1, *values), power, slope, shift),
    st.builds(lambda *values: para(2, *values), power, slope, shift, shift),
    st.builds(lambda *values: para(3, *values), power, slope, shift, slope, shift),
    st.builds(lambda *values: para(4, *values), power, slope, shift, slope, shift, shift, shift),
)
curves = st.one_of(st.just(curv()), gammas, tables, parametric)
points = st.tuples(*[st.floats(-0.5, 1.5)] * 3)


@given(
    each=st.lists(curves, min_size=3, max_size=3),
    xyz=st.one_of(st.just(ADOBE), st.fixed_dictionaries({"r": points, "g": points, "b": points})),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_any_profile_gives_the_bytes_of_lcms(
    each: list[bytes], xyz: dict[str, tuple[float, float, float]], seed: int
) -> None:
    try:
        conversion = tried(icc_profile(b"RGB ", curves=each, xyz=xyz))
    except (ImageCms.PyCMSError, OSError):
        return
    assert_same(conversion, noise(seed, 400, 300))


changes = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=3)


@given(profile=st.sampled_from(sorted(PROFILES.values())), changes=changes)
@settings(max_examples=150)
def test_a_damaged_profile_gives_the_bytes_of_lcms(profile: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    for at, gone, new in changes:
        profile = profile[:at] + new + profile[at + gone :]
    try:
        conversion = tried(profile)
    except (ImageCms.PyCMSError, OSError):
        shaper_of(profile)  # it is never asked; if it were, it would not fail
        return
    assert_same(conversion, noise(3))


@compiled
def test_a_profile_is_tried_when_it_has_come_often(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def told(profile: bytes) -> Shaper | None:
        asked.append(profile)
        return shaper_of(profile)

    monkeypatch.setattr(icc, "shaper_of", told)
    profile, image = PROFILES["Adobe RGB"], noise(1, 1024, 512)
    for times in (0, 0, 1, 1):  # two times as many pixels are as many as the trial has
        conversion = conversion_of(profile, "RGB")
        assert conversion is not None
        assert_same(conversion, image)
        assert asked == [profile] * times


@pytest.mark.parametrize("way", ["HFBUCKET_KERNEL=pillow", "no compiler", "other bytes"])
def test_lcms_does_it(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "HFBUCKET_KERNEL=pillow":
        monkeypatch.setenv("HFBUCKET_KERNEL", "pillow")
    elif way == "no compiler":
        monkeypatch.setattr(shaper, "_color", None)
    else:
        darker = bytes(max(value - 1, 0) for value in shaper._srgb_bytes())
        monkeypatch.setattr(shaper, "_srgb_bytes", lambda: darker)
    conversion = tried(PROFILES["Adobe RGB"])
    assert_same(conversion, noise(1))
    monkeypatch.setattr(Shaper, "apply", None)
    assert_same(conversion, noise(1))


def test_an_image_in_pieces_of_memory_is_converted_too() -> None:
    assert_same(tried(PROFILES["Adobe RGB"]), noise(1, 2100, 2100))


def test_other_modes_are_lcms() -> None:
    conversion = Conversion(icc_profile(b"GRAY", gamma=1.0), "L")
    conversion._pixels_by_lcms = TRIED_PIXELS
    assert conversion.apply(Image.new("L", (8, 8), 55)).getpixel((0, 0)) == (128, 128, 128)


def test_the_colors_of_a_trial() -> None:
    colors = np.asarray(many_colors()).reshape(-1, 3)
    assert len(np.unique(colors @ np.array([1, 1 << 8, 1 << 16]))) == TRIED_PIXELS
    for channel in range(3):
        assert np.bincount(colors[:, channel], minlength=256).min() > 4000


@compiled
@pytest.mark.parametrize("result", [0, 1, 2])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_trial_sees_one_step_in_the_matrix(channel: int, result: int) -> None:
    mixed = {"r": (0.5, 0.3, 0.1), "g": (0.3, 0.6, 0.2), "b": (0.2, 0.1, 0.5)}
    conversion = tried(icc_profile(b"RGB ", curves=[curv()] * 3, xyz=mixed))
    assert conversion._shaper is not None
    shares = np.frombuffer(conversion._shaper.shares, np.int32).reshape(3, 256, 4).copy()
    shares[channel, :, result] += np.linspace(0, 1 << 14, 256).round().astype(np.int32)
    changed = Shaper(shares=shares.tobytes()).apply(many_colors()).tobytes()
    assert changed != conversion.by_lcms(many_colors()).tobytes()


@compiled
def test_what_does_not_fit_together_is_refused() -> None:
    _, memory = Image.new("RGB", (8, 8)).__arrow_c_array__()
    shares, levels = bytes(3 * 256 * 4 * 4), bytes((1 << 14) + 1)
    for tables in ((shares[:-1], levels), (shares, levels[:-1])):
        with pytest.raises(ValueError, match=r"the tables must be of 3 \* 256 \* 4 integers and 16,385 bytes"):
            _color.shape(memory, 64, *tables)
    with pytest.raises(ValueError, match="the array must have four bytes for each pixel of the image"):
        _color.shape(memory, 63, shares, levels)
    with pytest.raises(ValueError, match="the tables must be"):
        _color.shape(memory, -1, shares, levels)
    with pytest.raises(ValueError, match="PyCapsule"):
        _color.shape(object(), 64, shares, levels)


@compiled
def test_profiles_of_photos(shared_data: Path) -> None:
    profiles: set[bytes] = set()
    for path in sorted((shared_data / "photos").rglob("*.jp*g")):
        plain = read_plain(path.read_bytes())
        if plain and plain.profile and conversion_of(plain.profile, "RGB"):
            profiles.add(plain.profile)
    assert len(profiles) > 5
    for profile in sorted(profiles):
        conversion = tried(profile)
        assert conversion._shaper is not None
        assert_same(conversion, noise(4, 500, 375))
