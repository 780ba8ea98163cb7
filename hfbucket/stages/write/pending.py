"""The shards of a plan that are not there yet: told beforehand, written in rounds, counted afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from hfbucket.config import Config
from hfbucket.core.card.numbers import size
from hfbucket.core.chunks import rows_where
from hfbucket.core.events import Notice, OnEvent
from hfbucket.core.outcomes import CODE, OUTCOMES, UNDECODABLE
from hfbucket.core.plan.model import Plan
from hfbucket.errors import BuildError, PlanMismatchError, TooManyFailuresError
from hfbucket.executors.engines import Workers
from hfbucket.io.index_files import Index
from hfbucket.io.places import Place, free_bytes, remove_temporaries
from hfbucket.io.receipts import Receipt
from hfbucket.stages.care import Care, workers_for
from hfbucket.stages.rounds import run_rounds
from hfbucket.stages.write.parts import Joining, is_joined, join_parts, missing_parts, split, write_piece
from hfbucket.stages.write.places import written_folders
from hfbucket.stages.write.spool import needs_spool, spool_units
from hfbucket.stages.write.task import Job, ShardTask
from hfbucket.stages.write.work import Work

__all__ = ["announce", "check_plan", "check_written", "write_pending"]

_SHOWN: Final = 3


def announce(plan: Plan, tasks: Sequence[ShardTask], pending: Sequence[ShardTask], on_event: OnEvent) -> None:
    """Tell how much is to be written."""
    images, planned = (sum(getattr(task, name) for task in pending) for name in ("samples", "planned_bytes"))
    done = f", {len(tasks) - len(pending):,} are there already" if len(pending) < len(tasks) else ""
    text = f"plan {plan.plan_id}: {len(pending):,} of {len(tasks):,} shards to write{done}"
    on_event(Notice(level="info", text=f"{text}; {images:,} images, about {size(planned)}"))


def check_plan(index: Index, plan: Plan, config: Config) -> None:
    """Refuse a plan that was not expected, or that leaves out too much.

    Raises:
        PlanMismatchError: another one was expected.
        TooManyFailuresError: too many images cannot be decoded.
    """
    if config.expect_plan is not None and plan.plan_id != config.expect_plan:
        raise PlanMismatchError(
            f"expected plan {config.expect_plan}, got {plan.plan_id}: sources or settings changed since; look at "
            "`hfbucket plan` again"
        )
    shown = rows_where(plan.outcome, np.isin(OUTCOMES, UNDECODABLE), _SHOWN)
    _check_failures(_failures(plan), index.rows, index.take(shown, ("image_id",))["image_id"].to_pylist(), config)


def _failures(plan: Plan) -> int:
    images = plan.images()
    return sum(images[CODE[name]] for name in UNDECODABLE)


def _check_failures(failures: int, seen: int, shown: Sequence[str], config: Config) -> None:
    if failures > config.max_failure_ratio * seen:
        raise TooManyFailuresError(
            f"{failures:,} of {seen:,} images cannot be decoded, such as {', '.join(map(repr, shown))}: more than "
            f"--max-failure-ratio {float(config.max_failure_ratio):g} allows. Look at them, or raise the limit and run "
            "the command again: what is done stays done"
        )


def write_pending(
    index: Index, plan: Plan, tasks: Sequence[ShardTask], pending: Sequence[ShardTask], on_event: OnEvent
) -> None:
    """Spool what must be, then write the shards that have no receipt; nothing is left half-written."""
    job = pending[0].job
    workers = workers_for(job.config, [*(indexed.unit.url for indexed in index.units), str(job.export)], limited=True)
    with _tidied(job, workers):
        if needs_spool(index, job.work):
            numbers = {task.number for task in pending}
            rows = [members for number, (_, _, members) in enumerate(plan.shard_rows()) if number in numbers]
            spool_units(index, np.concatenate(rows), job.work, job.config, on_event=on_event)
        _write_all(job, tasks, pending, workers, on_event)


def _write_all(
    job: Job, tasks: Sequence[ShardTask], pending: Sequence[ShardTask], workers: Workers, on_event: OnEvent
) -> None:
    total = sum(task.samples for task in tasks)
    wholes, joinings = split(pending, total, workers)
    _check_room(job.export, [*pending, *(joining.task for joining in joinings)], on_event)
    to_write = [*wholes, *missing_parts(joinings, job.work)]
    done = total - sum(task.samples for task in to_write)
    room = _room(job.work) if joinings else None
    if to_write:
        _write(to_write, done, workers, room, on_event)
    if left := [joining for joining in joinings if not is_joined(joining)]:
        _join(left, workers, room, on_event)


def _room(work: Work[Place]) -> str | None:
    """Return what to do where there is no room for shards in parts."""
    if not isinstance(work.folder, Path):
        return None
    return (
        f"large shards are written in parts, which lie in {work.folder} until they are joined and take up to as much "
        "room again: if that is the disk, run the command again with fewer --workers (with 0 or 1 there are no parts), "
        "or move that folder to another disk and name it by --work-dir; what is done stays done"
    )


@contextmanager
def _tidied(job: Job, workers: Workers) -> Iterator[None]:
    """Delete what workers that died left half-written.

    Where the block ends with an error, that comes first, and a cluster may still be at work.
    """
    try:
        yield
    except BaseException:
        if workers.executor == "local":
            with suppress(OSError):
                folders = written_folders(job.export, job.work)
                remove_temporaries(*(folder for folder in folders if isinstance(folder, Path)))
        raise
    remove_temporaries(*written_folders(job.export, job.work))


def _check_room(export: Place, tasks: Sequence[ShardTask], on_event: OnEvent) -> None:
    """Warn where there is less than will be written."""
    needed, free = sum(task.planned_bytes for task in tasks), free_bytes(export)
    if free is not None and needed > free:
        text = f"about {size(needed)} are to be written, {export} has {size(free)} free"
        on_event(Notice(level="warning", text=text))


def _write(tasks: Sequence[ShardTask], done: int, workers: Workers, room: str | None, on_event: OnEvent) -> None:
    # Tasks of sources in memory run in this very process, which no image may end, unless that was asked for.
    care = Care.CHILD if workers.are_none and tasks[0].job.config.workers != 0 else Care.NONE
    # The longest first: no core waits for it at the end.
    tasks = [replace(task, care=care) for task in sorted(tasks, key=lambda task: -task.planned_bytes)]
    run_rounds(
        write_piece,
        tasks,
        [task.samples for task in tasks],
        name=lambda task: task.name,
        stage="write",
        workers=workers,
        on_event=on_event,
        room=room,
        done=done,
        careful=lambda task, last: replace(task, care=Care.ALONE if last else Care.CHILD),
    )


def _join(joinings: Sequence[Joining], workers: Workers, room: str | None, on_event: OnEvent) -> None:
    """Join what no writer did: a build was killed before, or they did not see each other's parts in time."""
    run_rounds(
        join_parts,
        joinings,
        [joining.task.samples for joining in joinings],
        name=lambda joining: joining.task.name,
        stage="join",
        workers=workers,
        on_event=on_event,
        room=room,
    )


def check_written(
    receipts: Sequence[Receipt], tasks: Sequence[ShardTask], index: Index, plan: Plan, config: Config
) -> None:
    """Refuse shards that are not all there, or hold too little.

    Raises:
        BuildError: some vanished.
        TooManyFailuresError: too many images could not be decoded.
    """
    if len(receipts) != len(tasks):
        raise BuildError(f"{len(tasks) - len(receipts)} shards vanished while they were written; run the command again")
    rejected = [entry.image_id for receipt in receipts for entry in receipt.rejected if entry.outcome in UNDECODABLE]
    _check_failures(_failures(plan) + len(rejected), index.rows, rejected[:_SHOWN], config)
