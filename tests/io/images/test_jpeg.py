from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hfbucket.errors import SampleError
from hfbucket.io.images.decode import decode_rgb
from hfbucket.io.images.jpeg import read_header, segments, strip_metadata, walk
from hfbucket.io.images.probe import probe
from tests.io.images.pictures import encoded, exif, icc_profile, picture, stored


def pixels(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(decode_rgb(data, max_pixels=1 << 30).image)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}, {"optimize": True}])
def test_walk_ends_after_the_end_marker(options: dict[str, object]) -> None:
    noise = Image.fromarray(np.random.default_rng(5).integers(0, 255, (90, 70, 3), np.uint8))
    data = encoded(noise, "JPEG", **options)
    assert walk(data) == len(data)
    assert walk(data + data) == len(data)


def test_walk_is_not_misled_by_end_markers_inside_segments() -> None:
    thumbnail = encoded(picture(16, 16), "JPEG")
    data = encoded(picture(), "JPEG", comment=thumbnail, progressive=True)
    assert walk(data) == len(data)


def test_segments_cover_the_file() -> None:
    data = encoded(picture(), "JPEG", progressive=True, exif=exif(6))
    found = list(segments(data))
    assert [part.start for part in found[1:]] == [part.end for part in found[:-1]]
    assert (found[0].start, found[-1].end) == (0, len(data))


def test_fill_bytes_and_junk_between_segments_are_skipped() -> None:
    data = encoded(picture(), "JPEG")
    padded = data[:20] + b"\xff\xff\xff" + data[20:]
    assert walk(padded) == len(padded)
    junk = data[:20] + bytes(9000) + data[20:]
    assert walk(junk) == len(junk)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GIF89a", "no start-of-image marker"),
        (b"\xff\xd8\xff\xd9", "no image data before the end-of-image marker"),
        (b"\xff\xd8\xff\x02\x00\x04\x00\x00", "corrupt JPEG: marker 0x02 at byte 2"),
        (b"\xff\xd8\xff\xe0\x00\x01", "a segment has no valid length"),
        (b"\xff\xd8\xff\xe0\xff\xff", "the file ends inside a segment"),
    ],
)
def test_walk_names_what_breaks(data: bytes, words: str) -> None:
    with pytest.raises(SampleError, match=words):
        walk(data)


def test_header_without_a_frame() -> None:
    data = b"\xff\xd8\xff\xda\x00\x02"
    with pytest.raises(SampleError, match="no frame header before the image data"):
        read_header(lambda offset, size: data[offset : offset + size], len(data))


def test_metadata_are_stripped_and_pixels_are_not() -> None:
    profile = icc_profile(b"RGB ", "gbr", gamma=2.2)
    block = exif(1, gps=True)
    data = encoded(picture(), "JPEG", exif=block, icc_profile=profile, comment=b"secret", xmp=b"<exif:GPSLatitude/>")
    bare = strip_metadata(data)
    assert b"Exif" not in bare
    assert b"secret" not in bare
    assert b"GPSLatitude" not in bare
    assert profile in bare
    assert np.array_equal(pixels(bare), pixels(data))
    assert probe(io.BytesIO(data), name="a.jpg", size_bytes=len(data)).gps
    assert not probe(io.BytesIO(bare), name="a.jpg", size_bytes=len(bare)).gps
    assert strip_metadata(bare) == bare


def test_stripping_keeps_an_orientation_and_inks() -> None:
    data = encoded(stored(picture(), 6), "JPEG", exif=exif(6, gps=True))
    bare = strip_metadata(data)
    found = probe(io.BytesIO(bare), name="a.jpg", size_bytes=len(bare))
    assert (found.orientation, found.gps) == (6, False)
    assert np.array_equal(pixels(bare), pixels(data))
    inks = encoded(picture().convert("CMYK"), "JPEG", exif=exif(1))
    assert np.array_equal(pixels(strip_metadata(inks)), pixels(inks))


def test_stripping_drops_further_pictures_with_their_metadata() -> None:
    data = encoded(picture(), "MPO", save_all=True, append_images=[picture()], exif=exif(1, gps=True))
    bare = strip_metadata(data)
    assert walk(bare) == len(bare)
    assert b"MPF\0" not in bare
    assert np.array_equal(pixels(bare), pixels(data))
