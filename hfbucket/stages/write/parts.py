"""Large shards in parts: several processes re-encode the images of one shard, and their tars are joined.

What is in a tar depends on nothing before it, so the members of the parts, one after the other, are the shard, byte for
byte. Where there are many shards none is split: a part is written twice, once alone and once into its shard. Who writes
the last part joins them, in a process that runs already; two that see each other's part come to the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa

from hfbucket.core.keys import MEMBERS
from hfbucket.errors import BuildError
from hfbucket.executors.engines import Workers
from hfbucket.executors.task import Failure, report
from hfbucket.io.places import Place, matching, open_random
from hfbucket.io.receipts import read_receipt, read_samples, receipt_file
from hfbucket.io.ustar import END, ShardWriter
from hfbucket.schemas import SAMPLES
from hfbucket.stages.rounds import failure_of
from hfbucket.stages.write.done import receipts_of
from hfbucket.stages.write.shard import Came, write_shard, write_tar
from hfbucket.stages.write.task import ShardTask
from hfbucket.stages.write.work import Work

_FOR_EACH: Final = 4
"""Parts of equal size that the work of a process would come to: none waits long for another at the end."""

_LEAST_SAMPLES: Final = 128
"""Of a part: starting on one costs as much as some images do."""

_PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Joining:
    """A shard to be joined of its parts, in order."""

    task: ShardTask
    parts: tuple[ShardTask, ...]


def split(tasks: Sequence[ShardTask], total: int, workers: Workers) -> tuple[list[ShardTask], list[Joining]]:
    """Return which shards are to be written as a whole, and which in parts.

    Only re-encoding is worth it: what passthrough costs is writing.

    Args:
        total: samples of the whole plan, so that a build that goes on splits as it did.
    """
    at_once = workers.at_once
    if at_once < 2 or not tasks or tasks[0].job.config.image_mode != "reencode_jpeg":
        return list(tasks), []
    largest = max(_LEAST_SAMPLES, -(-total // (_FOR_EACH * at_once)))
    whole = [task for task in tasks if task.samples <= largest]
    return whole, [Joining(task=task, parts=_parts(task, largest)) for task in tasks if task.samples > largest]


def _parts(task: ShardTask, largest: int) -> tuple[ShardTask, ...]:
    """Return the parts of a shard, equal but for one sample, none with more than `largest`."""
    count = -(-task.samples // largest)
    rows = tuple(pairwise(task.samples * number // count for number in range(count + 1)))
    return _tasks(replace(task, planned_bytes=task.planned_bytes // count), rows)


def _tasks(task: ShardTask, parts: tuple[tuple[int, int], ...]) -> tuple[ShardTask, ...]:
    return tuple(replace(task, rows=(start, stop), parts=parts, samples=stop - start) for start, stop in parts)


def missing_parts(joinings: Sequence[Joining], work: Work[Place]) -> list[ShardTask]:
    """Return the parts that are not written yet; those of other sizes, which another number of workers left, go."""
    parts = [part for joining in joinings for part in joining.parts]
    known = {place for part in parts for place in _places(part)}
    for pattern in ("buckets/*/*", "receipts/*/*"):
        for place in matching(work.parts, pattern):
            if place not in known:
                place.unlink(missing_ok=True)
    missing = [part for part, receipt in zip(parts, receipts_of(parts), strict=True) if receipt is None]
    for part in missing:  # what another source left under its name must not be joined
        receipt_file(part.receipts, part.name).unlink(missing_ok=True)
    return missing


def _places(part: ShardTask) -> tuple[Place, Place]:
    return receipt_file(part.receipts, part.name), part.folder / part.name


def write_piece(task: ShardTask) -> Failure | None:
    """Write a shard, or a part of one and with the last of its parts the shard; return None, or why it could not be."""
    failure = write_shard(task)
    if failure is not None or task.rows is None:
        return failure
    whole = replace(task, rows=None, parts=(), samples=task.parts[-1][1])
    joining = Joining(task=whole, parts=_tasks(task, task.parts))
    if not all(place.exists() for part in joining.parts for place in _places(part)[:1]):
        return None
    failure = join_parts(joining)
    return failure and replace(failure, task=task)


def join_parts(joining: Joining) -> Failure | None:
    """Write a shard and its receipt of its parts, and delete these; return None, or why it could not be."""
    try:
        if not is_joined(joining):
            write_tar(joining.task, partial(_fill, joining.parts))
        for part in joining.parts:
            for place in _places(part):
                place.unlink(missing_ok=True)
    except (OSError, MemoryError, BuildError) as error:
        with suppress(OSError):
            if isinstance(error, BuildError) and is_joined(joining):  # by another process, which deleted the parts
                return None
        return failure_of(joining, error)
    return None


def is_joined(joining: Joining) -> bool:
    """Return whether the shard is there, with its receipt."""
    return receipts_of([joining.task]) != [None]


def _fill(parts: Sequence[ShardTask], shard: ShardWriter, came: Came) -> None:
    done = 0
    for part in parts:
        receipt = read_receipt(receipt_file(part.receipts, part.name))
        if receipt is None or receipt.task_sha256 != part.task_sha256:
            raise BuildError(f"{part.name} vanished from {part.folder}")
        for samples in _samples(part):
            came.samples.add(_moved(samples, shard.size_bytes))
        came.rejected.extend(receipt.rejected)
        came.notes.update(receipt.notes)
        came.previews.extend(receipt.previews)
        if receipt.count:
            for members in _members(part, receipt.size_bytes - len(END)):
                shard.take(members)
                report(done)
        done += part.samples
        report(done)


def _samples(part: ShardTask) -> Iterator[pa.Table]:
    try:
        yield from read_samples(part.receipts, part.name)
    except FileNotFoundError:
        raise BuildError(f"{part.name} vanished from {part.folder}") from None


def _members(part: ShardTask, stop: int) -> Iterator[bytes]:
    """Yield the bytes of a part but for its end.

    Raises:
        BuildError: it is shorter.
    """
    try:
        file = open_random(part.folder / part.name)
    except FileNotFoundError:
        raise BuildError(f"{part.name} vanished from {part.folder}") from None
    with file:
        for start in range(0, stop, _PIECE_BYTES):
            piece = file.pread(start, min(_PIECE_BYTES, stop - start))
            if len(piece) != min(_PIECE_BYTES, stop - start):
                raise BuildError(f"{part.name} in {part.folder} is cut short")
            yield piece


def _moved(samples: pa.Table, by: int) -> pa.Table:
    """Return the rows of SAMPLES with members so many bytes further on."""
    for name in (f"{member}_offset" for member in MEMBERS):
        offsets = np.asarray(samples[name]) + by
        samples = samples.set_column(SAMPLES.names.index(name), SAMPLES.field(name), pa.array(offsets, pa.int64()))
    return samples
