"""GIF by its blocks, without decoding (GIF89a specification): header, frames, trailer."""

from __future__ import annotations

import struct

from hfbucket.io.images.exif import Header
from hfbucket.io.images.formats import Read, bytes_of, corrupt


def read_header(read: Read, size_bytes: int) -> Header:
    """Return the header of a GIF; a first frame that reaches over the screen widens it, as in Pillow.

    Raises:
        SampleError: no frame in it.
    """
    head = read(0, 13)
    position = 13 + _color_table(head[10:11])
    while (kind := read(position, 1)) != b",":
        if kind in (b"", b";"):
            raise corrupt("corrupt GIF: no frame in it")
        position = _sub_blocks(read, position + 2) if kind == b"!" else position + 1
    frame = read(position + 1, 8)
    if len(frame) < 8:
        raise corrupt("truncated GIF: the file ends inside its first frame")
    width, height = struct.unpack_from("<HH", head, 6)
    left, top, frame_w, frame_h = struct.unpack("<HHHH", frame)
    width, height = max(width, left + frame_w), max(height, top + frame_h)
    if not width or not height:
        raise corrupt(f"corrupt GIF: its header says {width}x{height} pixels")
    return Header(width=width, height=height, color="P")


def count_frames(data: bytes) -> int:
    """Return the number of frames of a GIF, at least until it ends early after its first frame.

    Raises:
        SampleError: the first frame is not whole, or nothing follows it, not even the trailer.
    """
    read = bytes_of(data)
    position = 13 + _color_table(data[10:11])
    frames = 0
    while (kind := read(position, 1)) != b";":
        if not kind:
            if frames < 2:
                raise corrupt("truncated GIF: the file ends before its trailer")
            break
        if kind == b"!":
            position = _sub_blocks(read, position + 2)
        elif kind == b",":
            frames += 1
            position = _sub_blocks(read, position + 11 + _color_table(read(position + 9, 1)))
        else:
            position += 1  # decoders skip bytes between blocks
    return frames


def _color_table(flags: bytes) -> int:
    """Return the bytes of the colour table that a packed field announces."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _sub_blocks(read: Read, position: int) -> int:
    """Return the offset after the chain of sub-blocks at `position`, each a length and as many bytes."""
    while (size := read(position, 1)) not in (b"", b"\0"):
        position += size[0] + 1
    return position + 1
