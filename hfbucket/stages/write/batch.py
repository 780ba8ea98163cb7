"""Some samples of a shard at a time: their rows by column, their texts, and what becomes of each.

What reading an image takes is read apart, as that goes ahead: texts, which may be long, are not held for long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hfbucket.core.keys import MEMBERS
from hfbucket.core.sample import (
    PLACES,
    PLANNED_FROM,
    Encoding,
    caption_bytes,
    filled,
    made_samples,
    metadata_texts,
    planned_samples,
)
from hfbucket.io.row_groups import batches_in_groups
from hfbucket.io.ustar import ShardWriter
from hfbucket.stages.write.task import ShardTask

_ROWS_AT_ONCE: Final = 512
_BYTES_AT_ONCE: Final = 1 << 22
"""Of samples that are worked on together, by what stands in the table: some times as much is made of it."""

_NEEDED: Final = (
    "image_id", "digest", "member", "path", "offset", "size_bytes", "mtime_ns", "unit", "source_w", "source_h",
    "resized_w", "resized_h", "crop_left", "crop_top", "encode",
)  # fmt: skip
"""Columns of TASKS that reading and making an image takes."""


class Batch:
    """Consecutive samples of a task; those that can be made are added one after the other.

    Args:
        rows: of TASKS.
    """

    def __init__(self, task: ShardTask, rows: pa.Table) -> None:
        job = task.job
        self._source_hash = job.config.source_hash
        self._planned = planned_samples(
            rows, task.bucket, shard=task.file, variants=job.variants, meta_keys=job.meta_keys
        )
        self._metadata = metadata_texts(self._planned)
        self._numbers: list[int] = []
        self._encodings: list[Encoding] = []
        self._sha256s: list[str | None] = []
        #: Of each, as `PLACES` has them.
        self._places: list[list[int]] = []
        #: How many there are.
        self.size = rows.num_rows

    def add(self, number: int, shard: ShardWriter, source: bytes, data: bytes, encoding: Encoding) -> None:
        """Append the three members of one sample, made of the encoded bytes `source`, to its shard."""
        sha256 = hashlib.sha256(source).hexdigest() if self._source_hash else None
        key, caption = self._planned["key"][number], caption_bytes(self._planned["caption"][number])
        metadata = filled(self._metadata[number], encoding, sha256)
        places: list[int] = []
        for extension, member in zip(MEMBERS, (data, caption, metadata), strict=True):
            places += [shard.add(f"{key}.{extension}", member), len(member)]
        self._places.append(places)
        self._numbers.append(number)
        self._encodings.append(encoding)
        self._sha256s.append(sha256)

    def samples(self) -> pa.Table:
        """Return the rows of SAMPLES of what was added."""
        places = np.array(self._places, dtype=np.int64).reshape(-1, len(PLACES))
        return made_samples(self._planned, self._numbers, self._encodings, self._sha256s, places)


def rows_of(task: ShardTask) -> Iterator[dict[str, Any]]:
    """Yield what `_NEEDED` says of every sample of a task, in order."""
    for rows in batches_in_groups(task.table, task.row_groups, rows=task.rows, most=_ROWS_AT_ONCE, columns=_NEEDED):
        columns = (rows[name].to_pylist() for name in _NEEDED)
        for values in zip(*columns, strict=True):
            yield dict(zip(_NEEDED, values, strict=True))


def batches_of(task: ShardTask) -> Iterator[Batch]:
    """Yield all samples of a task, in order."""
    for rows in batches_in_groups(
        task.table, task.row_groups, rows=task.rows, most=_ROWS_AT_ONCE, size_bytes=_BYTES_AT_ONCE, columns=PLANNED_FROM
    ):
        yield Batch(task, pa.Table.from_batches([rows]))
