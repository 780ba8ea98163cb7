"""The build stage: index, plan, tasks, shards, end. Killed at any point, the same call goes on from there."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from hfbucket.config import Config
from hfbucket.core.events import Notice, OnEvent, ignore
from hfbucket.core.hashing import canonical_json, sha256_of
from hfbucket.core.keys import CARD, CROISSANT, MANIFEST
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.plan.model import Plan
from hfbucket.errors import BuildError
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.places import Place, matching, place_of, remove_temporaries, remove_tree, size_bytes, write_bytes
from hfbucket.io.receipts import receipt_file
from hfbucket.stages.caches import cache_folder
from hfbucket.stages.captions import choice_for
from hfbucket.stages.plan import make_plan
from hfbucket.stages.rounds import disk_told
from hfbucket.stages.write.done import receipts_of
from hfbucket.stages.write.inputs import Inputs, read_inputs
from hfbucket.stages.write.pending import announce, check_plan, check_written, write_pending
from hfbucket.stages.write.places import check_laid_out_at_once, check_settings, clear, retire, written_folders
from hfbucket.stages.write.task import Job, ShardTask
from hfbucket.stages.write.tasks import make_job, write_tasks
from hfbucket.stages.write.work import Work, only_one, work_of


@disk_told(BuildError)
def build(
    sources: str | Sequence[str],
    output: str | os.PathLike[str],
    config: Config | None = None,
    *,
    on_event: OnEvent = ignore,
) -> Manifest:
    """Write an export, or go on with one, and return its manifest. Adding to a finished one is `stages.update`'s work.

    Args:
        sources: `PATH` or `name=PATH`, in order; one alone may be given as text.
        output: folder of the export, on this machine or at any fsspec URL.
        config: the settings; without it the defaults.

    Raises:
        SourceError: a source is empty, contradicts itself, or lies inside the output or around it.
        PlanMismatchError: not the plan that was expected, or other settings than the export there was built with; or
            that export came about in several steps, and building it anew would undo them.
        TooManyFailuresError: too many images cannot be decoded.
        BuildError: disk full, permission denied, a source is gone, or another build is at work here.
    """
    sources = (sources,) if isinstance(sources, str) else tuple(sources)
    config = config or Config()
    export = place_of(output)
    work = work_of(export, config.work_dir)
    inputs = read_inputs(sources, export, work, config, on_event=on_event)
    config = inputs.config
    check_laid_out_at_once(export, overwrite=config.overwrite)
    plan = make_plan(inputs.index, config, on_event=on_event, copies=work.copies)
    check_plan(inputs.index, plan, config)
    with only_one(work, cache_folder(config) / "locks"):
        if check_settings(export, work, inputs.settings, overwrite=config.overwrite):
            clear(export, work)
        if isinstance(export, Path):
            export.mkdir(parents=True, exist_ok=True)
        remove_temporaries(*written_folders(export, work))
        write_bytes(work.settings, canonical_json(inputs.settings).encode("utf-8"))
        job = make_job(inputs.index, config, choice_for(inputs.index, config), export, work)
        manifest = _build(inputs, plan, job, on_event)
        for folder in work.passing:
            remove_tree(folder)
        return manifest


def _build(inputs: Inputs[Place], plan: Plan, job: Job, on_event: OnEvent) -> Manifest:
    export, work, index, settings = inputs.export, inputs.work, inputs.index, inputs.settings
    tasks = write_tasks(index, plan, job, settings)
    # Words that a card was given since stay, unless this call gives others.
    card = {"words": asdict(inputs.words), "templates": inputs.templates}
    key = sha256_of({"plan": plan.plan_id, "tasks": [[t.file, t.task_sha256] for t in tasks], **card})
    _forget_changed(export, work)
    pending = [task for task, receipt in zip(tasks, receipts_of(tasks), strict=True) if receipt is None]
    if not pending and (done := _finished(export, work, key)) is not None:
        on_event(Notice(level="info", text=f"{export} is complete already; nothing was written"))
        return done
    announce(plan, tasks, pending, on_event)
    retire(export, work)
    if pending:
        with _finish_imported():
            write_pending(index, plan, tasks, pending, on_event)
    receipts = [receipt for receipt in receipts_of(tasks) if receipt is not None]
    check_written(receipts, tasks, index, plan, job.config)
    _forget_others(work, tasks)
    from hfbucket.stages.write.finish import Built, finish  # see `_finish_imported`

    built = Built(index=index, plan=plan, job=job, settings=settings, receipts=receipts)
    manifest = finish(built, inputs.words, inputs.templates, on_event=on_event)
    write_bytes(work.finished, json.dumps({"key": key, "content_sha256": manifest.content_sha256}).encode())
    work.previous.unlink(missing_ok=True)
    return manifest


@contextmanager
def _finish_imported() -> Iterator[None]:
    """Import what the end of a build takes, cards above all, while this process waits for its workers, not before."""
    thread = threading.Thread(target=import_module, args=("hfbucket.stages.write.finish",))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _forget_changed(export: Place, work: Work[Place]) -> None:
    """Delete the receipts of an export that is not any more what they were written for.

    A change of the export knows the work folder beside it, and drops what no longer holds there; this is for others.
    """
    if not work.finished.exists() or not (export / MANIFEST).exists():
        return
    if json.loads(work.finished.read_bytes())["content_sha256"] != read_manifest(str(export)).content_sha256:
        remove_tree(work.receipts)
        work.finished.unlink()


def _forget_others(work: Work[Place], tasks: Sequence[ShardTask]) -> None:
    """Delete receipts of shards that the plan has no more; finishing deletes the shards themselves."""
    known = {receipt_file(work.receipts, task.file) for task in tasks}
    for path in matching(work.receipts, "*/*.parquet"):
        if path not in known:
            path.unlink()


def _finished(export: Place, work: Work[Place], key: str) -> Manifest | None:
    """Return the manifest of an export that is already what this build would write."""
    if not work.finished.exists() or not all((export / name).exists() for name in (MANIFEST, CARD, CROISSANT)):
        return None
    stated = json.loads(work.finished.read_bytes())
    manifest = read_manifest(str(export))
    tables = ((export / file.file, file.bytes) for file in manifest.small_files)
    whole = all(path.exists() and size_bytes(path) == expected for path, expected in tables)
    same = stated == {"key": key, "content_sha256": manifest.content_sha256}
    return manifest if same and whole and bool(matching(export, "ledger/part-*.parquet")) else None
