"""The shards of a plan that are not there yet: told beforehand, written in rounds, counted afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from hfbucket.config import Config
from hfbucket.core.card.numbers import size
from hfbucket.core.chunks import rows_where
from hfbucket.core.events import Notice, OnEvent
from hfbucket.core.outcomes import CODE, OUTCOMES, UNDECODABLE
from hfbucket.core.plan.model import Plan
from hfbucket.errors import BuildError, PlanMismatchError, TooManyFailuresError
from hfbucket.io.index_files import Index
from hfbucket.io.places import below, free_bytes, in_order, present, sizes
from hfbucket.io.receipts import Receipt, read_receipt, receipt_file
from hfbucket.stages.care import Care, workers_for
from hfbucket.stages.rounds import run_rounds
from hfbucket.stages.write.shard import write_shard
from hfbucket.stages.write.spool import needs_spool, spool_units
from hfbucket.stages.write.task import ShardTask

__all__ = ["announce", "check_plan", "check_written", "receipts_of", "write_pending"]

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
    """Spool what must be, then write the shards that have no receipt."""
    job = pending[0].job
    if needs_spool(index, job.work):
        numbers = {task.number for task in pending}
        rows = [members for number, (_, _, members) in enumerate(plan.shard_rows()) if number in numbers]
        spool_units(index, np.concatenate(rows), job.work, job.config, on_event=on_event)
    needed, free = sum(task.planned_bytes for task in pending), free_bytes(job.export)
    if free is not None and needed > free:
        text = f"about {size(needed)} are to be written, {job.export} has {size(free)} free"
        on_event(Notice(level="warning", text=text))
    workers = workers_for(job.config, [*(indexed.unit.url for indexed in index.units), str(job.export)], limited=True)
    # Tasks of sources in memory run in this very process, which no image may end, unless that was asked for.
    care = Care.CHILD if workers.are_none and job.config.workers != 0 else Care.NONE
    # The longest first: no core waits for it at the end.
    pending = [replace(task, care=care) for task in sorted(pending, key=lambda task: -task.planned_bytes)]
    counts = [task.samples for task in pending]
    done = sum(task.samples for task in tasks) - sum(counts)
    run_rounds(
        write_shard,
        pending,
        counts,
        name=lambda task: task.file,
        stage="write",
        workers=workers,
        on_event=on_event,
        done=done,
        careful=lambda task, last: replace(task, care=Care.ALONE if last else Care.CHILD),
    )


def receipts_of(tasks: Sequence[ShardTask]) -> list[Receipt | None]:
    """Return the receipts of the tasks that are done: of these very tasks, with their shards there at their sizes."""
    if not tasks:
        return []
    job = tasks[0].job
    is_there, size_of = present(job.work.receipts), sizes(job.export)

    def receipt_of(task: ShardTask) -> Receipt | None:
        place = receipt_file(job.work.receipts, task.file)
        receipt = read_receipt(place) if is_there(below(place, job.work.receipts)) else None
        if receipt is None or receipt.task_sha256 != task.task_sha256:
            return None
        return receipt if size_of(task.file) == receipt.size_bytes else None

    return list(in_order(receipt_of, tasks, at=job.work.receipts))


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
