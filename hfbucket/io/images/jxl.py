"""JPEG XL by its first bits and its boxes, without decoding (ISO/IEC 18181-1 annex D, 18181-2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from hfbucket.io.images.exif import METADATA_BYTES, Header, read_exif
from hfbucket.io.images.formats import Read, corrupt

_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS: Final = (9, 13, 18, 30)
_HEAD_BYTES: Final = 32


class _Bits:
    """Reads unsigned integers from bytes, least significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._bits & ((1 << count) - 1)
        self._bits >>= count
        return value


def read_header(read: Read, size_bytes: int) -> Header:
    """Return the header of a JPEG XL image; its colour mode is not parsed.

    What counts for orientation is the codestream; EXIF's is to be ignored. Decoders apply it, but where they give back
    the JPEG that the file was made of: `orientation` is told for these alone, the size of the others is upright.

    Raises:
        SampleError: no codestream in it.
    """
    if read(0, 2) == b"\xff\x0a":
        return _upright(*_codestream(read(0, _HEAD_BYTES)))
    codestream = exif = b""
    from_jpeg = False
    for kind, offset, size in _boxes(read, size_bytes):
        if kind in (b"jxlc", b"jxlp") and not codestream:
            codestream = read(offset + 4 * (kind == b"jxlp"), _HEAD_BYTES)
        elif kind == b"Exif":
            exif = read(offset + 4, min(size - 4, METADATA_BYTES))
        from_jpeg = from_jpeg or kind == b"jbrd"
    header, orientation = _codestream(codestream)
    header = header if from_jpeg else _upright(header, orientation)
    gps = read_exif(exif).gps
    return replace(header, exif=replace(header.exif, orientation=orientation if from_jpeg else 1, gps=gps))


def _upright(header: Header, orientation: int) -> Header:
    return replace(header, width=header.height, height=header.width) if orientation >= 5 else header


def _codestream(data: bytes) -> tuple[Header, int]:
    """Return size as stored and orientation 1..8."""
    if len(data) < 4 or not data.startswith(b"\xff\x0a"):
        raise corrupt("corrupt JPEG XL: no codestream in it")
    bits = _Bits(data[2:])
    in_eighths = bits.take(1)
    height = _side(bits, in_eighths)
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio - 1]
        width = height * numerator // denominator
    else:
        width = _side(bits, in_eighths)
    all_default = bits.take(1)
    orientation = 1 if all_default or not bits.take(1) else 1 + bits.take(3)
    return Header(width=width, height=height, color="unknown"), orientation


def _side(bits: _Bits, in_eighths: int) -> int:
    return 8 * (1 + bits.take(5)) if in_eighths else 1 + bits.take(_SIZE_BITS[bits.take(2)])


def _boxes(read: Read, size_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, offset of the content, its size) of every box."""
    position = 0
    while position + 8 <= size_bytes:
        head = read(position, 16)
        size, start = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, start = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:
            size = size_bytes - position
        if size < start or position + size > size_bytes:
            raise corrupt("truncated JPEG XL: the file ends inside a box")
        yield head[4:8], position + start, size - start
        position += size
