"""The colours of matrix-shaper profiles to sRGB by compiled code, in the arithmetic of lcms on 8 bits.

Such a profile has a curve for each channel and a matrix to XYZ (ICC.1 annex F.3). lcms puts sRGB's inverse matrix and
curve behind them, rounds curves and the one matrix that is left to 14 fractional bits, and so does this. Whoever uses a
shaper compares it with lcms first: what a profile says may be odd in more ways than are known here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from hfbucket.io.images.memory import image_over

try:
    from hfbucket.io.images import _color
except ImportError:  # built without a compiler
    _color = None  # type: ignore[assignment]

Floats = NDArray[np.float64]

_ONE: Final = 1 << 14
_CHANNELS: Final = (b"r", b"g", b"b")
_TAGS: Final = 100
"""More than any profile has."""

_PARAMETERS: Final = (1, 3, 4, 5, 7)
"""Numbers of each kind of parametric curve (ICC.1 section 10.18)."""

_STEPS: Final = (np.arange(256) / 255).astype(np.float32).astype(np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shaper:
    """One profile's way to sRGB."""

    #: What every byte of red, green and blue gives to red, green, blue and nothing: int32 of shape (3, 256, 4).
    shares: bytes

    def apply(self, image: Image.Image) -> Image.Image:
        """Return an RGB image in sRGB, over memory of which it is not the owner.

        Raises:
            ValueError: the image's memory is in pieces.
        """
        _, memory = image.__arrow_c_array__()
        pixels = _color.shape(memory, image.width * image.height, self.shares, _srgb_bytes())
        return image_over(pixels, image.size)


def shaper_of(profile: bytes) -> Shaper | None:
    """Return the way from an RGB profile to sRGB; None of a profile of another kind, and where nothing is compiled."""
    if _color is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return _shaper(_tags(profile))
    except (ValueError, LookupError, struct.error):  # it is damaged, or not of this kind
        return None


def _shaper(tags: dict[bytes, bytes]) -> Shaper | None:
    to_xyz = np.stack([_numbers(tags[channel + b"XYZ"], 3, 8) for channel in _CHANNELS], axis=1)
    curves = np.stack([_curve(tags[channel + b"TRC"]) for channel in _CHANNELS])
    matrix = _fixed(_from_xyz() @ to_xyz)
    shares = np.zeros((3, 256, 4))
    shares[:, :, :3] = _fixed(curves)[:, :, None] * matrix.T[:, None, :]
    shares[0, :, :3] += _ONE // 2  # sums are to be rounded
    fits = np.abs(shares).max(axis=1).sum(axis=0) < 1 << 31
    return Shaper(shares=shares.astype(np.int32).tobytes()) if fits.all() else None


def _tags(profile: bytes) -> dict[bytes, bytes]:
    count = min(int.from_bytes(profile[128:132], "big"), _TAGS)
    entries = struct.iter_unpack(">4sII", profile[132 : 132 + 12 * count])
    return {name: profile[start : start + size] for name, start, size in entries}


def _numbers(tag: bytes, count: int, start: int) -> Floats:
    """Return numbers with 16 fractional bits."""
    return np.frombuffer(tag, ">i4", count, start) / 65536


def _curve(tag: bytes) -> Floats:
    """Return a curve's values at every level of 8 bits, in the precision of 32-bit floats."""
    number = int.from_bytes(tag[8:12], "big")
    if tag[:4] == b"para":
        values = _parametric(number >> 16, tag)
    elif tag[:4] != b"curv":
        raise ValueError("no curve")
    elif number > 1:
        values = _interpolated(np.frombuffer(tag, ">u2", number, 12).astype(np.int64))
    else:
        values = _STEPS ** (int.from_bytes(tag[12:14], "big") / 256 if number else 1.0)
    return values.astype(np.float32).astype(np.float64)


def _parametric(kind: int, tag: bytes) -> Floats:
    """Return (a x + b)^g + e for x from d on, and c x + f below; where a kind says less, the rest follows."""
    g, *rest = _numbers(tag, _PARAMETERS[kind], 12)
    if kind == 0:
        return np.asarray(_STEPS**g)
    a, b, *rest = rest
    if kind < 3:
        e = f = rest[0] if rest else 0.0
        c, d = 0.0, -b / a
    else:
        c, d, e, f = (*rest, 0.0, 0.0)[:4]
    return np.where(d <= _STEPS, np.maximum(a * _STEPS + b, 0) ** g + e, c * _STEPS + f)


def _interpolated(table: NDArray[Any]) -> Floats:
    """Return what stands between the entries of a table of 16 bits, in integers."""
    last = len(table) - 1
    at = _words(_STEPS) * last
    at += (at + 0x7FFF) // 0xFFFF  # from 65,535ths to 65,536ths
    entry, rest = at >> 16, at & 0xFFFF
    low, high = table[entry], table[np.minimum(entry + 1, last)]
    return np.asarray(low + ((high - low) * rest + 0x8000 >> 16)) / 65535


def _words(values: Floats) -> NDArray[np.int64]:
    """Return 0..1 in 16 bits."""
    return np.floor(np.clip(values, 0, 1) * 65535 + 0.5).astype(np.int64)


def _fixed(values: Floats) -> Floats:
    """Return whole numbers of 2^-14."""
    return np.floor(values * _ONE + 0.5)


@lru_cache(maxsize=1)
def _from_xyz() -> Floats:
    """Return the matrix from XYZ to linear sRGB, as lcms has it."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).profile
    colorants = (srgb.red_colorant, srgb.green_colorant, srgb.blue_colorant)
    return np.linalg.inv(np.stack([np.array(each[0]) for each in colorants if each], axis=1))


@lru_cache(maxsize=1)
def _srgb_bytes() -> bytes:
    """Return the byte of sRGB for every 2^-14 of linear light from 0 to 1 (IEC 61966-2-1)."""
    linear = (np.arange(_ONE + 1) / _ONE).astype(np.float32).astype(np.float64)
    knee = ((0.04045 + 0.055) / 1.055) ** 2.4
    curved = np.where(linear >= knee, linear ** (1 / 2.4) * 1.055 - 0.055, linear * 12.92)
    words = _words(curved.astype(np.float32).astype(np.float64))
    return (words * 65281 + (1 << 23) >> 24).astype(np.uint8).tobytes()  # words / 257, rounded
