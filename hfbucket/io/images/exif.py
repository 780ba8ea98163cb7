"""What headers say: size, and orientation and GPS position from EXIF and XMP.

One reader serves scanning and decoding, so that both always agree. EXIF is a TIFF header and its first directory
(CIPA DC-008, TIFF 6.0). As in Pillow, XMP's `tiff:Orientation` counts where EXIF has none.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

_ORIENTATION: Final = 0x0112
_GPS: Final = 0x8825
_EXIF_DIRECTORY: Final = 0x8769
_OWNER: Final = (0xA430, 0xA431, 0xA435)  # CameraOwnerName, BodySerialNumber, LensSerialNumber
_GPS_POSITION: Final = (2, 4)  # GPSLatitude, GPSLongitude
METADATA_BYTES: Final = 1 << 20
"""No more of an EXIF block or XMP packet is read: a position in it lies at its start."""

_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
_XMP_ORIENTATION: Final = re.compile(rb"""tiff:Orientation(?:\s*=\s*["']|>)\s*([1-8])""")
_XMP_OWNER: Final = re.compile(
    rb"aux:(?:OwnerName|SerialNumber|LensSerialNumber)|exifEX:(?:CameraOwnerName|BodySerial)"
)
_XMP_GPS: Final = re.compile(rb"exif:GPSL(?:at|ong)itude")


@dataclass(frozen=True, kw_only=True, slots=True)
class Exif:
    """What matters of an image's metadata. `orientation` is 1..8, or None where nothing valid says it."""

    orientation: int | None = None
    gps: bool = False
    #: Names the owner of the camera, or its serial number.
    owner: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a file says of its picture before any pixel. Sizes are as stored, before orientation."""

    width: int
    height: int
    #: gray, rgb, cmyk or ycck for JPEG; else Pillow's mode.
    color: str
    exif: Exif = Exif()


def read_exif(exif: bytes, xmp: bytes = b"") -> Exif:
    """Return orientation and GPS of an EXIF block (with or without its `Exif\\0\\0`) and an XMP packet.

    Damaged blocks count as far as they can be read: bad metadata never rejects an image.
    """
    found = _from_tiff(exif[6:] if exif.startswith(b"Exif\0\0") else exif)
    orientation = found.orientation
    if orientation is None and (match := _XMP_ORIENTATION.search(xmp)):
        orientation = int(match[1])
    return Exif(
        orientation=orientation,
        gps=found.gps or bool(_XMP_GPS.search(xmp)),
        owner=found.owner or bool(_XMP_OWNER.search(xmp)),
    )


def _from_tiff(tiff: bytes) -> Exif:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return Exif()
    directory = _directory(tiff, order, struct.unpack_from(order + "I", tiff, 4)[0])
    orientation = directory.get(_ORIENTATION)
    gps = directory.get(_GPS)
    positions = _directory(tiff, order, gps) if gps else {}
    more = directory.get(_EXIF_DIRECTORY)
    details = _directory(tiff, order, more) if more else {}
    return Exif(
        orientation=orientation if orientation in range(1, 9) else None,
        gps=any(tag in positions for tag in _GPS_POSITION),
        owner=any(tag in details for tag in _OWNER),
    )


def _directory(tiff: bytes, order: str, offset: int) -> dict[int, int | None]:
    """Return tag to value of one directory; None for values that are no single inline integers."""
    if not 0 <= offset <= len(tiff) - 2:
        return {}
    entries: dict[int, int | None] = {}
    count = struct.unpack_from(order + "H", tiff, offset)[0]
    last = min(offset + 2 + 12 * count, len(tiff) - 11)
    for at in range(offset + 2, last, 12):
        tag, kind, number = struct.unpack_from(order + "HHI", tiff, at)
        code = _INTEGERS.get(kind)
        value = struct.unpack_from(order + code, tiff, at + 8)[0] if code and number == 1 else None
        entries.setdefault(tag, value)
    return entries
