"""What a JPEG's metadata gives away about people: where it was taken, and with whose camera."""

from __future__ import annotations

from hfbucket.errors import SampleError
from hfbucket.io.images.jpeg import read_header

__all__ = ["personal_in_jpeg"]


def personal_in_jpeg(data: bytes) -> bool:
    """Return whether EXIF or XMP holds a GPS position, a camera owner's name or a serial number."""
    try:
        exif = read_header(lambda offset, size: data[offset : offset + size], len(data)).exif
    except SampleError:
        return False
    return exif.gps or exif.owner
