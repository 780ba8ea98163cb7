"""Encoded bytes to upright 8-bit sRGB pixels, exactly as FORMAT section 5 says; or one clear reason why not."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageFile

from hfbucket.core.conversions import MULTI_FRAME
from hfbucket.errors import SampleError
from hfbucket.io.images import bmp, gif, jpeg, jpeg_codec, png, webp
from hfbucket.io.images.color import to_rgb
from hfbucket.io.images.opening import decoding, open_image
from hfbucket.io.images.probe import Probe, probe, upright

_TRANSPOSE: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what turns the stored pixels upright."""

_FRAMES: Final = {
    "jpeg": jpeg.count_frames,
    "png": png.count_frames,
    "webp": webp.count_frames,
    "gif": gif.count_frames,
    "bmp": bmp.count_frames,
}


_BARE_PIXELS: Final = 50_000_000
"""Above this, Pillow says what it thinks of so large an image."""

_DEEP: Final = re.compile(r";(12|16)[NLBRS]*\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """An image ready for resize. `image` is RGB, 8 bit, with no metadata attached."""

    image: Image.Image
    #: What the file said, 1..8; already applied unless asked not to.
    orientation: int
    #: What had to be done, each a name to count: multi_frame, icc_converted, icc_ignored, alpha_flattened,
    #: cmyk_converted, depth_reduced, oriented.
    notes: tuple[str, ...]


def decode_rgb(
    data: bytes, *, max_pixels: int, apply_orientation: bool = True, at_least: tuple[int, int] | None = None
) -> Decoded:
    """Return the picture in `data`, its first frame, upright, as 8-bit sRGB.

    A file that ends early is refused even where a decoder would fill in the rest.

    Args:
        data: the whole encoded image.
        max_pixels: more are refused by the header, before anything is allocated.
        apply_orientation: False keeps a JPEG's pixels as they are stored.
        at_least: an upright size in pixels that suffices: a JPEG may come smaller than it is, but no smaller than this.

    Raises:
        SampleError: `decode_errors`, `unsupported_format` or `skipped_too_large`.
    """
    plain = jpeg.read_plain(data)
    return (plain and _plain(data, plain, max_pixels, apply_orientation, at_least)) or _any(
        data, max_pixels=max_pixels, apply_orientation=apply_orientation, at_least=at_least
    )


def decode_bare(data: bytes) -> Image.Image | None:
    """Return a plain JPEG without EXIF, XMP and colour profile as `Image.open` does, sooner; None of anything else.

    Its pixels are those that every reader gives.
    """
    plain = jpeg.read_plain(data)
    if plain is None or not plain.is_bare or plain.header.width * plain.header.height > _BARE_PIXELS:
        return None
    image = jpeg_codec.decode(data, (plain.header.width, plain.header.height))
    if image is None:
        return None
    image = image.copy()  # which is the caller's own, to be changed
    image.format = "JPEG"
    return image


def _plain(
    data: bytes, plain: jpeg.Plain, max_pixels: int, apply_orientation: bool, at_least: tuple[int, int] | None
) -> Decoded | None:
    """Return the picture of a plain JPEG by the fast codec, or None where Pillow has to say what becomes of it."""
    found = upright("jpeg", plain.header)
    check_pixels(found.width, found.height, max_pixels)
    size = (plain.header.width, plain.header.height)
    smaller = 1 if at_least is None else jpeg_codec.reduction(size, _stored(at_least, found.orientation))
    image = jpeg_codec.decode(data, size, smaller=smaller)
    if image is None:
        return None
    notes: tuple[str, ...] = ()
    if plain.profile:
        with decoding("jpeg"):
            image, notes = to_rgb(image, bits=8, profile=plain.profile)
    notes = (MULTI_FRAME,) * (plain.frames > 1) + notes
    return _turned(image, found, apply_orientation, notes)


def _any(data: bytes, *, max_pixels: int, apply_orientation: bool, at_least: tuple[int, int] | None) -> Decoded:
    """Return the picture of any file by Pillow, as `decode_rgb` says."""
    found = probe(io.BytesIO(data), name="", size_bytes=len(data))
    check_pixels(found.width, found.height, max_pixels)
    frames = check_structure(data, found.format)
    image = open_image(io.BytesIO(png.without_text(data) if found.format == "png" else data), found.format)
    bits = _bits(image, found.format)
    with decoding(found.format):
        if at_least is not None and found.format == "jpeg":
            image.draft(None, _stored(at_least, found.orientation))
        frames = max(frames, _frames(image, found.format))
        image.load()
        rgb, notes = to_rgb(image, bits=bits, profile=image.info.get("icc_profile"))
    notes = (MULTI_FRAME,) * (frames > 1) + notes
    return _turned(rgb, found, apply_orientation, notes)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Refuse an image with more pixels than allowed.

    Raises:
        SampleError: `skipped_too_large`.
    """
    if width * height > max_pixels:
        raise SampleError("skipped_too_large", f"{width}x{height} is {width * height} pixels, over {max_pixels}")


def check_structure(data: bytes, image_format: str) -> int:
    """Return how many pictures the file holds, as far as its structure says, after checking that it is whole.

    Raises:
        SampleError: `decode_errors`.
    """
    count = _FRAMES.get(image_format)
    return count(data) if count else 1


def _bits(image: ImageFile.ImageFile, image_format: str) -> int:
    """Return bits of a stored channel, 8 for all that are no deeper; Pillow tells it only by its raw mode."""
    if image_format == "bmp" or not image.tile:  # a BMP's 16 bits are of a whole pixel
        return 8
    deep = _DEEP.search(str(image.tile[0].args))
    return int(deep[1]) if deep else 8


def _stored(upright_size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return an upright size as a file of that orientation has it."""
    width, height = upright_size
    return (width, height) if orientation < 5 else (height, width)


def _frames(image: ImageFile.ImageFile, image_format: str) -> int:
    if image_format not in ("tiff", "avif", "heic", "jxl"):
        return 1
    return 2 if getattr(image, "is_animated", False) else 1


def _turned(image: Image.Image, found: Probe, apply_orientation: bool, notes: tuple[str, ...]) -> Decoded:
    method = _TRANSPOSE.get(found.orientation)
    if method is not None and found.format != "tiff" and apply_orientation:  # a TIFF was turned by Pillow
        image = image.transpose(method)
    if method is not None and (found.format == "tiff" or apply_orientation):
        notes = (*notes, "oriented")
    return Decoded(image=image, orientation=found.orientation, notes=notes)
