"""PNG, WebP, GIF and BMP by their blocks, without decoding: headers for a scan, and whether a file is whole.

Sources: W3C PNG (third edition), RFC 9649 (WebP), GIF89a specification, Microsoft's bitmap structures.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hfbucket.io.images.exif import Exif, read_exif
from hfbucket.io.images.formats import Read, corrupt

_PNG_MODES: Final = {
    **dict.fromkeys([(2, 0), (4, 0), (8, 0)], "L"),
    **dict.fromkeys([(1, 3), (2, 3), (4, 3), (8, 3)], "P"),
    **dict.fromkeys([(8, 2), (16, 2)], "RGB"),
    **dict.fromkeys([(16, 4), (8, 6), (16, 6)], "RGBA"),
    (1, 0): "1",
    (16, 0): "I;16",
    (8, 4): "LA",
}
"""(bit depth, colour type) to Pillow's mode."""

_XMP_KEYWORD: Final = b"XML:com.adobe.xmp\0"
_RAW_EXIF_KEYWORD: Final = b"Raw profile type exif\0"
_METADATA_BYTES: Final = 1 << 20  # a longer text chunk is no EXIF or XMP worth reading


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a container says of its first picture; sizes are as stored, before orientation."""

    width: int
    height: int
    color: str
    exif: Exif


def png_header(read: Read, size_bytes: int) -> Header:
    """Return the header of a PNG; of its image data only the chunk heads are read.

    Raises:
        SampleError: the chunks do not reach IEND, or IHDR is no PNG's.
    """
    ihdr = exif = xmp = b""
    has_data = False
    for kind, offset, size in _png_chunks(read, size_bytes):
        if kind == b"IHDR" and not ihdr:
            ihdr = read(offset, size) if size == 13 else b""
        elif kind == b"IDAT":
            has_data = True
        elif kind == b"eXIf":
            exif = read(offset, min(size, _METADATA_BYTES))
        elif kind in (b"iTXt", b"tEXt", b"zTXt") and size <= _METADATA_BYTES:
            text = read(offset, size)
            xmp = xmp or _itxt_xmp(kind, text)
            exif = exif or _raw_exif(kind, text)
    if not ihdr:
        raise corrupt("corrupt PNG: no valid IHDR chunk")
    if not has_data:
        raise corrupt("corrupt PNG: no image data")
    width, height, depth, color_type = struct.unpack_from(">IIBB", ihdr)
    mode = _PNG_MODES.get((depth, color_type))
    if mode is None or not 0 < width < 1 << 31 or not 0 < height < 1 << 31:
        raise corrupt(f"corrupt PNG: IHDR says {width}x{height}, depth {depth}, colour type {color_type}")
    return Header(width=width, height=height, color=mode, exif=read_exif(exif, xmp))


def check_png(data: bytes) -> int:
    """Return the number of frames of a PNG whose critical chunks are whole, by their CRCs.

    Raises:
        SampleError: a critical chunk is damaged or missing.
    """
    frames = 0
    view = memoryview(data)
    for kind, offset, size in _png_chunks(lambda at, count: data[at : at + count], len(data)):
        frames += kind == b"fcTL"
        critical = not kind[0] & 0x20
        end = offset + size
        if critical and zlib.crc32(view[offset - 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise corrupt(f"corrupt PNG: wrong checksum of chunk {kind.decode('latin-1')} at byte {offset - 8}")
    return max(frames, 1)


def _png_chunks(read: Read, size_bytes: int) -> Iterator[tuple[bytes, int, int]]:
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
        return zlib.decompressobj().decompress(packed, _METADATA_BYTES)
    except zlib.error:
        return b""


def webp_header(read: Read, size_bytes: int) -> Header:
    """Return the header of a WebP; of its image data only the chunk heads are read.

    Raises:
        SampleError: the file is shorter than its RIFF header says, or holds no picture.
    """
    size: tuple[int, int] | None = None
    alpha = False
    exif = xmp = b""
    for kind, offset, length in _webp_chunks(read, size_bytes):
        if kind == b"EXIF":
            exif = read(offset, min(length, _METADATA_BYTES))
        elif kind == b"XMP ":
            xmp = read(offset, min(length, _METADATA_BYTES))
        elif size is None and kind in (b"VP8X", b"VP8 ", b"VP8L"):
            size, alpha = _webp_size(kind, read(offset, 10))
    if size is None:
        raise corrupt("corrupt WebP: no picture in it")
    return Header(width=size[0], height=size[1], color="RGBA" if alpha else "RGB", exif=read_exif(exif, xmp))


def check_webp(data: bytes) -> int:
    """Return the number of frames of a WebP.

    Raises:
        SampleError: the file is shorter than its RIFF header says.
    """
    kinds = [kind for kind, _, _ in _webp_chunks(lambda at, count: data[at : at + count], len(data))]
    return max(kinds.count(b"ANMF"), 1)


def _webp_chunks(read: Read, size_bytes: int) -> Iterator[tuple[bytes, int, int]]:
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


def _webp_size(kind: bytes, head: bytes) -> tuple[tuple[int, int], bool]:
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


def check_gif(data: bytes) -> int:
    """Return the number of frames of a GIF that is whole up to its trailer.

    Raises:
        SampleError: the blocks end before the trailer.
    """
    position = 13 + _color_table(data[10:11])
    frames = 0
    while (kind := data[position : position + 1]) != b";":
        if kind == b"!":
            position = _sub_blocks(data, position + 2)
        elif kind == b",":
            frames += 1
            position = _sub_blocks(data, position + 11 + _color_table(data[position + 9 : position + 10]))
        elif kind:
            position += 1  # decoders skip bytes between blocks
        else:
            raise corrupt("truncated GIF: the file ends before its trailer")
    if not frames:
        raise corrupt("corrupt GIF: no frame in it")
    return frames


def _color_table(flags: bytes) -> int:
    """Return the bytes of the colour table that a packed field announces."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _sub_blocks(data: bytes, position: int) -> int:
    while position < len(data) and data[position]:
        position += data[position] + 1
    return position + 1


def check_bmp(read: Read, size_bytes: int) -> int:
    """Return 1, the frames of a BMP, once the file is long enough for the pixels that its header promises.

    Raises:
        SampleError: it is not, so that decoding would allocate for nothing.
    """
    head = read(0, 34)
    if len(head) < 26:
        raise corrupt("truncated BMP: the file ends inside its header")
    offset, header_size = struct.unpack_from("<II", head, 10)
    if header_size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
        compression = 0
    elif len(head) == 34:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", head, 18)
    else:
        raise corrupt("truncated BMP: the file ends inside its header")
    packed = compression not in (0, 3, 6)
    row_bytes = (abs(width) * bits + 7) // 8
    needed = 0 if packed else offset + (abs(height) - 1) * ((row_bytes + 3) // 4 * 4) + row_bytes
    if needed > size_bytes:
        raise corrupt(f"truncated BMP: {size_bytes} bytes where {abs(width)}x{abs(height)} pixels take {needed}")
    return 1
