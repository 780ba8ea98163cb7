"""One shard to write, as a process gets it."""

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
    """One shard to write."""

    job: Job
    #: Among all shards of the plan.
    number: int
    #: Of the shard, below the export.
    file: str
    bucket: Bucket
    samples: int
    planned_bytes: int
    task_sha256: str
    care: Care = Care.NONE

    @property
    def table(self) -> Place:
        """The Parquet file that has its rows."""
        return self.job.work.tasks / f"part-{self.number // SHARDS_PER_FILE:05d}.parquet"

    @property
    def row_group(self) -> int:
        """Its rows in that file."""
        return self.number % SHARDS_PER_FILE
