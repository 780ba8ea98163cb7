from __future__ import annotations

import contextlib
import io
import struct

import pytest
from PIL import Image

from hfbucket.errors import SampleError
from hfbucket.io.images.exif import Exif, read_exif
from hfbucket.io.images.formats import IMAGE_EXTENSIONS, format_of, sniff
from hfbucket.io.images.probe import Probe, probe
from tests.io.images.pictures import encoded, exif, picture, png_chunk


class Counting(io.BytesIO):
    """A file that counts the bytes it gives."""

    given = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.given += len(data)
        return data


def of(data: bytes, name: str = "a.img") -> Probe:
    return probe(io.BytesIO(data), name=name, size_bytes=len(data))


@pytest.mark.parametrize(
    ("image", "image_format", "name", "color"),
    [
        (picture(), "JPEG", "jpeg", "rgb"),
        (picture().convert("L"), "JPEG", "jpeg", "gray"),
        (picture().convert("CMYK"), "JPEG", "jpeg", "cmyk"),
        (picture(), "PNG", "png", "RGB"),
        (picture().convert("1"), "PNG", "png", "1"),
        (picture().convert("P"), "PNG", "png", "P"),
        (picture().convert("LA"), "PNG", "png", "LA"),
        (picture(), "WEBP", "webp", "RGB"),
        (Image.new("RGBA", (96, 64), (9, 9, 9, 9)), "WEBP", "webp", "RGBA"),
        (picture(), "GIF", "gif", "P"),
        (picture(), "BMP", "bmp", "RGB"),
        (picture().convert("L"), "TIFF", "tiff", "L"),
    ],
)
def test_headers_say_what_an_image_is(image: Image.Image, image_format: str, name: str, color: str) -> None:
    data = encoded(image, image_format)
    assert of(data) == Probe(format=name, width=96, height=64, orientation=1, color=color, gps=False)


@pytest.mark.parametrize("lossless", [True, False])
def test_webp_without_extended_header(lossless: bool) -> None:
    found = of(encoded(picture(33, 17), "WEBP", lossless=lossless))
    assert (found.width, found.height, found.color) == (33, 17, "RGB")


def test_a_wrong_extension_does_not_matter() -> None:
    assert of(encoded(picture(), "PNG"), name="photo.jpg").format == "png"


def test_what_is_no_image_under_an_image_s_name() -> None:
    with pytest.raises(SampleError, match="decode_errors: not a valid jpeg file: it begins with bytes 3c 68 74 6d 6c"):
        of(b"<html>", name="photo.JPG")


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_pixels_are_not_read(image_format: str) -> None:
    noise = Image.effect_noise((900, 900), 90)
    data = encoded(noise, image_format, **({"quality": 95} if image_format == "JPEG" else {}))
    file = Counting(data)
    found = probe(file, name="a.img", size_bytes=len(data))
    assert (found.width, found.height) == (900, 900)
    # A PNG's chunks, at most 64 KB each here, are visited to its end: EXIF may stand there.
    assert file.given < (200_000 if image_format == "PNG" else 20_000) < len(data)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_gps_positions_are_seen(image_format: str) -> None:
    assert of(encoded(picture(), image_format, exif=exif(1, gps=True))).gps
    assert not of(encoded(picture(), image_format, exif=exif(6))).gps


def test_gps_in_xmp_is_seen() -> None:
    assert of(encoded(picture(), "JPEG", xmp=b'<a exif:GPSLatitude="48,51.5N"/>')).gps


def test_a_gif_frame_over_the_screen_widens_it() -> None:
    data = bytearray(encoded(picture(), "GIF"))
    data[6:10] = struct.pack("<HH", 10, 10)
    found = of(bytes(data))
    assert (found.width, found.height) == (96, 64)


def test_sides_that_fit_no_table_are_too_large() -> None:
    big = bytearray(encoded(Image.new("L", (1, 1)), "TIFF"))
    at = big.index(struct.pack("<HHI", 256, 4, 1))
    big[at + 8 : at + 12] = struct.pack("<I", 2**32 - 1)
    with pytest.raises(SampleError, match="skipped_too_large: 4294967295x1 pixels"):
        of(bytes(big))


@pytest.mark.parametrize(
    "block",
    [
        *(b"", b"Exif\0\0", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(9)),
        # directories before the start: their places are signed numbers
        *(b"MM\0*" + struct.pack(">IHHHIi", 8, 1, tag, 9, 1, at) for tag in (0x8825, 0x8769) for at in (-1, -20)),
    ],
)
def test_damaged_exif_says_nothing(block: bytes) -> None:
    assert read_exif(block) == Exif()


def test_damaged_exif_does_not_reject_an_image() -> None:
    for cut in range(6, 40):
        found = of(encoded(picture(), "JPEG", exif=exif(6)[:cut]))
        assert {found.width, found.height} == {96, 64}
    whole = encoded(picture(), "PNG")
    assert of(whole[:33] + png_chunk(b"eXIf", b"II*\0\xff") + whole[33:]).orientation == 1


@pytest.mark.parametrize("size", [0, 1, 2, 3, 10, 63, 64, 100])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_the_head_of_a_file_alone_is_an_error_or_a_size(image_format: str, size: int) -> None:
    data = encoded(picture(), image_format)[:size]
    with contextlib.suppress(SampleError):
        assert of(data).width == 96


def test_names_and_first_bytes() -> None:
    assert format_of("a/b.c.JPEG") == "jpeg"
    assert format_of("a.tif") == "tiff"
    assert format_of("a.txt") is None
    assert {
        ".jpg",
        ".png",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".avif",
        ".heic",
        ".heif",
        ".jxl",
    } <= IMAGE_EXTENSIONS
    assert sniff(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") == "avif"
    assert sniff(b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf") == "heic"
    assert sniff(b"\xff\x0a..") == "jxl"
    assert sniff(b"RIFF....WAVE") is None
