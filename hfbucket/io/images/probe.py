"""Size, orientation and kind of an image from its header, few bytes read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Final

from PIL import ImageFile

from hfbucket.errors import SampleError
from hfbucket.io.images import gif, jpeg, jxl, png, webp
from hfbucket.io.images.exif import Exif, Header, read_exif
from hfbucket.io.images.formats import HEAD_BYTES, require_format
from hfbucket.io.images.opening import decoding, open_image, plugin_of

_WINDOW_BYTES: Final = 8192
_MAX_SIDE: Final = 2**31 - 1
_HEADERS: Final = {
    "jpeg": jpeg.read_header,
    "png": png.read_header,
    "webp": webp.read_header,
    "gif": gif.read_header,
    "jxl": jxl.read_header,
}
"""Formats whose headers we read ourselves; Pillow's plugins read the rest."""

_TURNED: Final = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION: Final = 0x0112
_GPS: Final = 0x8825


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What an image's header says. `width` and `height` are pixels after orientation, as decoding gives them."""

    format: str
    width: int
    height: int
    #: EXIF 1..8; 1 where nothing says otherwise.
    orientation: int
    #: gray, rgb, cmyk, ycck for JPEG; else Pillow's mode.
    color: str
    #: A GPS position stands in EXIF or XMP.
    gps: bool


class _Window:
    """Reads a file at offsets, some kilobytes at a time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start = 0
        self._bytes = b""

    def read(self, offset: int, size: int) -> bytes:
        at = offset - self._start
        if at < 0 or at + size > len(self._bytes):
            self._file.seek(offset)
            self._bytes = self._file.read(max(size, _WINDOW_BYTES))
            self._start, at = offset, 0
        return self._bytes[at : at + size]


def probe(file: BinaryIO, *, name: str, size_bytes: int) -> Probe:
    """Return what the header of the image in `file` says; its pixels are not read.

    The format is what the bytes show, whatever the name says. No limit is applied: sizes are as stored, however large.

    Args:
        file: seekable, the image's first byte at 0.
        name: the image's file name, for messages.
        size_bytes: of the whole image.

    Raises:
        SampleError: `decode_errors` or `unsupported_format`.
    """
    window = _Window(file)
    image_format = require_format(window.read(0, HEAD_BYTES), name)
    if image_format in _HEADERS:
        plugin_of(image_format)  # else the pixels could not be read
        return upright(image_format, _HEADERS[image_format](window.read, size_bytes))
    image = open_image(file, image_format)
    if image_format == "tiff":
        return _tiff(image)
    exif = read_exif(image.info.get("exif") or b"", image.info.get("xmp") or b"")
    return upright(image_format, Header(width=image.width, height=image.height, color=image.mode, exif=exif))


def upright(image_format: str, header: Header) -> Probe:
    """Return the header with width and height as seen.

    Raises:
        SampleError: a side that no table of ours can hold, in any case too many pixels.
    """
    orientation = header.exif.orientation or 1
    width, height = header.width, header.height
    if max(width, height) > _MAX_SIDE:
        raise SampleError("skipped_too_large", f"{width}x{height} pixels")
    if orientation in _TURNED:
        width, height = height, width
    return Probe(
        format=image_format,
        width=width,
        height=height,
        orientation=orientation,
        color=header.color,
        gps=header.exif.gps,
    )


def _tiff(image: ImageFile.ImageFile) -> Probe:
    """Return the header of a TIFF, whose own tags are its EXIF; Pillow turns it upright itself when it decodes."""
    with decoding("tiff"):
        tags = image.getexif()
        gps = tags.get_ifd(_GPS)
        found: object = tags.get(_ORIENTATION)
        tagged = image.tag_v2.get(_ORIENTATION)  # type: ignore[attr-defined]  # Pillow swaps the size by this one only
    orientation = found if isinstance(found, int) and 1 <= found <= 8 else None
    width, height = image.size
    if tagged in _TURNED:
        width, height = height, width
    exif = Exif(orientation=orientation, gps=2 in gps or 4 in gps)
    return upright("tiff", Header(width=width, height=height, color=image.mode, exif=exif))
