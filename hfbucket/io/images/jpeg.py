"""JPEG by its markers, without decoding (ITU-T T.81 annex B): header, end of the primary image, metadata removed."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from hfbucket.io.images.exif import Header, read_exif
from hfbucket.io.images.formats import Read, bytes_of, corrupt

try:
    from hfbucket.io.images import _jpeg
except ImportError:  # built without a compiler
    _jpeg = None  # type: ignore[assignment]

_SOI, _EOI, _COM = 0xD8, 0xD9, 0xFE
SOS: Final = 0xDA
"""Marks a scan."""

_APP1, _APP2, _APP13, _APP14 = 0xE1, 0xE2, 0xED, 0xEE
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15; not DHT, JPG, DAC
_BARE: Final = frozenset({0x01, *range(0xD0, 0xDA)})  # TEM, restarts, SOI and EOI have no length
_KNOWN: Final = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xF0), _COM})  # segments with a length
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_JUNK_BYTES: Final = 4096
_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
_IN_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7]")
"""What ends entropy-coded data: 0xFF, and neither a stuffed zero nor a restart after it."""


class Segment(NamedTuple):
    """One marker segment, `start` at its 0xFF; a scan ends where its entropy-coded data do."""

    marker: int
    start: int
    end: int


class Plain(NamedTuple):
    """A JPEG that is whole and as nearly all are: three components, in the usual coding."""

    header: Header
    #: The ICC profile, empty without one.
    profile: bytes
    #: As `count_frames` has it.
    frames: int
    #: It is one picture without profile, EXIF and XMP.
    is_bare: bool


def read_plain(data: bytes) -> Plain | None:
    """Return what a plain JPEG says of itself; None of any other, and where nothing is compiled that knows it."""
    found = _jpeg.plain(data) if _jpeg else None
    if found is None:
        return None
    width, height, exif, xmp, profile, frames = found
    header = Header(width=width, height=height, color="rgb", exif=read_exif(exif, xmp))
    is_bare = frames == 1 and not (exif or xmp or profile)
    return Plain(header=header, profile=profile, frames=frames, is_bare=is_bare)


def read_header(read: Read, size_bytes: int) -> Header:
    """Return the header of a JPEG, what stands before its first scan.

    Raises:
        SampleError: no frame header before the first scan, or one that no decoder takes.
    """
    frame = exif = xmp = b""
    transform: int | None = None
    position = 2
    while True:
        marker, position = _next_marker(read, position)
        if marker in (_EOI, SOS):
            break
        if marker in _BARE:
            continue
        size = _length(read(position, 2))
        if marker in _FRAMES and not frame:
            frame = read(position + 2, size - 2)
        elif marker == _APP1:
            body = read(position + 2, size - 2)
            if body.startswith(b"Exif\0\0"):
                exif += body[6:]
            elif body.startswith(_XMP):
                xmp = body
        elif marker == _APP14 and (body := read(position + 2, 12)).startswith(b"Adobe") and len(body) == 12:
            transform = body[11]
        position += size
    width, height, color = _frame(frame, transform)
    return Header(width=width, height=height, color=color, exif=read_exif(exif, xmp))


def count_frames(data: bytes) -> int:
    """Return 2 for a whole JPEG of the multi-picture kind (MPO), else 1.

    Raises:
        SampleError: the structure breaks before the primary image's end marker.
    """
    if _jpeg and (plain := _jpeg.plain(data)):
        return plain[-1]
    multi_picture = False
    for segment in segments(data):
        multi_picture = multi_picture or _points_to_others(segment, data)
    return 2 if multi_picture else 1


def walk(data: bytes) -> int:
    """Return the offset just after the primary image's end marker; bytes after it are legal.

    Raises:
        SampleError: the structure breaks before that marker.
    """
    end = 0
    for segment in segments(data):
        end = segment.end
    return end


def segments(data: bytes) -> Iterator[Segment]:
    """Yield every segment of the primary image, from SOI to EOI.

    Raises:
        SampleError: the file ends early, or a marker stands where none may.
    """
    if data[:2] != b"\xff\xd8":
        raise corrupt("not a JPEG: no start-of-image marker")
    yield Segment(marker=_SOI, start=0, end=2)
    position, scans, marker = 2, 0, _SOI
    while marker != _EOI:
        start = position
        pair = data[position : position + 2]
        if len(pair) == 2 and pair[0] == 0xFF and pair[1] not in (0x00, 0xFF):
            marker, position = pair[1], position + 2
        else:
            marker, position = _next_marker(bytes_of(data), position)
        position = _segment_end(data, marker, position)
        scans += marker == SOS
        yield Segment(marker=marker, start=start, end=position)
    if not scans:
        raise corrupt("truncated JPEG: no image data before the end-of-image marker")


def _segment_end(data: bytes, marker: int, position: int) -> int:
    """Return where the segment whose marker ends at `position` does; a scan's entropy-coded data belong to it."""
    if marker in _BARE:
        return position
    if marker not in _KNOWN:
        raise corrupt(f"corrupt JPEG: marker 0x{marker:02x} at byte {position - 2}")
    position += _length(data[position : position + 2])
    if position > len(data):
        raise corrupt("truncated JPEG: the file ends inside a segment")
    if marker != SOS:
        return position
    found = _IN_SCAN.search(data, position)
    if found is None:
        raise corrupt("truncated JPEG: no end-of-image marker")
    return found.start()


def strip_metadata(data: bytes) -> bytes:
    """Return the JPEG without EXIF, XMP, IPTC and comments; pixels, ICC profile and colour markers stay.

    Dropped are APP1, APP13 and COM, and what follows the primary image with the index (MPF) that points there, as
    further pictures carry metadata of their own. An orientation other than 1 is kept, alone in a fresh APP1.

    Raises:
        SampleError: the structure is broken.
    """
    orientation = read_header(bytes_of(data), len(data)).exif.orientation or 1
    kept = bytearray()
    for segment in segments(data):
        if segment.marker in (_APP1, _APP13, _COM) or _points_to_others(segment, data):
            continue
        kept += data[segment.start : segment.end]
        if segment.marker == _SOI and segment.start == 0 and orientation != 1:
            kept += _orientation_segment(orientation)
    return bytes(kept)


def _points_to_others(segment: Segment, data: bytes) -> bool:
    """Return whether the segment is the index of a multi-picture file (CIPA DC-007)."""
    return segment.marker == _APP2 and data[segment.start + 4 : segment.start + 8] == b"MPF\0"


def _orientation_segment(orientation: int) -> bytes:
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def _next_marker(read: Read, position: int) -> tuple[int, int]:
    """Return the next marker's code and the offset after it; junk before it is skipped, as decoders do."""
    pair = read(position, 2)
    if len(pair) == 2 and pair[0] == 0xFF and pair[1] not in (0x00, 0xFF):
        return pair[1], position + 2
    while len(chunk := read(position, _JUNK_BYTES)) > 1:
        if found := _MARKER.search(chunk):
            return found[0][1], position + found.end()
        position += len(chunk) - 1
    raise corrupt("truncated JPEG: the file ends before its end-of-image marker")


def _length(field: bytes) -> int:
    size = int.from_bytes(field, "big")
    if len(field) < 2 or size < 2:
        raise corrupt("corrupt JPEG: a segment has no valid length")
    return size


def _frame(frame: bytes, transform: int | None) -> tuple[int, int, str]:
    if len(frame) < 6:
        raise corrupt("corrupt JPEG: no frame header before the image data")
    precision, height, width, channels = struct.unpack_from(">BHHB", frame)
    if precision != 8:
        raise corrupt(f"cannot handle {precision}-bit layers")
    if not width or not height:
        raise corrupt(f"the frame header says {width}x{height} pixels")
    colors = {1: "gray", 3: "rgb", 4: "ycck" if transform == 2 else "cmyk"}
    if channels not in colors:
        raise corrupt(f"cannot handle {channels}-layer images")
    return width, height, colors[channels]
