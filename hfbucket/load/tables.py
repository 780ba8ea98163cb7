"""Samples from the sample tables: all but the image, and the image from where its row says that it lies in the shard.

A shard that is a file here is read so: no header is searched and no JSON parsed. Of a remote one only columns without
the image are, for a shard is one request and each image in it would be another. The tables are sorted by shard and
offset, and the manifest says how many samples each shard and each table has. So the rows of a shard are known before a
table is opened, and only the row groups and columns that hold them are fetched.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from hfbucket.core.manifest.model import Manifest
from hfbucket.errors import FormatError
from hfbucket.io.row_groups import read_group
from hfbucket.io.ustar import BLOCK
from hfbucket.load.plan import ShardRef
from hfbucket.load.samples import FROM_JSON, GEOMETRY, JsonText
from hfbucket.load.shards import broken_off, opened

OpenRanges = Callable[[str, int], BinaryIO]
"""Opens a URL of known size in bytes to be read at any place."""

_COLUMNS: Final = {"caption": "caption", "key": "key", **FROM_JSON, "meta": "meta"}
"""Column of a loader to the column of the tables; the others are the same for a whole shard."""

_AT_ONCE_BYTES: Final = 1 << 23
"""Of rows that become values of Python at a time."""

_PLACE: Final = ("key", "jpg_offset", "jpg_size")
_CROP: Final = GEOMETRY[:4]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRef:
    """One Parquet file of the sample tables. Plain values, so it travels to any worker."""

    #: Below the export; errors use it.
    file: str
    #: Where to read it: a local path or any URL.
    url: str
    rows: int
    size_bytes: int


def table_refs(manifest: Manifest, base_url: str) -> tuple[TableRef, ...]:
    """Return the sample tables of an export, in order."""
    return tuple(
        TableRef(file=table.file, url=f"{base_url}/{table.file}", rows=table.rows, size_bytes=table.bytes)
        for table in manifest.samples
    )


class SampleTables:
    """The sample tables of one export; what their footers say and the row group read last are kept."""

    def __init__(self, tables: Sequence[TableRef], open_ranges: OpenRanges) -> None:
        self._tables, self._open = tables, open_ranges
        self._ends = list(accumulate(table.rows for table in tables))
        self._footers: dict[int, pq.FileMetaData] = {}
        self._local: bool | None = None
        self._group: tuple[tuple[int, int, tuple[str, ...]], pa.Table] | None = None

    def serve(self, ref: ShardRef, columns: Sequence[str]) -> bool:
        """Return whether samples of a shard can be read here, and better than from the shard alone."""
        if ref.row is None or not self._tables:
            return False
        return "image" not in columns if "://" in ref.url else self._are_here()

    def read_examples(self, ref: ShardRef, columns: Sequence[str], *, crop: bool = False) -> Iterator[dict[str, Any]]:
        """Yield what `samples.read_examples` yields; images of local shards only.

        Raises:
            FormatError: the tables do not hold the shard's samples where they have to be, or say of an image where it
                is not.
        """
        if ref.row is None or ref.count is None:
            raise FormatError("the manifest does not say where its rows are", where=ref.file)
        wanted = [_COLUMNS[name] for name in columns if name in _COLUMNS]
        with_image = "image" in columns
        if with_image:
            wanted += [name for name in (*_PLACE, *(_CROP if crop else ())) if name not in wanted]
        with opened(ref) if with_image else nullcontext() as file:
            for rows in self._rows(ref, ref.row, ref.row + ref.count, tuple(wanted)):
                values = {name: rows[name].to_pylist() for name in wanted}
                taken = [_values(name, ref, values, rows.num_rows, file, crop) for name in columns]
                for example in zip(*taken, strict=True):
                    yield dict(zip(columns, example, strict=True))

    def _are_here(self) -> bool:
        """Return whether every table is a file of this machine."""
        if self._local is None:
            self._local = all("://" not in table.url and os.path.exists(table.url) for table in self._tables)
        return self._local

    def _rows(self, ref: ShardRef, start: int, stop: int, columns: tuple[str, ...]) -> Iterator[pa.Table]:
        """Yield the rows of a shard, piece by piece where they are heavy or lie in more than one row group."""
        while start < stop:
            number = bisect_right(self._ends, start)
            if number == len(self._ends):
                raise FormatError("has more samples than the sample tables; run `hfbucket verify`", where=ref.file)
            before = self._ends[number] - self._tables[number].rows
            first, group = self._read_group(number, start - before, ("shard", *columns))
            piece = group.slice(start - before - first, stop - start)
            if piece["shard"].unique().to_pylist() != [ref.file]:
                where = self._tables[number].file
                raise FormatError(f"rows of {ref.file} must stand here, and do not; run `hfbucket verify`", where=where)
            at_once = max(1, piece.num_rows * _AT_ONCE_BYTES // max(1, piece.nbytes))
            yield from (piece.slice(first, at_once) for first in range(0, piece.num_rows, at_once))
            start += piece.num_rows

    def _read_group(self, number: int, row: int, columns: tuple[str, ...]) -> tuple[int, pa.Table]:
        """Return the row group of a table that holds a row, and the number of its first row."""
        table = self._tables[number]
        try:
            footer = self._footer(number)
            ends = list(accumulate(footer.row_group(place).num_rows for place in range(footer.num_row_groups)))
            place = bisect_right(ends, row)
            if self._group is None or self._group[0] != (number, place, columns):
                with self._open(table.url, table.size_bytes) as file:
                    group = read_group(file, footer, place, columns)
                self._group = (number, place, columns), group
            return ends[place] - self._group[1].num_rows, self._group[1]
        except (pa.ArrowException, FileNotFoundError, IndexError, KeyError) as error:
            raise FormatError(
                f"cannot be read ({error}); run `hfbucket verify` on the export", where=table.file
            ) from error

    def _footer(self, number: int) -> pq.FileMetaData:
        if number not in self._footers:
            with self._open(self._tables[number].url, self._tables[number].size_bytes) as file:
                self._footers[number] = pq.read_metadata(file)
        return self._footers[number]


def _values(
    name: str, ref: ShardRef, rows: Mapping[str, list[Any]], count: int, file: BinaryIO | None, crop: bool
) -> Iterable[Any]:
    """Return the values of a loader's column for some rows of the tables."""
    fixed = {"bucket_id": ref.bucket_id, "width": ref.width_px, "height": ref.height_px}
    if name in fixed:
        return repeat(fixed[name], count)
    if name == "image":
        assert file is not None
        return _images(file, ref, rows, crop)
    values = rows[_COLUMNS[name]]
    if name == "caption":
        return [caption or "" for caption in values]  # as the shard has it: a text, maybe none
    if name == "meta":
        return [JsonText(meta or "{}") for meta in values]
    return values


def _images(file: BinaryIO, ref: ShardRef, rows: Mapping[str, list[Any]], crop: bool) -> Iterator[dict[str, Any]]:
    """Yield the storage of the images; every one is read together with the header that has its key and size."""
    number = file.fileno()
    places = zip(rows["key"], rows["jpg_offset"], rows["jpg_size"], strict=True)
    crops = zip(*(rows[name] for name in _CROP), strict=True) if crop else repeat(())
    for (key, offset, size), box in zip(places, crops, strict=False):
        data = os.pread(number, BLOCK + size, offset - BLOCK) if offset >= BLOCK and size >= 0 else b""
        if not data.startswith(b"%s.jpg\0" % key.encode()) or data[124:136] != b"%011o\0" % size:
            raise FormatError(
                f"the sample tables say that image {key} of {size} bytes lies at byte {offset}, and it does not; run "
                "`hfbucket verify` on the export",
                where=ref.file,
            )
        if len(data) < BLOCK + size:
            raise broken_off(ref, offset - BLOCK + len(data))
        if crop:
            numbers = dict(zip(_CROP, box, strict=True))
            yield {"bytes": data[BLOCK:], "path": f"{key}.jpg", **numbers, "w": ref.width_px, "h": ref.height_px}
        else:
            yield {"bytes": data[BLOCK:], "path": None}
