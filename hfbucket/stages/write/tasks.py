"""Shard tasks: the plan's rows with all that writing needs, in a table on disk, one row group per shard.

Only a chunk of the plan is ever in memory. Every task has a hash of what decides its shard's bytes; resuming is
comparing these hashes with the receipts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.hashing import sha256_of, table_sha256
from hfbucket.core.keys import shard_file
from hfbucket.core.law.buckets import Bucket
from hfbucket.core.law.geometry import digest_words
from hfbucket.core.plan.captions import Choice, selected
from hfbucket.core.plan.layout import geometry_of
from hfbucket.core.plan.model import Plan
from hfbucket.io.images.encode import versions
from hfbucket.io.index_files import Index
from hfbucket.io.places import Place, made_here, remove_tree, write_bytes
from hfbucket.io.tables import table_writer
from hfbucket.schemas import INDEX, TASKS
from hfbucket.stages.write.gather import in_member_order
from hfbucket.stages.write.task import SHARDS_PER_FILE, Job, ShardTask
from hfbucket.stages.write.work import Work

WRITER: Final = 3
"""Number of what this package writes for one task; to be raised whenever it gives other bytes or receipts."""

GATHER_CAPTIONS: Final = 786_432
"""Captions of the index handled at once, with the rows they belong to: most memory of a row is theirs."""

_FROM_INDEX: Final = (*(name for name in TASKS.names if name in INDEX.names), "caption_source_ids", "width", "height")
_PLACES: Final = frozenset({"digest", "path", "offset", "unit", "source"})
"""What says where bytes lie, and what follows from other columns: no part of a task's identity."""

_HASHED: Final = tuple(name for name in TASKS.names if name not in _PLACES)


def make_job(index: Index, config: Config, choice: Choice, export: Place, work: Work[Place]) -> Job:
    """Return what the tasks share, after writing the units that their rows point to into the work folder."""
    units = [
        {"kind": u.kind, "name": u.name, "size_bytes": u.size_bytes, "url": u.url, "version": u.version}
        for u in (indexed.unit for indexed in index.units)
    ]
    write_bytes(work.units, json.dumps(units, ensure_ascii=True).encode())
    keys = {key for source in range(len(index.sources)) for key in index.facts(source).kept_keys}
    return Job(
        export=export,
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
    remove_tree(job.work.tasks)
    tasks: list[ShardTask] = []
    tables, planned_bytes = _shard_tables(index, plan, job), plan.shards.planned_bytes.tolist()
    for first in range(0, len(planned_bytes), SHARDS_PER_FILE):
        with ExitStack() as stack:
            writer = None
            for number in range(first, min(first + SHARDS_PER_FILE, len(planned_bytes))):
                bucket, of_bucket, table = next(tables)
                file = shard_file(bucket.bucket_id, of_bucket)
                identity = {**same_for_all, "file": file, "bucket": [bucket.base, bucket.w, bucket.h]}
                task = ShardTask(
                    job=job,
                    number=number,
                    file=file,
                    bucket=bucket,
                    samples=table.num_rows,
                    planned_bytes=planned_bytes[number],
                    task_sha256=sha256_of({**identity, "rows": table_sha256(table.select(_HASHED))}),
                )
                if writer is None:
                    here = stack.enter_context(made_here(task.table))
                    writer = stack.enter_context(table_writer(here, TASKS, flush=False, quick=True))
                writer.write_table(table, row_group_size=max(1, table.num_rows))
                tasks.append(task)
                del table
    return tasks


def _shard_tables(index: Index, plan: Plan, job: Job) -> Iterator[tuple[Bucket, int, pa.Table]]:
    """Yield every shard's bucket, number and rows of TASKS, by bucket, then number."""
    most = GATHER_CAPTIONS // max(len(job.variants), 3)
    for batch in in_member_order(index, plan, _FROM_INDEX, most, job.work.folder):
        table = _task_rows(index, plan, batch.members, batch.table, job.config)
        first = int(plan.shards.start[batch.shards.start])
        for shard in batch.shards:
            start, stop = (int(place) - first for place in plan.shards.start[[shard, shard + 1]])
            bucket = plan.buckets[plan.shards.bucket[shard]]
            yield bucket, int(plan.shards.number[shard]), table.slice(start, stop - start)
        del batch, table  # before the next one is gathered


def _task_rows(index: Index, plan: Plan, rows: npt.NDArray[np.int64], taken: pa.Table, config: Config) -> pa.Table:
    units = index.unit_of(rows)
    source_of_unit = np.array([indexed.unit.source for indexed in index.units], dtype=np.int32)
    words = digest_words(pa.concat_arrays(taken["digest"].chunks))
    caption_index = plan.caption_index[rows]
    columns = {name: taken.column(name) for name in taken.column_names}
    columns |= {name: pa.array(values) for name, values in geometry_of(plan, rows, words, config).items()}
    columns |= {
        "encode": pa.array(plan.encode[rows]),
        "unit": pa.array(units.astype(np.int32)),
        "source": pa.array(source_of_unit[units]),
        "source_w": columns["width"],
        "source_h": columns["height"],
        "caption_index": pa.array(caption_index),
        "caption": selected(taken.column("captions"), caption_index),
        "caption_source_id": selected(taken.column("caption_source_ids"), caption_index),
    }
    return pa.table([columns[field.name].cast(field.type) for field in TASKS], schema=TASKS)
