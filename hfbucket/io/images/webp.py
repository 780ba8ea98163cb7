"""WebP by its RIFF chunks, without decoding (RFC 9649): header, frames, length."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from hfbucket.io.images.exif import METADATA_BYTES, Header, read_exif
from hfbucket.io.images.formats import Read, bytes_of, corrupt


def read_header(read: Read, size_bytes: int) -> Header:
    """Return the header of a WebP; of its image data only the chunk heads are read.

    Raises:
        SampleError: the file is shorter than its RIFF header says, or holds no picture.
    """
    size: tuple[int, int] | None = None
    alpha = False
    exif = xmp = b""
    for kind, offset, length in _chunks(read, size_bytes):
        if kind == b"EXIF":
            exif = read(offset, min(length, METADATA_BYTES))
        elif kind == b"XMP ":
            xmp = read(offset, min(length, METADATA_BYTES))
        elif size is None and kind in (b"VP8X", b"VP8 ", b"VP8L"):
            size, alpha = _size(kind, read(offset, 10))
    if size is None:
        raise corrupt("corrupt WebP: no picture in it")
    return Header(width=size[0], height=size[1], color="RGBA" if alpha else "RGB", exif=read_exif(exif, xmp))


def count_frames(data: bytes) -> int:
    """Return the number of frames of a WebP.

    Raises:
        SampleError: the file is shorter than its RIFF header says.
    """
    kinds = [kind for kind, _, _ in _chunks(bytes_of(data), len(data))]
    return max(kinds.count(b"ANMF"), 1)


def _chunks(read: Read, size_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    end = 8 + int.from_bytes(read(4, 4), "little")
    if end > size_bytes:
        raise corrupt(f"truncated WebP: {size_bytes} bytes where the header says {end}")
    position = 12
    while position + 8 <= end:
        head = read(position, 8)
        length = int.from_bytes(head[4:], "little")
        if position + 8 + length > end:
            raise corrupt(f"truncated WebP: the file ends inside chunk {head[:4].decode('latin-1')}")
        yield head[:4], position + 8, length
        position += 8 + length + (length & 1)


def _size(kind: bytes, head: bytes) -> tuple[tuple[int, int], bool]:
    if len(head) == 10 and kind == b"VP8X":
        return (1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")), bool(head[0] & 0x10)
    if len(head) == 10 and kind == b"VP8 " and head[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", head, 6)
        if width & 0x3FFF and height & 0x3FFF:
            return (width & 0x3FFF, height & 0x3FFF), False
    if kind == b"VP8L" and head[:1] == b"\x2f" and len(head) >= 5:
        bits = int.from_bytes(head[1:5], "little")
        return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), bool(bits >> 28 & 1)
    raise corrupt(f"corrupt WebP: no valid picture header in chunk {kind.decode('latin-1')}")
