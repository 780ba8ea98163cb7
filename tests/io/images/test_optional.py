"""Formats that an extra reads: the headers always, the pixels where it is installed."""

from __future__ import annotations

import io
from typing import Any

import pytest

from hfbucket.errors import SampleError
from hfbucket.io.images import jxl
from hfbucket.io.images.decode import decode_rgb
from hfbucket.io.images.exif import Exif
from hfbucket.io.images.probe import probe
from tests.io.images import pictures
from tests.io.images.pictures import corners, encoded, exif, picture

QUARTERS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


def bits(*fields: tuple[int, int]) -> bytes:
    """Return (value, width) fields packed least significant bit first, after a codestream's signature."""
    packed = at = 0
    for value, width in fields:
        packed |= value << at
        at += width
    return b"\xff\x0a" + packed.to_bytes(16, "little")


def header(data: bytes) -> tuple[int, int, Exif]:
    found = jxl.read_header(lambda offset, size: data[offset : offset + size], len(data))
    return found.width, found.height, found.exif


def box(kind: bytes, content: bytes) -> bytes:
    return (len(content) + 8).to_bytes(4, "big") + kind + content


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (bits((1, 1), (7, 5), (0, 3), (11, 5), (1, 1)), (96, 64)),  # in eighths
        (bits((0, 1), (0, 2), (63, 9), (0, 3), (0, 2), (95, 9), (1, 1)), (96, 64)),
        (bits((0, 1), (1, 2), (999, 13), (3, 3), (1, 1)), (1333, 1000)),  # 4:3
        (bits((0, 1), (3, 2), (2**30 - 1, 30), (7, 3), (1, 1)), (2**31, 2**30)),
        (bits((1, 1), (7, 5), (0, 3), (11, 5), (0, 1), (1, 1), (5, 3)), (64, 96)),  # orientation 6
        (bits((1, 1), (7, 5), (0, 3), (11, 5), (0, 1), (0, 1), (5, 3)), (96, 64)),
    ],
)
def test_jxl_sizes(data: bytes, size: tuple[int, int]) -> None:
    assert header(data)[:2] == size


def test_jxl_in_boxes() -> None:
    turned = bits((1, 1), (7, 5), (0, 3), (11, 5), (0, 1), (1, 1), (5, 3))
    gps = box(b"Exif", b"\0\0\0\0" + exif(6, gps=True).removeprefix(b"Exif\0\0"))
    start = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    assert header(start + gps + box(b"jxlc", turned)) == (64, 96, Exif(orientation=1, gps=True))
    assert header(start + box(b"jbrd", b"") + box(b"jxlp", b"\0\0\0\0" + turned)) == (96, 64, Exif(orientation=6))
    for broken in (start, start + box(b"jxlc", turned)[:-1], start + b"\0\0\0\2jxlc"):
        with pytest.raises(SampleError, match="JPEG XL"):
            header(broken)


def test_jxl_bombs_are_told_before_anything_is_decoded() -> None:
    pytest.importorskip("pillow_jxl")
    with pytest.raises(SampleError, match="skipped_too_large"):
        decode_rgb(bits((0, 1), (2, 2), (2**18 - 1, 18), (1, 3), (1, 1)), max_pixels=178_000_000)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("module", "image_format"), [("pillow_heif", "HEIF"), ("pillow_jxl", "JXL")])
def test_pixels(module: str, image_format: str, orientation: int) -> None:
    plugin = pytest.importorskip(module)
    if image_format == "HEIF":
        plugin.register_heif_opener()
    upright = image_format == "JXL"  # whose EXIF orientation is to be ignored
    stored = picture() if upright else pictures.stored(picture(), orientation)
    data = encoded(stored, image_format, quality=95, exif=exif(orientation))
    found = probe(io.BytesIO(data), name="a", size_bytes=len(data))
    decoded = decode_rgb(data, max_pixels=1 << 20)
    assert (found.width, found.height) == decoded.image.size == (96, 64)
    differences: list[Any] = [
        abs(a - b) for x, y in zip(corners(decoded.image), QUARTERS, strict=True) for a, b in zip(x, y, strict=True)
    ]
    assert max(differences) < 9
