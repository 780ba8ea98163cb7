"""Shard tasks: the plan's rows with all that writing needs, in a table on disk, a row group for each shard, or more.

Only a chunk of the plan is ever in memory, and of a shard with long captions only a row group. Every task has a hash of
what decides its shard's bytes; resuming is comparing these hashes with the receipts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hfbucket.config import Config
from hfbucket.core.hashing import sha256_of, table_sha256
from hfbucket.core.keys import shard_file
from hfbucket.core.law.geometry import digest_words
from hfbucket.core.plan.captions import Choice, selected
from hfbucket.core.plan.layout import geometry_of
from hfbucket.core.plan.model import Plan
from hfbucket.core.row_groups import regrouped
from hfbucket.io.images.encode import versions
from hfbucket.io.index_files import Index
from hfbucket.io.places import Place, made_here, remove_tree, write_bytes
from hfbucket.io.tables import GROUP_BYTES, table_writer
from hfbucket.schemas import INDEX, TASKS
from hfbucket.stages.write.gather import in_member_order
from hfbucket.stages.write.task import SHARDS_PER_FILE, Job, ShardTask, table_of
from hfbucket.stages.write.work import Work

WRITER: Final = 4
"""Number of what this package writes for one task; to be raised whenever it gives other bytes or receipts."""

GATHER_CAPTIONS: Final = 786_432
"""Captions of the index handled at once, with the rows they belong to: most memory of a row is theirs."""

_FROM_INDEX: Final = (*(name for name in TASKS.names if name in INDEX.names), "caption_source_ids", "width", "height")
_MOST_ROWS: Final = 1 << 20
"""Of a row group: the rows of a shard are one, but where captions are long."""

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
    shards = groupby(_pieces(index, plan, job), key=itemgetter(0))
    for file, of_file in groupby(shards, key=lambda shard: shard[0] // SHARDS_PER_FILE):
        with (
            made_here(table_of(job, file)) as here,
            table_writer(here, TASKS, flush=False, quick=True) as writer,
        ):
            groups = 0
            for number, pieces in of_file:
                hashes = list(_written(writer, (rows for _, rows in pieces)))
                tasks.append(_task(plan, job, number, range(groups, groups + len(hashes)), hashes, same_for_all))
                groups += len(hashes)
    return tasks


def _written(writer: pq.ParquetWriter, pieces: Iterator[pa.Table]) -> Iterator[str]:
    """Write the rows of a shard, one row group where captions are not long; yield the hash of each group."""
    for group in regrouped(pieces, TASKS, most_rows=_MOST_ROWS, most_bytes=GROUP_BYTES):
        writer.write_table(group, row_group_size=group.num_rows)
        yield table_sha256(group.select(_HASHED))
        del group  # before the next one is gathered


def _task(
    plan: Plan, job: Job, number: int, row_groups: range, hashes: Sequence[str], same_for_all: Mapping[str, Any]
) -> ShardTask:
    bucket = plan.buckets[plan.shards.bucket[number]]
    file = shard_file(bucket.bucket_id, int(plan.shards.number[number]))
    identity = {**same_for_all, "file": file, "bucket": [bucket.base, bucket.w, bucket.h], "rows": hashes}
    return ShardTask(
        job=job,
        number=number,
        file=file,
        bucket=bucket,
        samples=int(plan.shards.start[number + 1] - plan.shards.start[number]),
        planned_bytes=int(plan.shards.planned_bytes[number]),
        task_sha256=sha256_of(identity),
        row_groups=row_groups,
    )


def _pieces(index: Index, plan: Plan, job: Job) -> Iterator[tuple[int, pa.Table]]:
    """Yield (shard, rows of TASKS), by shard, each in as many pieces as it comes."""
    most = GATHER_CAPTIONS // max(len(job.variants), 3)
    for batch in in_member_order(index, plan, _FROM_INDEX, most, job.work.folder):
        table, start = _task_rows(index, plan, batch.members, batch.table, job.config), batch.start
        stop = start + table.num_rows
        del batch
        ends = plan.shards.start[1:]
        first, last = np.searchsorted(ends, [start, stop - 1], side="right").tolist()
        for shard in range(first, last + 1):
            skipped = max(0, int(plan.shards.start[shard]) - start)
            yield shard, table.slice(skipped, int(ends[shard]) - start - skipped)
        del table  # before the next one is gathered


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
