"""Images that tests draw: one picture whose four corners tell every orientation, in every format and mode."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)

#: EXIF orientation to what a camera does to the upright picture before it stores it.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def picture(width: int = 96, height: int = 64) -> Image.Image:
    """Return an RGB picture: white, with red top left, green top right and blue bottom left quarters."""
    image = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 2 - 1, height // 2 - 1), fill=RED)
    draw.rectangle((width // 2, 0, width, height // 2 - 1), fill=GREEN)
    draw.rectangle((0, height // 2, width // 2 - 1, height), fill=BLUE)
    return image


def corners(image: Image.Image) -> list[Any]:
    """Return the pixels in the middle of the four quarters: top left, top right, bottom left, bottom right."""
    w, h = image.size
    return [image.getpixel((x, y)) for y in (h // 4, h - 1 - h // 4) for x in (w // 4, w - 1 - w // 4)]


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """Return `image` as Pillow writes it."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def stored(image: Image.Image, orientation: int) -> Image.Image:
    """Return `image` as a camera stores it under an orientation."""
    method = STORED_AS[orientation]
    return image if method is None else image.transpose(method)


def exif(orientation: int | None = None, *, gps: bool = False) -> bytes:
    """Return an EXIF block."""
    block = Image.Exif()
    if orientation is not None:
        block[0x0112] = orientation
    if gps:
        block.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 29.0), 3: "E", 4: (2.0, 17.0, 40.0)})
    return block.tobytes()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return one PNG chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values: np.ndarray[Any, Any], color_type: int, *extra: bytes, depth: int = 16) -> bytes:
    """Return a PNG of `values` (height, width, channels), which Pillow cannot write at 16 bits."""
    height, width = values.shape[:2]
    rows = values.astype(">u2" if depth == 16 else "u1").reshape(height, -1)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), *extra, png_chunk(b"IDAT", zlib.compress(body)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


XYZ = {"r": (0.4361, 0.2225, 0.0139), "g": (0.3851, 0.7169, 0.0971), "b": (0.1431, 0.0606, 0.7141)}
"""The primaries of sRGB in D50."""


def curv(*entries: int) -> bytes:
    """Return a curve of an ICC profile: none for linear, one for a gamma in 256ths, or a table of 16 bits."""
    tag = b"curv\0\0\0\0" + struct.pack(f">I{len(entries)}H", len(entries), *entries)
    return tag + bytes(-len(tag) % 4)


def para(kind: int, *values: float) -> bytes:
    """Return a parametric curve of an ICC profile."""
    return b"para\0\0\0\0" + struct.pack(f">HH{len(values)}i", kind, 0, *(round(value * 65536) for value in values))


def icc_profile(
    space: bytes,
    primaries: str = "rgb",
    gamma: float = 1.0,
    *,
    curves: Sequence[bytes] = (),
    xyz: Mapping[str, tuple[float, float, float]] = XYZ,
) -> bytes:
    """Return an ICC profile (version 2) with primaries in the order given, or a gray one, and one gamma or its curves.

    `primaries="gbr"` means that the first channel is green: a picture read by it changes its colours visibly.
    """

    def point(value: tuple[float, float, float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(part * 65536)) for part in value)

    curves = curves or [curv(round(gamma * 256))] * 3
    tags = {b"wtpt": point((0.9642, 1.0, 0.8249)), b"desc": b"desc\0\0\0\0" + struct.pack(">I", 2) + b"t\0" + bytes(80)}
    if space == b"GRAY":
        tags[b"kTRC"] = curves[0]
    else:
        for channel, primary, curve in zip("rgb", primaries, curves, strict=True):
            tags[f"{channel}XYZ".encode()] = point(xyz[primary])
            tags[f"{channel}TRC".encode()] = curve
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4sI4s4s4s", 0, b"lcms", 0x02400000, b"mntr", space, b"XYZ ").ljust(36, b"\0") + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">iii", 63190, 65536, 54061)
    profile = header.ljust(128, b"\0") + table + body
    return struct.pack(">I", len(profile)) + profile[4:]
