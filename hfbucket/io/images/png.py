"""PNG by its chunks, without decoding (W3C PNG, third edition): header, frames, checksums."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from hfbucket.io.images.exif import METADATA_BYTES, Header, read_exif
from hfbucket.io.images.formats import Read, bytes_of, corrupt

_MODES: Final = {
    **dict.fromkeys([(2, 0), (4, 0), (8, 0)], "L"),
    **dict.fromkeys([(1, 3), (2, 3), (4, 3), (8, 3)], "P"),
    **dict.fromkeys([(8, 2), (16, 2)], "RGB"),
    **dict.fromkeys([(16, 4), (8, 6), (16, 6)], "RGBA"),
    (1, 0): "1",
    (16, 0): "I;16",
    (8, 4): "LA",
}
"""(bit depth, colour type) to Pillow's mode."""

_TEXT: Final = frozenset({b"iTXt", b"tEXt", b"zTXt"})
_XMP_KEYWORD: Final = b"XML:com.adobe.xmp\0"
_RAW_EXIF_KEYWORD: Final = b"Raw profile type exif\0"


def read_header(read: Read, size_bytes: int) -> Header:
    """Return the header of a PNG; of its image data only the chunk heads are read.

    Raises:
        SampleError: the chunks do not reach IEND, or IHDR is no PNG's.
    """
    ihdr = exif = xmp = b""
    has_data = False
    for kind, offset, size in _chunks(read, size_bytes):
        if kind == b"IHDR" and not ihdr:
            ihdr = read(offset, size) if size == 13 else b""
        elif kind == b"IDAT":
            has_data = True
        elif kind == b"eXIf":
            exif = read(offset, min(size, METADATA_BYTES))
        elif kind in _TEXT and size <= METADATA_BYTES:
            text = read(offset, size)
            xmp = xmp or _itxt_xmp(kind, text)
            exif = exif or _raw_exif(kind, text)
    if not ihdr:
        raise corrupt("corrupt PNG: no valid IHDR chunk")
    if not has_data:
        raise corrupt("corrupt PNG: no image data")
    width, height, depth, color_type = struct.unpack_from(">IIBB", ihdr)
    mode = _MODES.get((depth, color_type))
    if mode is None or not 0 < width < 1 << 31 or not 0 < height < 1 << 31:
        raise corrupt(f"corrupt PNG: IHDR says {width}x{height}, depth {depth}, colour type {color_type}")
    return Header(width=width, height=height, color=mode, exif=read_exif(exif, xmp))


def count_frames(data: bytes) -> int:
    """Return the number of pictures in a PNG whose critical chunks are whole, by their CRCs.

    Raises:
        SampleError: a critical chunk is damaged or missing.
    """
    pictures, animated = 0, False
    view = memoryview(data)
    for kind, offset, size in _chunks(bytes_of(data), len(data)):
        # Frames begin with fcTL, where acTL came first; image data before the first frame are a picture of their own.
        animated = animated or (kind == b"acTL" and not pictures)
        pictures += (kind == b"fcTL" and animated) or (kind == b"IDAT" and not pictures)
        critical = not kind[0] & 0x20
        end = offset + size
        if critical and zlib.crc32(view[offset - 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise corrupt(f"corrupt PNG: wrong checksum of chunk {kind.decode('latin-1')} at byte {offset - 8}")
    return pictures


def without_text(data: bytes) -> bytes:
    """Return the PNG without its text chunks: Pillow refuses an image for a damaged or a very long one.

    Raises:
        SampleError: the chunks do not reach IEND.
    """
    texts = [(at, size) for kind, at, size in _chunks(bytes_of(data), len(data)) if kind in _TEXT]
    start, kept = 0, []
    for offset, size in texts:
        kept.append(data[start : offset - 8])
        start = offset + size + 4
    return b"".join([*kept, data[start:]]) if texts else data


def _chunks(read: Read, size_bytes: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, offset of the data, size) of every chunk up to IEND."""
    position = 8
    while True:
        head = read(position, 8)
        size = int.from_bytes(head[:4], "big")
        if len(head) < 8 or position + 12 + size > size_bytes:
            raise corrupt("truncated PNG: the file ends before its IEND chunk")
        kind = head[4:]
        if not kind.isalpha():
            raise corrupt(f"corrupt PNG: no chunk at byte {position}")
        yield kind, position + 8, size
        if kind == b"IEND":
            return
        position += 12 + size


def _itxt_xmp(kind: bytes, text: bytes) -> bytes:
    if kind != b"iTXt" or not text.startswith(_XMP_KEYWORD):
        return b""
    compressed, rest = text[len(_XMP_KEYWORD) :][:1] == b"\1", text[len(_XMP_KEYWORD) + 2 :]
    body = rest.split(b"\0", 2)[-1]  # after language and translated keyword
    return _inflate(body) if compressed else body


def _raw_exif(kind: bytes, text: bytes) -> bytes:
    """Return the EXIF block that ImageMagick and exiftool write as hex lines after a name and a length."""
    if not text.startswith(_RAW_EXIF_KEYWORD):
        return b""
    body = text[len(_RAW_EXIF_KEYWORD) :]
    lines = (_inflate(body[1:]) if kind == b"zTXt" else body).split(b"\n")[3:]
    try:
        return bytes.fromhex(b"".join(lines).decode("ascii"))
    except ValueError:
        return b""


def _inflate(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, METADATA_BYTES)
    except zlib.error:
        return b""
