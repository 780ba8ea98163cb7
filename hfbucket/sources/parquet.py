"""Parquet files with an image column: `struct<bytes, path>` as datasets writes it, or plain binary."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hfbucket.config import Config
from hfbucket.core.meta import parse_json
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.errors import SourceError
from hfbucket.io import store
from hfbucket.io.images.formats import HEAD_BYTES, sniff
from hfbucket.io.pieces import Pieces
from hfbucket.io.tables import parquet_of
from hfbucket.sources.containers import files_of, list_containers
from hfbucket.sources.listing import Files, Listing
from hfbucket.sources.rows import Look, Place, Rows, look_at, unreadable

EXTENSIONS: Final = ("parquet",)
KEY_COLUMNS: Final = ("__key__", "key")
"""Columns whose values name a file's rows, where they are all there and all different; else rows have numbers."""

_BATCH_BYTES: Final = 32 << 20
_MOST_BATCH_ROWS: Final = 1024
_BUFFER_BYTES: Final = 1 << 20


def list_units(spec: SourceSpec, number: int, config: Config, files: Files | None = None) -> Listing:
    """Return one unit per Parquet file."""
    return list_containers(spec, number, EXTENSIONS, files or files_of(spec.url))


def random_access(unit: Unit) -> bool:
    """Return False: an image's bytes are inside compressed pages."""
    return False


def scan_unit(unit: Unit, config: Config, look: Look = look_at, aside: Path | None = None) -> tuple[Pieces, UnitFacts]:
    """Return the index rows of a Parquet file; every image's bytes are read once.

    Raises:
        SourceError: it is no Parquet file, is damaged, or which column holds the images is not clear.
    """
    rows = Rows(unit, config, aside)
    seen = partial(look, max_pixels=config.max_pixels)
    with _opened(unit.url) as file:
        schema = file.schema_arrow
        column = image_column(file, config)
        kept = [field.name for field in schema if field.name != column and not _has_bytes(field.type)]
        dropped = [field.name for field in schema if field.name != column and _has_bytes(field.type)]
        if dropped:
            rows.note(f"has further columns of bytes, which are not kept: {', '.join(sorted(dropped))}")
        key_of = _keys(file)
        number = 0
        for batch in _batches(file, range(file.num_row_groups), [column, *kept]):
            metas = batch.select(kept).to_pylist() if kept else [{}] * batch.num_rows
            images = batch.column(column)
            for image, data, meta in zip(images, _bytes_of(images), metas, strict=True):
                found = data.as_py() if data.is_valid else _why_missing(image.as_py(), meta)
                _add(rows, unit, seen, key_of(number), number, found, meta)
                number += 1
    return rows.finish()


def read_rows(unit: Unit, rows: pa.Table, config: Config) -> Iterator[tuple[int, bytes]]:
    """Yield (number in `rows`, bytes) of images, in the order they lie in the file; each row group is read once.

    Args:
        rows: column `offset` of the index.
    """
    offsets = rows["offset"].to_numpy()
    order = np.argsort(offsets, kind="stable")
    with _opened(unit.url) as file:
        column = image_column(file, config)
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            if np.searchsorted(offsets[order], start) < np.searchsorted(offsets[order], end):
                yield from _wanted(file, group, column, start, offsets, order)
            start = end


def _wanted(
    file: pq.ParquetFile,
    group: int,
    column: str,
    start: int,
    offsets: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
) -> Iterator[tuple[int, bytes]]:
    """Yield the wanted images of one row group whose first row is `start`."""
    ascending = offsets[order]
    for batch in _batches(file, [group], [column]):
        images = _bytes_of(batch.column(column))
        first, last = np.searchsorted(ascending, [start, start + batch.num_rows])
        for number in order[first:last]:
            yield int(number), images[int(offsets[number]) - start].as_py() or b""
        start += batch.num_rows


def image_column(file: pq.ParquetFile, config: Config) -> str:
    """Return the column that holds the images: as set, or the one there is.

    Raises:
        SourceError: there is none, or more than one.
    """
    schema = file.schema_arrow
    names = ", ".join(schema.names)
    if config.image_column is not None:
        if config.image_column not in schema.names:
            raise SourceError(f"no column {config.image_column!r} for --image-column; there are: {names}")
        if not _holds_images(schema.field(config.image_column).type):
            kind = schema.field(config.image_column).type
            raise SourceError(f"column {config.image_column!r} must be bytes or struct<bytes, path>, got {kind}")
        return config.image_column
    found = _declared(schema) or [field.name for field in schema if _is_image_struct(field.type)]
    found = found or [field.name for field in schema if _is_bytes(field.type) and _sniffs(file, field.name)]
    if len(found) != 1:
        how = "several columns hold images" if found else "no column holds images"
        raise SourceError(f"{how}: name it with --image-column; there are: {', '.join(found) or names}")
    return found[0]


def may_hold_images(url: str) -> bool:
    """Return whether a Parquet file has any column of bytes."""
    with _opened(url) as file:
        return any(_holds_images(field.type) for field in file.schema_arrow)


@contextmanager
def _opened(url: str) -> Iterator[pq.ParquetFile]:
    try:
        with (
            store.open_seekable(url) as opened,
            parquet_of(opened, buffer_size=_BUFFER_BYTES) as file,
        ):
            yield file
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk or the network, not the file
            raise
        raise SourceError(f"{url}: cannot be read as Parquet: {error}") from error
    except SourceError as error:
        raise SourceError(f"{url}: {error}") from error


def _declared(schema: pa.Schema) -> list[str]:
    """Return the image columns that `datasets` declared in the schema's metadata."""
    info = parse_json((schema.metadata or {}).get(b"huggingface", b""))
    try:
        features = info["info"]["features"]
        return [name for name in schema.names if features.get(name, {}).get("_type") == "Image"]
    except (TypeError, KeyError, AttributeError):
        return []


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or kind == pa.binary_view())


def _is_image_struct(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return False
    return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)


def _holds_images(kind: pa.DataType) -> bool:
    return _is_bytes(kind) or _is_image_struct(kind)


def _has_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_bytes(kind.field(number).type) for number in range(kind.num_fields))
    return _is_bytes(kind) or bool(pa.types.is_fixed_size_binary(kind))


def _sniffs(file: pq.ParquetFile, column: str) -> bool:
    """Return whether the first bytes of a column are an image's."""
    for batch in file.iter_batches(batch_size=16, columns=[column], use_threads=False):
        for value in batch.column(0).drop_null():
            return sniff(value.as_py()[:HEAD_BYTES]) is not None
    return False


def _batches(file: pq.ParquetFile, groups: Sequence[int], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of row groups in pieces of some 32 MiB."""
    for group in groups:
        facts = file.metadata.row_group(group)
        row_bytes = max(1, facts.total_byte_size // max(1, facts.num_rows))
        batch_rows = max(1, min(_MOST_BATCH_ROWS, _BATCH_BYTES // row_bytes))
        yield from file.iter_batches(
            batch_size=batch_rows, row_groups=[group], columns=list(columns), use_threads=False
        )


def _bytes_of(column: pa.Array) -> pa.Array:
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column


def _keys(file: pq.ParquetFile) -> Callable[[int], str]:
    """Return what gives a row's key: its value in a key column, else its number."""
    for name in KEY_COLUMNS:
        if name not in file.schema_arrow.names:
            continue
        values = file.read(columns=[name], use_threads=False)[name]
        kind = values.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
            continue
        if values.null_count == 0 and pc.count_distinct(values).as_py() == len(values):
            keys = [str(value) for value in values.to_pylist()]
            return keys.__getitem__
    return str


def _add(
    rows: Rows,
    unit: Unit,
    look: Callable[..., dict[str, Any]],
    key: str,
    number: int,
    data: bytes | str,
    meta: dict[str, Any],
) -> None:
    """Add a row: an image's bytes, or the words why there are none."""
    size_bytes = len(data) if isinstance(data, bytes) else 0
    place = Place(
        archive=unit.name, member=key, path=None, offset=number, size_bytes=size_bytes, mtime_ns=unit.mtime_ns
    )
    image = unreadable(data) if isinstance(data, str) else look(io.BytesIO(data), name=key, size_bytes=size_bytes)
    rows.add(place, key=f"{unit.name}/{key}", image=image, meta=meta, sidecars={})


def _why_missing(image: dict[str, Any] | None, meta: dict[str, Any]) -> str:
    """Return why a row has no image, in the words of img2dataset where it wrote the file."""
    if image is not None and image.get("path"):
        return "the row has a path but no image bytes: paths are not followed, embed the images in the file"
    said = [str(meta[name]) for name in ("status", "error_message") if meta.get(name)]
    return "the row has no image bytes" + (f": {': '.join(said)}" if said else "")
