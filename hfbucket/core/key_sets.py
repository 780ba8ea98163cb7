"""Keys and hashes as values of a few bytes, and which of them are in a set: memory for the values alone (pure)."""

from __future__ import annotations

import binascii
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.core.keys import digest_of

__all__ = ["KEY_BYTES", "Values", "from_hex", "is_among", "keys_of", "places", "to_hex", "values_of"]

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]
Values = npt.NDArray[np.bytes_]
"""Values of one width, S16 for keys; bytes of 0 at the end count, as all have the same number."""

KEY_BYTES: Final = 16
"""A key as bytes: half of its 32 hex digits."""


def values_of(data: bytes | bytearray, width: int = KEY_BYTES) -> Values:
    """Return values that stand one after the other."""
    return np.frombuffer(data, dtype=f"S{width}")


def keys_of(image_ids: pa.ChunkedArray) -> Values:
    """Return the keys that samples of these images have."""
    return values_of(b"".join([digest_of(image_id)[:KEY_BYTES] for image_id in image_ids.to_pylist()]))


def from_hex(texts: pa.ChunkedArray, width: int = KEY_BYTES) -> Values:
    """Return the values that hex digits stand for, two for each byte."""
    return values_of(binascii.unhexlify("".join(texts.to_pylist())), width)


def to_hex(values: Values) -> pa.StringArray:
    """Return the values in hex digits."""
    digits = 2 * values.itemsize
    ends = np.arange(0, digits * len(values) + 1, digits, dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(values), pa.py_buffer(ends), pa.py_buffer(binascii.hexlify(values.tobytes()))
    )


def places(asked: Values, among: Values) -> Int64s:
    """Return for every value its place in an ascending array, int64[n], -1 where it is not there."""
    if not len(among):
        return np.full(len(asked), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(among, asked), len(among) - 1)
    return np.where(among[at] == asked, at, -1)


def is_among(asked: Values, among: Values) -> Bools:
    """Return which values stand in an ascending array, bool[n]."""
    return places(asked, among) >= 0
