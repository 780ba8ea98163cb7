"""Shard tasks: the plan's rows with all that writing needs, in one table on disk, one row group per shard.

Only a chunk of the plan is ever in memory. Every task has a hash of what decides its shard's bytes; resuming is
comparing these hashes with the receipts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.hashing import sha256_of, table_sha256
from hfbucket.core.keys import shard_file
from hfbucket.core.law.buckets import Bucket
from hfbucket.core.plan.captions import Choice, selected
from hfbucket.core.plan.model import Plan
from hfbucket.io.atomic import write_bytes
from hfbucket.io.images.encode import versions
from hfbucket.io.index_files import Index
from hfbucket.io.tables import table_writer
from hfbucket.schemas import INDEX, TASKS
from hfbucket.stages.care import Care
from hfbucket.stages.write.work import Work

WRITER: Final = 3
"""Number of what this package writes for one task; to be raised whenever it gives other bytes or receipts."""

GATHER_CAPTIONS: Final = 393_216
"""Captions taken from the index at once, with the rows they belong to: most memory of a row is theirs."""

_FROM_INDEX: Final = (*(name for name in TASKS.names if name in INDEX.names), "caption_source_ids", "width", "height")
_FROM_PLAN: Final = ("resized_w", "resized_h", "crop_left", "crop_top", "encode", "caption_index")
_PLACES: Final = frozenset({"digest", "path", "offset", "unit", "source"})
"""What says where bytes lie, and what follows from other columns: no part of a task's identity."""

_HASHED: Final = tuple(name for name in TASKS.names if name not in _PLACES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What all tasks of a build share."""

    export: str
    work: Work
    config: Config
    #: Hash of the units table, so that a process knows one build's from the next one's.
    units_sha256: str
    #: The keys of `meta` in every sample.
    meta_keys: tuple[str, ...]
    #: The caption variants of every sample.
    variants: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardTask:
    """One shard to write."""

    job: Job
    #: In the tasks table.
    row_group: int
    #: Of the shard, below the export.
    file: str
    bucket: Bucket
    samples: int
    planned_bytes: int
    task_sha256: str
    care: Care = Care.NONE


def make_job(index: Index, config: Config, choice: Choice, export: Path, work: Work) -> Job:
    """Return what the tasks share, after writing the units that their rows point to into the work folder."""
    units = [
        {"kind": u.kind, "name": u.name, "size_bytes": u.size_bytes, "url": u.url, "version": u.version}
        for u in (indexed.unit for indexed in index.units)
    ]
    write_bytes(work.units, json.dumps(units, ensure_ascii=True).encode())
    keys = {key for source in range(len(index.sources)) for key in index.facts(source).kept_keys}
    return Job(
        export=str(export),
        work=work,
        config=config,
        units_sha256=sha256_of(units),
        meta_keys=tuple(sorted(keys)),
        variants=choice.universe,
    )


def write_tasks(index: Index, plan: Plan, job: Job, settings: Mapping[str, Any]) -> list[ShardTask]:
    """Write the tasks table and return its tasks, by bucket, then shard.

    Args:
        settings: the resolved content settings.
    """
    same_for_all = {
        "settings": settings, "meta_keys": list(job.meta_keys), "variants": list(job.variants), "writer": WRITER,
        "codecs": versions(),
    }  # fmt: skip
    tasks: list[ShardTask] = []
    with table_writer(job.work.tasks, TASKS) as writer:
        for bucket, number, rows, table in _shard_tables(index, plan, job):
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            file = shard_file(bucket.bucket_id, number)
            identity = {**same_for_all, "file": file, "bucket": [bucket.base, bucket.w, bucket.h]}
            tasks.append(
                ShardTask(
                    job=job,
                    row_group=len(tasks),
                    file=file,
                    bucket=bucket,
                    samples=len(rows),
                    planned_bytes=int(plan.planned_bytes[rows].sum()),
                    task_sha256=sha256_of({**identity, "rows": table_sha256(table.select(_HASHED))}),
                )
            )
    return tasks


def _shard_tables(index: Index, plan: Plan, job: Job) -> Iterator[tuple[Bucket, int, npt.NDArray[np.int64], pa.Table]]:
    """Yield every shard with its index rows and its rows of TASKS, taken from the index many shards at a time."""
    most = GATHER_CAPTIONS // max(len(job.variants), 3)
    waiting: list[tuple[int, int, npt.NDArray[np.int64]]] = []
    rows_waiting = 0
    for shard in plan.shard_rows():
        waiting.append(shard)
        rows_waiting += len(shard[2])
        if rows_waiting >= most:
            yield from _gather(index, plan, waiting)
            waiting, rows_waiting = [], 0
    yield from _gather(index, plan, waiting)


def _gather(
    index: Index, plan: Plan, shards: list[tuple[int, int, npt.NDArray[np.int64]]]
) -> Iterator[tuple[Bucket, int, npt.NDArray[np.int64], pa.Table]]:
    if not shards:
        return
    rows = np.concatenate([rows for _, _, rows in shards])
    table = _task_rows(index, plan, rows)
    start = 0
    for bucket, number, members in shards:
        yield plan.buckets[bucket], number, members, table.slice(start, len(members))
        start += len(members)


def _task_rows(index: Index, plan: Plan, rows: npt.NDArray[np.int64]) -> pa.Table:
    taken = index.take(rows, _FROM_INDEX)
    units = index.unit_of(rows)
    source_of_unit = np.array([indexed.unit.source for indexed in index.units], dtype=np.int32)
    columns = {name: taken.column(name) for name in taken.column_names}
    columns |= {name: pa.array(getattr(plan, name)[rows]) for name in _FROM_PLAN}
    columns |= {
        "unit": pa.array(units.astype(np.int32)),
        "source": pa.array(source_of_unit[units]),
        "source_w": columns["width"],
        "source_h": columns["height"],
        "caption": selected(taken.column("captions"), plan.caption_index[rows]),
        "caption_source_id": selected(taken.column("caption_source_ids"), plan.caption_index[rows]),
    }
    return pa.table([columns[field.name].cast(field.type) for field in TASKS], schema=TASKS)
