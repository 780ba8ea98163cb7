"""Pillow's plugins, one per format and called directly: no guessing, no global pixel limit, no warnings."""

from __future__ import annotations

import importlib
import os
import re
import struct
import tempfile
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

from PIL import Image, ImageCms, ImageFile, JpegImagePlugin, features

from hfbucket.errors import SampleError

DECODER_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    ImageCms.PyCMSError,
)
"""Everything Pillow's plugins are seen to raise on damaged files. MemoryError is the machine's fault: it passes."""

_PLUGINS: Final = {
    "png": ("PIL.PngImagePlugin", "PngImageFile"),
    "webp": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "gif": ("PIL.GifImagePlugin", "GifImageFile"),
    "bmp": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "tiff": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "avif": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "heic": ("pillow_heif", "HeifImageFile"),
    "jxl": ("pillow_jxl.JpegXLImagePlugin", "JXLImageFile"),
}
_INSTALL: Final = {"heic": "pip install 'hfbucket[heif]'", "jxl": "pip install 'hfbucket[jxl]'"}

_OBJECT: Final = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>")
_WORDS: Final = 300  # characters of a message that are kept
_STDERR: Final = 2
_SILENCE = threading.RLock()


class _Jpeg(JpegImagePlugin.JpegImageFile):
    """A JPEG whose EXIF is left to `exif.read_exif`: Pillow would parse it for the resolution, and warn of damage."""

    def _read_dpi_from_exif(self) -> None:
        pass


@contextmanager
def decoding(image_format: str) -> Iterator[None]:
    """Turn every error of a decoder into a SampleError with the decoder's words, and keep it from warning.

    Raises:
        SampleError: `decode_errors`; `skipped_too_large` where Pillow's own limit is the lower one.
    """
    heard: list[str] = []
    try:
        with _silence(image_format, heard):
            yield
    except SampleError:
        raise
    except Image.DecompressionBombError as error:
        raise SampleError("skipped_too_large", str(error)) from error
    except DECODER_ERRORS as error:
        raise SampleError("decode_errors", _words(error, heard)) from error


def _words(error: Exception, heard: Sequence[str]) -> str:
    """Return an error's message on one line, with its class where the message alone says nothing."""
    words = " ".join(_OBJECT.sub("the file", str(error)).split())[:_WORDS]
    words = words if " " in words else f"{type(error).__name__}: {words}".rstrip(": ")
    return f"{words} ({'; '.join(dict.fromkeys(heard))[:_WORDS]})" if heard else words


@contextmanager
def _silence(image_format: str, heard: list[str]) -> Iterator[None]:
    """Ignore warnings, and put what libtiff writes to stderr, a line each, into `heard`.

    Filters and stderr belong to the process, so one thread at a time is in here. JPEG never warns, nor waits here.
    """
    if image_format == "jpeg":
        yield
        return
    with _SILENCE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if image_format != "tiff":
            yield
            return
        with tempfile.TemporaryFile() as caught:
            try:
                with _stderr_to(caught.fileno()):
                    yield
            finally:
                caught.seek(0)
                heard += caught.read().decode("utf-8", "replace").splitlines()


@contextmanager
def _stderr_to(target: int) -> Iterator[None]:
    try:
        stderr = os.dup(_STDERR)
    except OSError:  # a process without stderr: nothing to keep clean
        yield
        return
    os.dup2(target, _STDERR)
    try:
        yield
    finally:
        os.dup2(stderr, _STDERR)
        os.close(stderr)


def open_image(file: BinaryIO, image_format: str) -> ImageFile.ImageFile:
    """Return the image in `file`, its header read and its pixels not.

    Raises:
        SampleError: the header is damaged, or nothing installed reads the format.
    """
    file.seek(0)
    with decoding(image_format):
        return plugin_of(image_format)(file)


def plugin_of(image_format: str) -> Callable[[BinaryIO], ImageFile.ImageFile]:
    """Return what opens a file of the format.

    Raises:
        SampleError: `unsupported_format`, nothing installed does.
    """
    if image_format == "jpeg":
        return _Jpeg
    module, name = _PLUGINS[image_format]
    if image_format in ("avif", "webp") and not features.check(image_format):
        raise _unsupported(image_format)
    try:
        plugin: Callable[[BinaryIO], ImageFile.ImageFile] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise _unsupported(image_format) from error
    return plugin


def _unsupported(image_format: str) -> SampleError:
    remedy = _INSTALL.get(image_format, "pip install -U pillow")
    return SampleError("unsupported_format", f"{image_format} needs a decoder that is not installed: {remedy}")
