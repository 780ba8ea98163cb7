"""Plain JPEGs come out as Pillow alone has them: pixels, notes, and the words over what is damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from PIL import Image

from hfbucket.errors import SampleError
from hfbucket.io.images import jpeg, jpeg_codec
from hfbucket.io.images.decode import decode_bare, decode_rgb
from hfbucket.io.images.jpeg import count_frames, read_header, read_plain
from tests.io.images.pictures import encoded, exif, icc_profile

simplejpeg = vars(jpeg_codec)["simplejpeg"]
compiled = pytest.mark.skipif(vars(jpeg)["_jpeg"] is None, reason="built without a compiler: Pillow does it all")
installed = pytest.mark.skipif(simplejpeg is None, reason="needs simplejpeg")

XMP = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
CUT_OFF = b"\xff\xed\x00\x16Photoshop 3.0\x008BIM\x04\x04"
"""Photoshop's resources that end where Pillow does not expect it."""

ICC = icc_profile(b"RGB ", "gbr", gamma=2.2)
CODINGS: list[dict[str, Any]] = [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 1}]
ATTACHED: list[dict[str, Any]] = [
    {},
    {"exif": exif(6, gps=True)},
    {"exif": exif(1)},
    {"xmp": XMP},
    {"icc_profile": ICC},
    {"icc_profile": icc_profile(b"GRAY")},
    {"icc_profile": ICC, "exif": exif(3), "comment": b"hello"},
    {"icc_profile": ICC + bytes(70_000)},
]


@pytest.fixture(autouse=True)
def _chosen_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("HFBUCKET_KERNEL", raising=False)
    jpeg_codec._is_exact.cache_clear()
    yield
    jpeg_codec._is_exact.cache_clear()


def outcome(data: bytes, at_least: tuple[int, int] | None = None) -> tuple[object, ...]:
    """Return all that decoding says of a file, or why it does not."""
    try:
        found = decode_rgb(data, max_pixels=1 << 22, at_least=at_least)
    except SampleError as error:
        return error.outcome, error.detail
    return found.image.size, found.image.tobytes(), found.orientation, found.notes, found.image.info


def by_pillow(data: bytes, at_least: tuple[int, int] | None = None) -> tuple[object, ...]:
    """Return the same by Pillow and Python alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HFBUCKET_KERNEL", "pillow")
        patch.setattr(jpeg, "_jpeg", None)
        return outcome(data, at_least)


@st.composite
def jpegs(draw: st.DrawFn) -> bytes:
    """A JPEG of noise or of something smooth, gray or in colour or with inks, coded and sampled in any way."""
    size = draw(st.tuples(st.integers(1, 70), st.integers(1, 70)))
    smooth = draw(st.booleans())
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(
        0, 256, (4, 5, 3) if smooth else (size[1], size[0], 3), np.uint8
    )
    image = Image.fromarray(values).resize(size).convert(draw(st.sampled_from(("RGB", "RGB", "RGB", "L", "CMYK"))))
    coding = draw(st.sampled_from(CODINGS))
    sampling = draw(st.sampled_from(("4:4:4", "4:2:2", "4:2:0")))
    quality = draw(st.sampled_from((1, 30, 75, 95, 100)))
    attached = draw(st.sampled_from(ATTACHED))
    others = draw(st.sampled_from((("JPEG", {}), ("JPEG", {}), ("MPO", {"save_all": True, "append_images": [image]}))))
    try:
        return encoded(image, others[0], quality=quality, subsampling=sampling, **coding, **attached, **others[1])
    except OSError:  # Pillow's room for a small progressive picture was too little
        reject()


sizes = st.none() | st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(data=jpegs(), at_least=sizes)
@settings(max_examples=200)
def test_every_jpeg_comes_out_as_by_pillow(data: bytes, at_least: tuple[int, int] | None) -> None:
    assert outcome(data, at_least) == by_pillow(data, at_least)


@compiled
@installed
@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411"])
def test_plain_jpegs_are_read_by_the_codec(subsampling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (45, 61, 3), np.uint8)
    data = simplejpeg.encode_jpeg(noise, 90, "RGB", subsampling)
    expected = by_pillow(data)
    assert jpeg_codec.codec() == "simplejpeg"
    monkeypatch.setattr("hfbucket.io.images.decode.open_image", None)
    assert outcome(data) == expected


changes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=4)


@given(data=jpegs(), changes=changes, at_least=sizes)
@settings(max_examples=250)
def test_damage_ends_as_by_pillow(
    data: bytes, changes: list[tuple[float, int, bytes]], at_least: tuple[int, int] | None
) -> None:
    for place, gone, new in changes:
        at = round(place * len(data))
        data = data[:at] + new + data[at + gone :]
    assert outcome(data, at_least) == by_pillow(data, at_least)


segments = st.builds(
    lambda marker, body: bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body,
    st.sampled_from((0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xEF, 0xFE, 0xC0, 0xC2, 0xC4, 0xC9, 0xDB, 0xDC, 0xDD, 0xF0, 0x02)),
    st.builds(
        lambda name, rest: name + rest,
        st.sampled_from((b"", b"JFIF\0", b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0", b"MPF\0",
                         b"Adobe\0d", b"Photoshop 3.0\0", b"Photoshop 3.0\x008BIM\x04\x04", b"Photoshop 3.0\x008BIM")),
        st.binary(max_size=30),
    ),
)  # fmt: skip


@given(data=jpegs(), added=segments, place=st.integers(0, 11))
@example(
    data=encoded(Image.new("RGB", (8, 8)), "JPEG"), added=b"\xff\xed\x00\x16Photoshop 3.0\x008BIM\x04\x04", place=1
)
@settings(max_examples=250)
def test_any_segment_anywhere_ends_as_by_pillow(data: bytes, added: bytes, place: int) -> None:
    starts = [segment.start for segment in jpeg.segments(data)]
    at = starts[min(place, len(starts) - 1)] or 2
    data = data[:at] + added + data[at:]
    assert outcome(data) == by_pillow(data)
    if (plain := read_plain(data)) is not None:
        assert plain.header == read_header(lambda offset, size: data[offset : offset + size], len(data))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jpeg, "_jpeg", None)
            assert count_frames(data) == plain.frames


@compiled
def test_what_is_plain() -> None:
    image = Image.new("RGB", (8, 6))
    photoshop = b"\xff\xed\x00\x1cPhotoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\0"
    data = encoded(image, "JPEG")
    plain = read_plain(data)
    assert plain is not None
    assert (plain.header.width, plain.header.height) == (8, 6)
    assert (plain.profile, plain.frames, plain.is_bare) == (b"", 1, True)
    assert read_plain(data[:2] + photoshop + data[2:]) == plain
    attached = read_plain(encoded(image, "JPEG", icc_profile=ICC, exif=exif(6)))
    assert attached is not None
    assert (attached.header.exif.orientation, attached.profile, attached.is_bare) == (6, ICC, False)
    pair = read_plain(encoded(image, "MPO", save_all=True, append_images=[image]))
    assert pair is not None
    assert (pair.frames, pair.is_bare) == (2, False)
    others = (data[:-2], data[:200], b"", data[:2] + b"\xff" + data[2:], encoded(image.convert("L"), "JPEG"),
              encoded(image, "PNG"))  # fmt: skip
    assert [read_plain(other) for other in others] == [None] * len(others)


@compiled
@installed
def test_a_codec_with_other_pixels_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert jpeg_codec.codec() == "simplejpeg"
    data = encoded(Image.effect_noise((61, 53), 99).convert("RGB"), "JPEG")
    monkeypatch.setenv("HFBUCKET_KERNEL", "pillow")
    assert jpeg_codec.codec() == "pillow"
    assert jpeg_codec.decode(data, (61, 53)) is None
    monkeypatch.delenv("HFBUCKET_KERNEL")
    exact = simplejpeg.decode_jpeg
    jpeg_codec._is_exact.cache_clear()
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *a, **b: exact(*a, **{**b, "fastupsample": True}))
    assert jpeg_codec.codec() == "pillow"
    monkeypatch.setattr(jpeg_codec, "simplejpeg", None)
    assert jpeg_codec.codec() == "pillow"
    assert outcome(data) == by_pillow(data)


def test_a_bare_jpeg_is_as_it_is_opened() -> None:
    make = partial(encoded, Image.effect_noise((61, 53), 99).convert("RGB"), "JPEG")
    image = decode_bare(make())
    if read_plain(make()) is None or jpeg_codec.codec() == "pillow":
        assert image is None
        return
    assert image is not None
    assert (image.mode, image.format, image.size) == ("RGB", "JPEG", (61, 53))
    assert image.tobytes() == by_pillow(make())[1]
    access = image.load()
    assert access is not None
    access[1, 1] = (1, 2, 3)  # it can be drawn on
    assert image.getpixel((1, 1)) == (1, 2, 3)
    others = ({"exif": exif(1)}, {"xmp": XMP}, {"icc_profile": ICC})
    assert [decode_bare(make(**other)) for other in others] == [None] * len(others)
    assert decode_bare(make()[:-2]) is None


def test_hard_images_end_the_same(shared_data: Path) -> None:
    folder = shared_data / "hard"
    names = [json.loads(line)["file"] for line in (folder / "manifest.jsonl").read_text().splitlines()]
    checked = [folder / name for name in names if (folder / name).read_bytes()[:3] == b"\xff\xd8\xff"]
    assert len(checked) > 140
    assert [path.name for path in checked if outcome(path.read_bytes()) != by_pillow(path.read_bytes())] == []
