from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from hfbucket.errors import SampleError
from hfbucket.io.images.decode import Decoded, decode_rgb
from hfbucket.io.images.probe import probe
from tests.io.images import pictures
from tests.io.images.pictures import BLUE, GREEN, RED, WHITE, corners, encoded, exif, icc_profile, picture, png

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
LIMIT = 178_000_000


def decode(data: bytes, **options: Any) -> Decoded:
    """Return the decoded image, once its header has been seen to say the same."""
    found = probe(io.BytesIO(data), name="a.img", size_bytes=len(data))
    decoded = decode_rgb(data, max_pixels=LIMIT, **options)
    assert (decoded.image.mode, decoded.image.info) == ("RGB", {})
    if options.get("apply_orientation", True):
        assert (found.width, found.height) == decoded.image.size
    assert found.orientation == decoded.orientation
    return decoded


def assert_close(seen: list[Any], expected: list[tuple[int, int, int]], within: int = 6) -> None:
    assert np.abs(np.asarray(seen, int) - np.asarray(expected, int)).max() <= within, (seen, expected)


QUARTERS = [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {}),
        pytest.param("AVIF", {"quality": 95}, marks=needs_avif),
    ],
)
def test_every_orientation_comes_out_upright(orientation: int, image_format: str, options: dict[str, Any]) -> None:
    stored = pictures.stored(picture(), orientation)
    decoded = decode(encoded(stored, image_format, exif=exif(orientation), **options))
    assert decoded.image.size == (96, 64)
    assert decoded.orientation == orientation
    assert_close(corners(decoded.image), QUARTERS)
    assert ("oriented" in decoded.notes) == (orientation != 1)


def test_orientation_in_xmp_counts_where_exif_has_none() -> None:
    xmp = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    stored = pictures.stored(picture(), 6)
    decoded = decode(encoded(stored, "JPEG", quality=95, xmp=xmp))
    assert_close(corners(decoded.image), QUARTERS)
    plain = decode(encoded(stored, "JPEG", quality=95, xmp=xmp, exif=exif(1)))
    assert plain.image.size == (64, 96)


@pytest.mark.parametrize("kind", [b"eXIf", b"zTXt"])
def test_exif_after_the_image_data_of_a_png_is_seen(kind: bytes) -> None:
    block = exif(3).removeprefix(b"Exif\0\0")
    if kind == b"zTXt":
        import zlib

        lines = f"\nexif\n{len(block):8d}\n{block.hex()}\n".encode()
        block = b"Raw profile type exif\0\0" + zlib.compress(lines)
    whole = encoded(pictures.stored(picture(), 3), "PNG")
    data = whole[:-12] + pictures.png_chunk(kind, block) + whole[-12:]
    assert_close(corners(decode(data).image), QUARTERS)


def test_an_orientation_can_be_left_in_place() -> None:
    stored = pictures.stored(picture(), 6)
    decoded = decode(encoded(stored, "JPEG", quality=95, exif=exif(6)), apply_orientation=False)
    assert decoded.image.size == (64, 96)
    assert decoded.notes == ()


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_invalid_orientation_is_upright(orientation: int) -> None:
    assert decode(encoded(picture(), "JPEG", exif=exif(orientation))).orientation == 1


@pytest.mark.parametrize(
    ("ink", "color"),
    [((255, 0, 0, 0), (0, 255, 255)), ((0, 0, 0, 255), (0, 0, 0)), ((0, 0, 0, 0), WHITE), ((0, 255, 255, 0), RED)],
)
@pytest.mark.parametrize("image_format", ["JPEG", "TIFF"])
def test_inks_become_their_colours(ink: tuple[int, ...], color: tuple[int, int, int], image_format: str) -> None:
    decoded = decode(encoded(Image.new("CMYK", (32, 32), ink), image_format))
    assert_close([decoded.image.getpixel((9, 9))], [color])
    assert decoded.notes == ("cmyk_converted",)


def test_ycck_becomes_its_colour() -> None:
    # Red is no cyan, all magenta and yellow. Adobe stores inks inverted, (255, 0, 0), and YCCK the luma and chroma
    # of what is left of 255: (0, 255, 255). Pillow writes those three as inks, inverting them, and K = 255.
    y_cb_cr = np.asarray(Image.new("RGB", (32, 32), (0, 255, 255)).convert("YCbCr"))
    values = np.dstack([255 - y_cb_cr, np.zeros((32, 32), np.uint8)])
    inks = Image.frombytes("CMYK", (32, 32), values.tobytes())
    data = encoded(inks, "JPEG", quality=100, subsampling="4:4:4")
    at = data.index(b"Adobe")
    ycck = data[: at + 11] + b"\2" + data[at + 12 :]
    assert probe(io.BytesIO(ycck), name="a.jpg", size_bytes=len(ycck)).color == "ycck"
    assert probe(io.BytesIO(data), name="a.jpg", size_bytes=len(data)).color == "cmyk"
    assert_close([decode(ycck).image.getpixel((9, 9))], [RED])


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_over_white(image_format: str) -> None:
    image = picture().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 51))  # one fifth
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    decoded = decode(encoded(image, image_format, **options))
    assert_close(corners(decoded.image), [(255, 204, 204), (204, 255, 204), (204, 204, 255), WHITE], within=1)
    assert decoded.notes == ("alpha_flattened",)


def test_alpha_is_blended_as_pasting_over_white_does() -> None:
    image = Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 64, 4), np.uint8))
    expected = Image.new("RGB", image.size, "white")
    expected.paste(image, mask=image.getchannel("A"))
    assert np.array_equal(np.asarray(decode(encoded(image, "PNG")).image), np.asarray(expected))


def test_opaque_alpha_changes_nothing() -> None:
    decoded = decode(encoded(picture().convert("RGBA"), "PNG"))
    assert np.array_equal(np.asarray(decoded.image), np.asarray(picture()))
    assert decoded.notes == ()


def test_gray_with_alpha_and_transparent_colours() -> None:
    gray = Image.new("LA", (8, 8), (0, 127))
    assert decode(encoded(gray, "PNG")).image.getpixel((0, 0)) == (128, 128, 128)
    keyed = decode(encoded(Image.new("L", (8, 8), 7), "PNG", transparency=7))
    assert keyed.image.getpixel((0, 0)) == WHITE
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert decode(encoded(palette, "PNG")).image.getpixel((0, 0)) == RED
    half = decode(encoded(palette, "PNG", transparency=bytes([255, 127])))
    assert half.image.getpixel((0, 0)) == (255, 128, 128)
    assert decode(encoded(palette, "GIF", transparency=1)).image.getpixel((0, 0)) == WHITE


def test_sixteen_bits_become_their_high_bytes() -> None:
    values = np.array([[0, 0x00FF, 0x0100, 0x7F80, 0x8000, 0xFFFF]], np.uint16)[..., None]
    expected = [0, 0, 1, 0x7F, 0x80, 0xFF]
    gray = decode(png(values, 0))
    assert np.asarray(gray.image)[0, :, 0].tolist() == expected
    assert gray.notes == ("depth_reduced",)
    color = decode(png(values.repeat(3, axis=2), 2))
    assert np.asarray(color.image)[0, :, 2].tolist() == expected
    assert color.notes == ("depth_reduced",)
    tiff = decode(encoded(Image.fromarray(values[..., 0]), "TIFF"))
    assert np.asarray(tiff.image)[0, :, 1].tolist() == expected


def test_sixteen_bit_gray_may_begin_at_white() -> None:
    data = encoded(Image.fromarray(np.full((4, 4), 0x1234, np.uint16)), "TIFF", tiffinfo={262: 0})
    assert decode(data).image.getpixel((0, 0)) == (0xED,) * 3


def test_sixteen_bit_gray_knows_its_transparent_value() -> None:
    values = np.array([[0x1200, 0x1234, 0x12FF]], np.uint16)[..., None]
    data = png(values, 0, pictures.png_chunk(b"tRNS", b"\x12\x34"))
    assert np.asarray(decode(data).image)[0, :, 0].tolist() == [0x12, 255, 0x12]


def test_a_profile_is_applied() -> None:
    swapped = icc_profile(b"RGB ", "gbr", gamma=2.2)
    for image_format in ("JPEG", "PNG"):
        decoded = decode(encoded(picture(), image_format, icc_profile=swapped))
        assert_close(corners(decoded.image), [GREEN, BLUE, RED, WHITE], within=8)
        assert decoded.notes == ("icc_converted",)


def test_a_gray_profile_is_applied() -> None:
    linear = icc_profile(b"GRAY", gamma=1.0)
    decoded = decode(encoded(Image.new("L", (8, 8), 55), "PNG", icc_profile=linear))
    assert_close([decoded.image.getpixel((0, 0))], [(128, 128, 128)], within=2)


def test_a_profile_is_applied_below_alpha() -> None:
    image = picture().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 51))
    decoded = decode(encoded(image, "PNG", icc_profile=icc_profile(b"RGB ", "gbr", gamma=2.2)))
    assert_close(corners(decoded.image), [(204, 255, 204), (204, 204, 255), (255, 204, 204), WHITE], within=3)
    assert decoded.notes == ("icc_converted", "alpha_flattened")


def test_an_srgb_profile_changes_no_pixel() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    decoded = decode(encoded(picture(), "PNG", icc_profile=srgb))
    assert np.array_equal(np.asarray(decoded.image), np.asarray(picture()))
    assert decoded.notes == ()


@pytest.mark.parametrize("profile", [icc_profile(b"RGB "), b"no profile", b"x" * 200])
def test_a_profile_that_does_not_fit_is_counted(profile: bytes) -> None:
    decoded = decode(encoded(Image.new("L", (8, 8), 55), "JPEG", icc_profile=profile))
    assert_close([decoded.image.getpixel((0, 0))], [(55, 55, 55)], within=1)
    assert decoded.notes == ("icc_ignored",)


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation(image_format: str) -> None:
    options = {"lossless": True} if image_format == "WEBP" else {}
    frames = [picture(), Image.new("RGB", (96, 64), BLUE)]
    decoded = decode(encoded(frames[0], image_format, save_all=True, append_images=frames[1:], **options))
    assert_close(corners(decoded.image), QUARTERS)
    assert decoded.notes == ("multi_frame",)


def test_a_multi_picture_jpeg_is_its_first() -> None:
    data = encoded(picture(), "MPO", save_all=True, append_images=[Image.new("RGB", (96, 64), BLUE)], quality=95)
    decoded = decode(data)
    assert_close(corners(decoded.image), QUARTERS)
    assert decoded.notes == ("multi_frame",)
    half = decode(data[: len(data) - 20])  # cut inside the second picture
    assert_close(corners(half.image), QUARTERS)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LAB"])
def test_other_modes(mode: str) -> None:
    image = Image.new("RGB", (16, 16), WHITE).convert("L" if mode == "LAB" else mode)
    if mode == "LAB":
        image = Image.new("LAB", (16, 16), (255, 128, 128))
    decoded = decode(encoded(image, "TIFF"))
    assert_close([decoded.image.getpixel((3, 3))], [WHITE], within=2)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_stated_range_are_unsupported(mode: str) -> None:
    with pytest.raises(SampleError, match="unsupported_format: pixels of mode"):
        decode(encoded(Image.new(mode, (4, 4)), "TIFF"))


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        pytest.param("AVIF", {}, marks=needs_avif),
    ],
)
def test_no_part_of_a_file_passes_for_the_whole(image_format: str, options: dict[str, Any]) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (24, 24, 3), np.uint8)
    data = encoded(Image.fromarray(noise), image_format, **options)
    decode(data)
    for size in [*range(40), *range(40, len(data), 23), *range(max(40, len(data) - 40), len(data))]:
        with pytest.raises(SampleError) as caught:
            decode_rgb(data[:size], max_pixels=LIMIT)
        assert caught.value.outcome == "decode_errors", (size, caught.value.detail)
        assert "0x7" not in caught.value.detail
        assert caught.value.detail


def test_bytes_after_the_image_are_legal() -> None:
    data = encoded(picture(), "JPEG", quality=95)
    assert_close(corners(decode(data + b"\xff\xd9 more " + data[:99]).image), QUARTERS)


def test_damaged_image_data_of_a_png_are_refused() -> None:
    data = bytearray(encoded(picture(), "PNG"))
    data[data.index(b"IDAT") + 12] ^= 1
    with pytest.raises(SampleError, match="decode_errors: corrupt PNG: wrong checksum of chunk IDAT"):
        decode_rgb(bytes(data), max_pixels=LIMIT)


def test_text_in_a_png_does_not_refuse_its_picture() -> None:
    import zlib

    whole = encoded(picture(), "PNG")
    long = pictures.png_chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3 << 20)))
    damaged = pictures.png_chunk(b"zTXt", b"workflow\0\7none")
    for text in (long, damaged):
        assert_close(corners(decode(whole[:33] + text + whole[33:-12] + text + whole[-12:]).image), QUARTERS)


def test_libtiff_speaks_in_the_error_and_not_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encoded(picture(), "TIFF", compression="tiff_lzw"))
    data[12:40] = b"\xff" * 28
    with pytest.raises(SampleError, match=r"decoder error -2 \(.+\)"):
        decode_rgb(bytes(data), max_pixels=LIMIT)
    assert capfd.readouterr().err == ""


def test_pixels_are_counted_before_anything_is_decoded() -> None:
    with pytest.raises(SampleError, match="skipped_too_large: 96x64 is 6144 pixels, over 6143"):
        decode_rgb(encoded(picture(), "JPEG"), max_pixels=6143)
    assert decode_rgb(encoded(picture(), "JPEG"), max_pixels=6144).image.size == (96, 64)


@pytest.mark.parametrize("size", [(65536, 65536), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_told_by_its_header(size: tuple[int, int]) -> None:
    import struct

    whole = encoded(picture(), "PNG")
    ihdr = struct.pack(">II", *size) + whole[24:29]
    data = whole[:8] + pictures.png_chunk(b"IHDR", ihdr) + whole[33:]
    with pytest.raises(SampleError, match="skipped_too_large"):
        decode_rgb(data, max_pixels=LIMIT)


@pytest.mark.parametrize(
    ("data", "outcome", "words"),
    [
        (b"", "decode_errors", "the file is empty"),
        (b"<html>not found</html>", "decode_errors", "not a valid image file: it begins with bytes 3c 68"),
        (b"8BPS" + bytes(60), "unsupported_format", "Photoshop files are not read"),
        (b"\xff\xd8\xff", "decode_errors", "truncated JPEG"),
        (b"\x89PNG\r\n\x1a\n", "decode_errors", "truncated PNG"),
        (b"II*\0" + bytes(60), "decode_errors", ""),
        (b"BM" + bytes(60), "decode_errors", ""),
        (b"GIF89a" + bytes(60), "decode_errors", ""),
    ],
)
def test_what_is_no_image_says_so(data: bytes, outcome: str, words: str) -> None:
    with pytest.raises(SampleError) as caught:
        decode_rgb(data, max_pixels=LIMIT)
    assert caught.value.outcome == outcome
    assert words in caught.value.detail


@pytest.mark.parametrize(
    ("brand", "module", "extra"), [(b"ftypheic", "pillow_heif", "heif"), (b"JXL \r\n\x87\n", "pillow_jxl", "jxl")]
)
def test_a_missing_decoder_is_named(monkeypatch: pytest.MonkeyPatch, brand: bytes, module: str, extra: str) -> None:
    import sys

    monkeypatch.setitem(sys.modules, module, None)
    data = b"\0\0\0\x0c" + brand + bytes(64)
    with pytest.raises(SampleError) as caught:
        decode_rgb(data, max_pixels=LIMIT)
    assert caught.value.outcome == "unsupported_format"
    assert caught.value.detail.endswith(f"not installed: pip install 'hfbucket[{extra}]'")
