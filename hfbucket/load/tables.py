"""Samples without their images, from the sample tables: what a remote export's columns cost where no image is asked.

The tables are sorted by shard and offset, and the manifest says how many samples each shard and each table has. So the
rows of a shard are known before a table is opened, and only the row groups and columns that hold them are fetched.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from hfbucket.core.manifest.model import Manifest
from hfbucket.errors import FormatError
from hfbucket.io.tables import read_group
from hfbucket.load.plan import ShardRef

OpenRanges = Callable[[str, int], BinaryIO]
"""Opens a URL of known size in bytes to be read at any place."""

_COLUMNS: Final = {
    "caption": "caption",
    "key": "key",
    "image_id": "image_id",
    "original_width": "source_w",
    "original_height": "source_h",
    "resized_width": "resized_w",
    "resized_height": "resized_h",
    "crop_left": "crop_left",
    "crop_top": "crop_top",
    "caption_variant": "caption_variant",
    "meta": "meta",
}
"""Column of a loader to the column of the tables; the others are the same for a whole shard."""


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
        self._group: tuple[tuple[int, int, tuple[str, ...]], pa.Table] | None = None

    def read_examples(self, ref: ShardRef, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield what `samples.read_examples` yields for columns without the image.

        Raises:
            FormatError: the tables do not hold the shard's samples where they have to be.
        """
        if ref.row is None or ref.count is None:
            raise FormatError("the manifest does not say where its rows are", where=ref.file)
        wanted = tuple(_COLUMNS[name] for name in columns if name in _COLUMNS)
        fixed = {"bucket_id": ref.bucket_id, "width": ref.width_px, "height": ref.height_px}
        template: dict[str, Any] = {name: fixed.get(name) for name in columns}
        for rows in self._rows(ref, ref.row, ref.row + ref.count, wanted):
            for row in rows.to_pylist():
                example = template | {name: row[_COLUMNS[name]] for name in columns if name in _COLUMNS}
                if "caption" in example:
                    example["caption"] = example["caption"] or ""  # as the shard has it: a text, maybe none
                if "meta" in example:
                    example["meta"] = example["meta"] or "{}"
                yield example

    def _rows(self, ref: ShardRef, start: int, stop: int, columns: tuple[str, ...]) -> Iterator[pa.Table]:
        """Yield the rows of a shard, piece by piece where they lie in more than one row group."""
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
            yield piece
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
