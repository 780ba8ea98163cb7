"""Canonical forms and their hashes: what is equal in meaning has one text and one sha256."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timezone
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.core.text_bytes import offsets_of

if TYPE_CHECKING:
    from hashlib import _Hash


def canonical_json(value: object) -> str:
    """Return the one JSON text of a value: keys sorted, no spaces, non-ASCII as is, always encodable as UTF-8.

    NaN and infinities become null, datetimes RFC 3339 in UTC (naive ones are taken as UTC), decimals and fractions
    strings, lone surrogates U+FFFD.

    Raises:
        TypeError: a value has no JSON form, or an object's keys are no strings.
    """
    try:
        text = _ENCODER.encode(value)
    except ValueError:  # a NaN or infinity: rare enough to walk the value only then
        text = _ENCODER.encode(_finite(value))
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _rfc3339(value: object) -> str:
    if isinstance(value, datetime):
        moment = value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (Decimal, Fraction)):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no canonical JSON form: {value!r:.80}")


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), default=_rfc3339
)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def sha256_of(value: object) -> str:
    """Return the sha256 of a value's canonical JSON as 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()


def table_sha256(table: pa.Table) -> str:
    """Return the sha256 of a table's logical rows as 64 hex digits; see `rows_sha256`."""
    return rows_sha256(table.num_rows, table.schema, lambda name: table[name].chunks)


_Chunks = Callable[[], Iterable[pa.Array]]
"""Gives the chunks of a column, any number of times."""


def rows_sha256(rows: int, schema: pa.Schema, chunks_of: Callable[[str], Iterable[pa.Array]]) -> str:
    """Return the sha256 of logical rows as 64 hex digits.

    Equal column names and values give equal hashes, whatever the chunks, slices, dictionary encodings, bytes behind
    nulls, or widths of offsets and integers. Memory: numbers of one column, and one chunk.

    Args:
        chunks_of: gives the chunks of a column, any number of times.

    Raises:
        TypeError: a column's type has no logical form here.
    """
    hasher = hashlib.sha256(_ENCODER.encode([rows, schema.names]).encode("utf-8"))
    for field in schema:
        _update(hasher, field.type, partial(chunks_of, field.name))
    return hasher.hexdigest()


def _logical(array: pa.Array) -> pa.Array:
    """Return the array in the widest type of its kind."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _logical(array.cast(kind.value_type))
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_binary(kind) or kind == pa.binary_view():
        return array.cast(pa.large_binary())
    if pa.types.is_string(kind) or kind == pa.string_view() or pa.types.is_decimal(kind):
        return array.cast(pa.large_string())
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return array.cast(pa.int64())
    if pa.types.is_floating(kind):
        return array.cast(pa.float64())
    return array


@lru_cache(maxsize=256)
def _wide(kind: pa.DataType) -> pa.DataType:
    return _logical(pa.nulls(0, kind)).type


def _update(hasher: _Hash, kind: pa.DataType, chunks: _Chunks) -> None:
    """Feed a column: its kind and length, which rows are valid, then the values with nulls as zero or empty."""
    is_coded, kind = pa.types.is_dictionary(kind), _wide(kind)
    is_text = pa.types.is_large_string(kind) or pa.types.is_large_binary(kind)
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    valid, lengths = [np.zeros(0, dtype=bool)], [np.zeros(0, dtype=np.int64)]
    for chunk in map(_logical, chunks()) if is_text or is_coded else chunks():
        valid.append(chunk.is_valid().to_numpy(zero_copy_only=False))
        if is_text:
            lengths.append(_lengths(chunk))
        elif is_list:
            lengths.append(chunk.value_lengths().fill_null(0).cast(pa.int64()).to_numpy(zero_copy_only=False))
    tag = "struct" if pa.types.is_struct(kind) else "list" if pa.types.is_nested(kind) else str(kind)
    rows = np.concatenate(valid)
    hasher.update(f"{tag} {len(rows)} ".encode())
    hasher.update(np.packbits(rows).data)
    for each in lengths:
        hasher.update(np.ascontiguousarray(each).data)
    _update_values(hasher, kind, chunks)


def _update_values(hasher: _Hash, kind: pa.DataType, chunks: _Chunks) -> None:
    if pa.types.is_struct(kind):
        for number, field in enumerate(kind):
            hasher.update(f"{field.name} ".encode())
            _update(hasher, field.type, partial(_fields, chunks, number))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        _update(hasher, kind.value_type, lambda: (chunk.flatten() for chunk in chunks()))
    elif pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        for chunk in map(_logical, chunks()):
            _update_bytes(hasher, chunk)
    elif not pa.types.is_null(kind):
        for chunk in map(_logical, chunks()):
            _update_numbers(hasher, chunk)


def _fields(chunks: _Chunks, number: int) -> Iterator[pa.Array]:
    return (chunk.flatten()[number] for chunk in chunks())


def _lengths(texts: pa.Array) -> npt.NDArray[np.int64]:
    lengths = np.diff(offsets_of(texts))
    return np.where(texts.is_valid().to_numpy(zero_copy_only=False), lengths, 0) if texts.null_count else lengths


def _update_bytes(hasher: _Hash, texts: pa.Array) -> None:
    there = texts.drop_null() if texts.null_count else texts
    offsets, data = offsets_of(there), there.buffers()[2]
    if data is not None:
        hasher.update(memoryview(data)[offsets[0] : offsets[-1]])


def _update_numbers(hasher: _Hash, array: pa.Array) -> None:
    kind = array.type
    if pa.types.is_temporal(kind):
        array = array.view(pa.int64() if kind.bit_width == 64 else pa.int32())
    elif not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise TypeError(f"a column of type {kind} has no logical form to hash")
    values = array.fill_null(False if pa.types.is_boolean(kind) else 0).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(kind):
        values = np.where(np.isnan(values), np.nan, values)  # one NaN of the many
    hasher.update(np.ascontiguousarray(values).data)
