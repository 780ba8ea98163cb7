"""One shard to write, or a part of one, as a process gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hfbucket.config import Config
from hfbucket.core.law.buckets import Bucket
from hfbucket.io.places import Place
from hfbucket.stages.care import Care
from hfbucket.stages.write.work import Work

SHARDS_PER_FILE: Final = 64
"""Of the tasks table: who writes a shard reads the footer of the file that has its rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What all tasks of a build share."""

    export: Place
    work: Work[Place]
    config: Config
    #: Hash of the units table, so that a process knows one build's from the next one's.
    units_sha256: str
    #: The keys of `meta` in every sample.
    meta_keys: tuple[str, ...]
    #: The caption variants of every sample.
    variants: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardTask:
    """One shard to write, or a part of one."""

    job: Job
    #: Among all shards of the plan.
    number: int
    #: Of the shard, below the export.
    file: str
    bucket: Bucket
    samples: int
    planned_bytes: int
    task_sha256: str
    #: Its rows in `table`: one row group, more where captions are long.
    row_groups: range
    care: Care = Care.NONE
    #: Of a part of a shard, first of the shard's planned samples and the one after the last; None for all of it.
    rows: tuple[int, int] | None = None
    #: Of a part, the rows of all parts of its shard.
    parts: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        """What is written, below `folder`: the shard, or a part, which is a tar of its own."""
        return self.file if self.rows is None else f"{self.file.removesuffix('.tar')}.{self.rows[0]}-{self.rows[1]}.tar"

    @property
    def folder(self) -> Place:
        """The folder that `name` lies below."""
        return self.job.export if self.rows is None else self.job.work.parts

    @property
    def receipts(self) -> Place:
        """The folder of receipts."""
        return self.job.work.receipts if self.rows is None else self.job.work.parts / "receipts"

    @property
    def table(self) -> Place:
        """The Parquet file that has its rows."""
        return table_of(self.job, self.number // SHARDS_PER_FILE)


def table_of(job: Job, file: int) -> Place:
    """Return a file of the tasks table."""
    return job.work.tasks / f"part-{file:05d}.parquet"
