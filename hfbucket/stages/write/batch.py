"""Some samples of a shard at a time: their rows by column, their texts, and what becomes of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hfbucket.core.keys import MEMBERS
from hfbucket.core.sample import (
    PLACES,
    Encoding,
    caption_bytes,
    filled,
    made_samples,
    metadata_texts,
    planned_samples,
)
from hfbucket.io.tables import batches_in_group
from hfbucket.io.ustar import ShardWriter
from hfbucket.stages.write.task import ShardTask

_ROWS_AT_ONCE: Final = 512

_NEEDED: Final = (
    "image_id", "digest", "member", "path", "offset", "size_bytes", "mtime_ns", "unit", "source_w", "source_h",
    "resized_w", "resized_h", "crop_left", "crop_top", "encode",
)  # fmt: skip
"""Columns of TASKS that reading and making an image takes; the others are worked on as columns."""


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
        columns = (rows[name].to_pylist() for name in _NEEDED)
        #: What `_NEEDED` says of every sample.
        self.rows: list[dict[str, Any]] = [
            dict(zip(_NEEDED, values, strict=True)) for values in zip(*columns, strict=True)
        ]

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


def batches_of(task: ShardTask) -> Iterator[Batch]:
    """Yield all samples of a task, in order."""
    first, last = task.rows or (0, task.samples)
    start = 0
    for batch in batches_in_group(task.table, task.row_group, rows_at_once=_ROWS_AT_ONCE):
        rows = batch.slice(min(max(0, first - start), batch.num_rows), max(0, last - max(first, start)))
        start += batch.num_rows
        if rows.num_rows:
            yield Batch(task, pa.Table.from_batches([rows]))
