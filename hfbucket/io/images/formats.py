"""Which image format a file is: by its extension, and by its first bytes, which decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hfbucket.errors import SampleError

Read = Callable[[int, int], bytes]
"""`read(offset, size)` returns up to `size` bytes of the image from `offset` on, fewer only at its end."""

HEAD_BYTES: Final = 64
"""How many first bytes `sniff` looks at."""

EXTENSION_FORMATS: Final[dict[str, str]] = {
    "jpg": "jpeg",
    "jpeg": "jpeg",
    "jpe": "jpeg",
    "jfif": "jpeg",
    "png": "png",
    "webp": "webp",
    "gif": "gif",
    "bmp": "bmp",
    "dib": "bmp",
    "tif": "tiff",
    "tiff": "tiff",
    "avif": "avif",
    "heic": "heic",
    "heif": "heic",
    "jxl": "jxl",
}
"""Extension, lower case and without its dot, to the format it promises."""

IMAGE_EXTENSIONS: Final = frozenset(f".{extension}" for extension in EXTENSION_FORMATS)
"""Lower-case extensions, with their dot, of files that are taken for images."""

_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
)
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_FOREIGN: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\1\0", "icon"),
    (b"%PDF", "PDF"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
)


def format_of(name: str) -> str | None:
    """Return the format that a file's extension promises, or None where it is no image's."""
    return EXTENSION_FORMATS.get(name.rpartition(".")[2].lower())


def sniff(head: bytes) -> str | None:
    """Return the format that the first `HEAD_BYTES` bytes show, or None."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        size = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, size, 4))}
        if brands & _AVIF_BRANDS:
            return "avif"
        if brands & _HEIC_BRANDS or head[8:12] in (b"mif1", b"msf1"):
            return "heic"
    return None


def require_format(head: bytes, name: str) -> str:
    """Return the format that the first bytes show; `name` is the file's, for the message.

    Raises:
        SampleError: they are no image's, or one's of a format that is not read.
    """
    found = sniff(head)
    if found is not None:
        return found
    if not head:
        raise SampleError("decode_errors", "the file is empty")
    for magic, foreign in _FOREIGN:
        if head.startswith(magic):
            raise SampleError("unsupported_format", f"{foreign} files are not read")
    expected = format_of(name) or "image"
    raise SampleError("decode_errors", f"not a valid {expected} file: it begins with bytes {head[:8].hex(' ')}")


def corrupt(detail: str) -> SampleError:
    """Return the error of an image that cannot be decoded; `detail` is the decoder's words."""
    return SampleError("decode_errors", detail)


def bytes_of(data: bytes) -> Read:
    """Return what reads an image that is in memory."""
    return lambda offset, size: data[offset : offset + size]
