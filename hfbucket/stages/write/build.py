"""The build stage: index, plan, tasks, shards, end. Killed at any point, the same call goes on from there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from hfbucket.config import Config
from hfbucket.core.card.numbers import size
from hfbucket.core.card.words import Words
from hfbucket.core.events import Notice, OnEvent, ignore
from hfbucket.core.hashing import canonical_json, sha256_of
from hfbucket.core.keys import CARD, CROISSANT, MANIFEST
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.outcomes import CODE, UNDECODABLE
from hfbucket.core.plan.model import Plan
from hfbucket.core.settings import content_settings
from hfbucket.errors import BuildError, ConfigError, PlanMismatchError, TooManyFailuresError
from hfbucket.io.atomic import remove_temporaries, write_bytes
from hfbucket.io.cards import read_templates, read_words
from hfbucket.io.clock import created
from hfbucket.io.index_files import Index
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.receipts import Receipt, read_receipt, receipt_file
from hfbucket.io.store import is_local, local_path
from hfbucket.stages.captions import choice_for, with_captions, with_priority
from hfbucket.stages.care import Care, workers_for
from hfbucket.stages.index import index_of
from hfbucket.stages.plan import make_plan, read_protos
from hfbucket.stages.rounds import run_rounds
from hfbucket.stages.survey import survey
from hfbucket.stages.write.finish import Built, finish
from hfbucket.stages.write.forward import settle_first
from hfbucket.stages.write.places import check_apart, check_settings, clear, retire, written_folders
from hfbucket.stages.write.shard import write_shard
from hfbucket.stages.write.spool import spool_units
from hfbucket.stages.write.tasks import Job, ShardTask, make_job, write_tasks
from hfbucket.stages.write.work import Work, clear_errors, only_one, work_of

_SHOWN: Final = 3


def build(
    sources: str | Sequence[str],
    output: str | os.PathLike[str],
    config: Config | None = None,
    *,
    on_event: OnEvent = ignore,
) -> Manifest:
    """Write an export, or go on with one, and return its manifest.

    Args:
        sources: `PATH` or `name=PATH`, in order; one alone may be given as text.
        output: folder of the export, on this machine.
        config: the settings; without it the defaults.

    Raises:
        SourceError: a source is empty, contradicts itself, or lies inside the output or around it.
        PlanMismatchError: not the plan that was expected, or other settings than the export there was built with.
        TooManyFailuresError: too many images cannot be decoded.
        BuildError: disk full, permission denied, a source is gone, or another build is at work here.
    """
    sources = (sources,) if isinstance(sources, str) else tuple(sources)
    config = config or Config()
    _check_config(output, config)
    export = Path(local_path(os.fspath(output)))
    work = work_of(export, config.work_dir)
    words, templates = read_words(config), read_templates(config)
    settle_first(export, on_event=on_event)
    found = survey(sources, config, on_event=on_event, check=lambda specs: check_apart(specs, export, work))
    config = with_priority(found.config)
    settings = content_settings(config, read_protos(config))
    check_settings(export, work, settings, overwrite=config.overwrite)
    index = with_captions(index_of(found, on_event=on_event, copies=work.copies), config, on_event=on_event)
    plan = make_plan(index, config, on_event=on_event)
    _check_plan(index, plan, config)
    with clear_errors(), only_one(work):
        if check_settings(export, work, settings, overwrite=config.overwrite):
            clear(export, work)
        export.mkdir(parents=True, exist_ok=True)
        remove_temporaries(*written_folders(export, work))
        write_bytes(work.settings, canonical_json(settings).encode("utf-8"))
        job = make_job(index, config, choice_for(index, config), export, work)
        manifest = _build(index, plan, job, settings, words, templates, on_event)
        for folder in (work.spool, work.copies):
            if folder.exists():
                shutil.rmtree(folder)
        return manifest


def _build(
    index: Index,
    plan: Plan,
    job: Job,
    settings: Mapping[str, Any],
    words: Words,
    templates: Mapping[str, str],
    on_event: OnEvent,
) -> Manifest:
    export, work = Path(job.export), job.work
    tasks = write_tasks(index, plan, job, settings)
    # Words that a card was given since stay, unless this call gives others.
    card = {"words": asdict(words), "templates": templates}
    key = sha256_of({"plan": plan.plan_id, "tasks": [[t.file, t.task_sha256] for t in tasks], **card})
    _forget_changed(export, work)
    pending = [task for task in tasks if _receipt(task) is None]
    if not pending and (done := _finished(export, work, key)) is not None:
        on_event(Notice(level="info", text=f"{export} is complete already; nothing was written"))
        return done
    _announce(plan, tasks, pending, on_event)
    retire(export, work)
    if pending:
        _write_pending(index, plan, tasks, pending, on_event)
        remove_temporaries(*written_folders(export, work))  # of workers that died
    receipts = [receipt for task in tasks if (receipt := _receipt(task)) is not None]
    _check_written(receipts, tasks, index, plan, job.config)
    _forget_others(work, tasks)
    built = Built(index=index, plan=plan, job=job, settings=settings, receipts=receipts)
    manifest = finish(built, words, templates, on_event=on_event)
    write_bytes(work.finished, json.dumps({"key": key, "content_sha256": manifest.content_sha256}).encode())
    work.previous.unlink(missing_ok=True)
    return manifest


def _check_config(output: str | os.PathLike[str], config: Config) -> None:
    if not is_local(os.fspath(output)):
        raise ConfigError(
            f"an export is built in a folder on this machine, got {os.fspath(output)}; build, then push it"
        )
    created()  # a wrong SOURCE_DATE_EPOCH is told now, not when all is written
    if config.sample_units is not None:
        raise ConfigError("sample_units is for plans: a build reads every unit; leave it away")
    if config.format == "bucketed_shards_v1" and len(config.base) > 1:
        raise ConfigError(f"format bucketed_shards_v1 has one base, got {', '.join(map(str, config.base))}")


def _announce(plan: Plan, tasks: Sequence[ShardTask], pending: Sequence[ShardTask], on_event: OnEvent) -> None:
    images, size_bytes = (sum(getattr(task, name) for task in pending) for name in ("samples", "planned_bytes"))
    done = f", {len(tasks) - len(pending):,} are there already" if len(pending) < len(tasks) else ""
    text = f"plan {plan.plan_id}: {len(pending):,} of {len(tasks):,} shards to write{done}"
    on_event(Notice(level="info", text=f"{text}; {images:,} images, about {size(size_bytes)}"))


def _check_plan(index: Index, plan: Plan, config: Config) -> None:
    if config.expect_plan is not None and plan.plan_id != config.expect_plan:
        raise PlanMismatchError(
            f"expected plan {config.expect_plan}, got {plan.plan_id}: sources or settings changed since; look at "
            "`hfbucket plan` again"
        )
    rows = np.flatnonzero(np.isin(plan.outcome, [CODE[name] for name in UNDECODABLE]))
    shown = index.take(rows[:_SHOWN], ("image_id",))["image_id"].to_pylist()
    _check_failures(len(rows), index.rows, shown, config)


def _check_failures(failures: int, seen: int, shown: Sequence[str], config: Config) -> None:
    if failures > config.max_failure_ratio * seen:
        raise TooManyFailuresError(
            f"{failures:,} of {seen:,} images cannot be decoded, such as {', '.join(map(repr, shown))}: more than "
            f"--max-failure-ratio {float(config.max_failure_ratio):g} allows. Look at them, or raise the limit and run "
            "the command again: what is done stays done"
        )


def _write_pending(
    index: Index, plan: Plan, tasks: Sequence[ShardTask], pending: Sequence[ShardTask], on_event: OnEvent
) -> None:
    """Spool what must be, then write the shards that have no receipt."""
    job = pending[0].job
    numbers = {task.row_group for task in pending}
    rows = [members for number, (_, _, members) in enumerate(plan.shard_rows()) if number in numbers]
    spool_units(index, np.concatenate(rows), job.work, job.config, on_event=on_event)
    needed, free = sum(task.planned_bytes for task in pending), shutil.disk_usage(job.export).free
    if needed > free:
        text = f"about {size(needed)} are to be written, {job.export} has {size(free)} free"
        on_event(Notice(level="warning", text=text))
    workers = workers_for(job.config, (indexed.unit.url for indexed in index.units))
    # Tasks of sources in memory run in this very process, which no image may end, unless that was asked for.
    care = Care.CHILD if workers == 0 and job.config.workers != 0 else Care.NONE
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


def _receipt(task: ShardTask) -> Receipt | None:
    """Return the receipt of a task that is done: it is of this very task, and the shard is there at its size."""
    receipt = read_receipt(receipt_file(task.job.work.receipts, task.file))
    if receipt is None or receipt.task_sha256 != task.task_sha256:
        return None
    path = Path(task.job.export, task.file)
    size_bytes = path.stat().st_size if path.exists() else 0
    return receipt if size_bytes == receipt.size_bytes else None


def _check_written(
    receipts: Sequence[Receipt], tasks: Sequence[ShardTask], index: Index, plan: Plan, config: Config
) -> None:
    if len(receipts) != len(tasks):
        raise BuildError(f"{len(tasks) - len(receipts)} shards vanished while they were written; run the command again")
    rejected = [entry.image_id for receipt in receipts for entry in receipt.rejected if entry.outcome in UNDECODABLE]
    before = int(np.isin(plan.outcome, [CODE[name] for name in UNDECODABLE]).sum())
    _check_failures(before + len(rejected), index.rows, rejected[:_SHOWN], config)


def _forget_changed(export: Path, work: Work) -> None:
    """Delete the receipts of an export that is not any more what they were written for.

    A change of the export knows the work folder beside it, and drops what no longer holds there; this is for others.
    """
    if not work.finished.exists() or not (export / MANIFEST).exists():
        return
    if json.loads(work.finished.read_bytes())["content_sha256"] != read_manifest(export).content_sha256:
        shutil.rmtree(work.receipts, ignore_errors=True)
        work.finished.unlink()


def _forget_others(work: Work, tasks: Sequence[ShardTask]) -> None:
    """Delete receipts of shards that the plan has no more; finishing deletes the shards themselves."""
    known = {receipt_file(work.receipts, task.file) for task in tasks}
    for path in sorted(work.receipts.glob("*/*.parquet")):
        if path not in known:
            path.unlink()


def _finished(export: Path, work: Work, key: str) -> Manifest | None:
    """Return the manifest of an export that is already what this build would write."""
    if not work.finished.exists() or not all((export / name).exists() for name in (MANIFEST, CARD, CROISSANT)):
        return None
    stated = json.loads(work.finished.read_bytes())
    manifest = read_manifest(export)
    tables = ((export / file.file, file.bytes) for file in manifest.small_files)
    whole = all(path.exists() and path.stat().st_size == size_bytes for path, size_bytes in tables)
    same = stated == {"key": key, "content_sha256": manifest.content_sha256}
    return manifest if same and whole and any((export / "ledger").glob("part-*.parquet")) else None
