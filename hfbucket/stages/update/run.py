"""Update: what is new in the sources is appended to a finished export; nothing that is there is written again.

The new shards are written beside the export, each with its receipt, so a kill costs what was under way; then the export
changes as by any other change.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from hfbucket.config import Config
from hfbucket.core.card.numbers import plural
from hfbucket.core.card.words import changed_words, with_words
from hfbucket.core.events import Notice, OnEvent, ignore
from hfbucket.core.law.buckets import scaled_buckets
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.outcomes import EXPORTED, OUTCOMES
from hfbucket.core.plan.growth import HELD, Growth, Known, grow
from hfbucket.core.plan.model import Plan
from hfbucket.core.plan.rows import Rows
from hfbucket.core.plan.standing import Standing
from hfbucket.errors import BuildError, ConfigError, SourceError
from hfbucket.io.images.encode import versions
from hfbucket.io.index_files import Index
from hfbucket.io.moves import link_or_copy
from hfbucket.io.places import remove_tree
from hfbucket.io.receipts import Receipt
from hfbucket.io.store import is_local, local_path
from hfbucket.stages.captions import choice_for
from hfbucket.stages.card import update_card
from hfbucket.stages.change.apply import OpenExport, local_folder, open_export_for_change
from hfbucket.stages.change.ending import check_templates, counted, end_change
from hfbucket.stages.plan import make_plan, read_protos
from hfbucket.stages.rounds import disk_told
from hfbucket.stages.update.known import held, listed, meta_keys, named, read_known
from hfbucket.stages.update.manifest import grown_manifest
from hfbucket.stages.update.tables import LedgerChange, grown_samples
from hfbucket.stages.write.done import receipts_of
from hfbucket.stages.write.inputs import Inputs, read_inputs
from hfbucket.stages.write.pending import announce, check_plan, check_written, write_pending
from hfbucket.stages.write.places import UPDATE
from hfbucket.stages.write.tasks import make_job, write_tasks
from hfbucket.stages.write.work import Work, only_one, work_beside

__all__ = ["update"]

_SHOWN: Final = 3
_COMMAND: Final = "build --update"


@disk_told(BuildError)
def update(
    sources: Sequence[str], output: str | os.PathLike[str], config: Config, *, on_event: OnEvent = ignore
) -> Manifest:
    """Append what is new in the sources to a finished export, and return its manifest.

    Args:
        sources: `PATH` or `name=PATH`, in order.
        output: folder of the export.
        config: the settings that it was built with.

    Raises:
        SourceError: a source is empty, contradicts itself, or has other images under ids that the export knows.
        PlanMismatchError: other settings than the export there was built with.
        TooManyFailuresError: too many images cannot be decoded.
        ChangeError: the export cannot be changed.
        BuildError: disk full, permission denied, a source is gone, or another build is at work here.
    """
    if config.overwrite:
        raise ConfigError("update adds to what is there, overwrite starts anew; give one of them")
    if config.expect_plan is not None:
        raise ConfigError("expect_plan is of all that the sources hold, an update only adds what is new; leave it away")
    if not is_local(os.fspath(output)):
        local_folder(output)  # which says what to do
    export = Path(local_path(os.fspath(output)))
    inputs = read_inputs(sources, export, _work(export, config), config, on_event=on_event)
    templates = inputs.templates if config.template else None
    with ExitStack() as stack:
        opened = stack.enter_context(open_export_for_change(export, command=_COMMAND, on_event=on_event))
        if inputs.work.folder != opened.work.folder:
            stack.enter_context(only_one(inputs.work))
        check_templates(opened, templates)
        manifest = _grown(opened, inputs, on_event)
        if manifest is not None:
            on_event(Notice(level="info", text=f"{inputs.export}: {manifest.history[-1].what}"))
        for folder in (inputs.work.update, *inputs.work.passing):
            remove_tree(folder)
    if manifest is None:
        on_event(Notice(level="info", text=f"nothing is new for {inputs.export}; nothing was written"))
        manifest = opened.manifest
        if changed_words(manifest, with_words(manifest, inputs.words)):
            manifest, _ = update_card(opened.folder, inputs.words, templates)
    return manifest


def _work(export: Path, config: Config) -> Work[Path]:
    """Return the work folder of an update: on this machine, as the export is.

    Raises:
        ConfigError: another one is asked for.
    """
    if config.work_dir is None:
        return work_beside(export)
    if not is_local(config.work_dir):
        raise ConfigError(f"an update works on this machine, got work_dir {config.work_dir}; name a folder here")
    return Work(folder=Path(local_path(config.work_dir)))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Planned:
    """How the sources stand to the export, and what is added."""

    known: Known
    growth: Growth
    plan: Plan


def _grown(opened: OpenExport, inputs: Inputs[Path], on_event: OnEvent) -> Manifest | None:
    """Add what is new and return the manifest; None where nothing is."""
    planned = _plan(opened, inputs, on_event)
    _tell(opened, inputs, planned, on_event)
    receipts = _write(opened, inputs, planned.plan, on_event)
    ledger = LedgerChange(
        index=inputs.index,
        plan=planned.plan,
        growth=planned.growth,
        known=planned.known,
        receipts=receipts,
        dedupe=inputs.config.dedupe,
    )
    if not ledger.coming.total():
        return None
    samples, totals = grown_samples(opened.folder, opened.new, opened.manifest, receipts, inputs.work.receipts)
    parts = ledger.write(opened.folder, opened.new)
    manifest = grown_manifest(opened.manifest, inputs, planned.plan, receipts, ledger, totals)
    shards = [receipt.file for receipt in receipts if receipt.count]
    for file in shards:
        (opened.new / file).parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(inputs.work.update / file, opened.new / file)
    return end_change(
        opened,
        with_words(counted(manifest, samples, totals), inputs.words),
        what=_what(opened.manifest, planned, ledger),
        shards=shards,
        ledger=[table.file for table in parts],
        templates=inputs.templates,
    )


def _plan(opened: OpenExport, inputs: Inputs[Path], on_event: OnEvent) -> _Planned:
    known = read_known(opened.folder, opened.manifest)
    config = inputs.config
    buckets = scaled_buckets(config.base, read_protos(config), config.divisible)
    grown: list[Growth] = []

    def standing(rows: Rows) -> Standing:
        grown.append(grow(rows, listed(inputs.index, known), known))
        _check_sources(opened.manifest, inputs.index, grown[0], on_event)
        return grown[0].standing(*held(opened.manifest, buckets))

    plan = make_plan(inputs.index, config, standing=standing, on_event=on_event, copies=inputs.work.copies)
    check_plan(inputs.index, plan, config)
    return _Planned(known=known, growth=grown[0], plan=plan)


def _check_sources(manifest: Manifest, index: Index, growth: Growth, on_event: OnEvent) -> None:
    """Refuse a source that the export does not know and that has other images under ids it knows.

    Raises:
        SourceError: names one of them.
    """
    known = {source.name for source in manifest.sources}
    for number, spec in enumerate(index.sources):
        if spec.name in known:
            continue
        mine = np.array([unit.unit.source == number for unit in index.units])
        other = growth.changed[mine[index.unit_of(growth.changed)]]
        if len(other):
            shown = index.take(other[:1], ("image_id",))["image_id"][0].as_py()
            raise SourceError(
                f"source {spec.name!r} is new to the export and has another image under an id that is there, {shown!r} "
                f"({len(other):,} in all); put a name before its ids, as in more={spec.url}"
            )
        same = np.flatnonzero(growth.state == HELD)
        same = same[mine[index.unit_of(same)]]
        if len(same):
            text = f"source {spec.name!r} is new to the export; {len(same):,} of its images are there by id and size"
            on_event(Notice(level="warning", text=f"{text}, and are taken for the same"))


def _tell(opened: OpenExport, inputs: Inputs[Path], planned: _Planned, on_event: OnEvent) -> None:
    """Name what is gone from the sources, or changed there, and what else a user should know."""
    growth = planned.growth
    if len(growth.gone):
        names = named(opened.folder, opened.manifest, growth.gone[:_SHOWN])
        _warn(len(growth.gone), "gone from the sources", names, on_event)
    if len(growth.changed):
        taken = inputs.index.take(growth.changed[:_SHOWN], ("image_id",))["image_id"]
        _warn(len(growth.changed), "changed in the sources", taken.to_pylist(), on_event)
    generator = opened.manifest.generator
    others = [
        f"{name} {written}, here is {installed}"
        for name, installed in versions().items()
        if generator is not None and (written := getattr(generator, name)) != installed
    ]
    if others and len(planned.plan.members):
        text = (
            f"the export was encoded with {' and '.join(others)}: new images get other bytes than they would have then"
        )
        on_event(Notice(level="warning", text=text))


def _warn(count: int, what: str, names: Sequence[str], on_event: OnEvent) -> None:
    shown = ", ".join([*map(repr, names), *(["…"] if count > len(names) else [])])
    on_event(Notice(level="warning", text=f"{what}, kept in the export as it is: {count:,} ({shown})"))


def _write(opened: OpenExport, inputs: Inputs[Path], plan: Plan, on_event: OnEvent) -> list[Receipt]:
    """Write the new shards aside, as far as they are not there; return their receipts."""
    aside = inputs.work.update
    aside.mkdir(parents=True, exist_ok=True)
    job = make_job(inputs.index, inputs.config, choice_for(inputs.index, inputs.config), aside, inputs.work)
    keys = meta_keys(opened.folder, opened.manifest)
    tasks = write_tasks(inputs.index, plan, replace(job, meta_keys=keys), inputs.settings)
    pending = [task for task, receipt in zip(tasks, receipts_of(tasks), strict=True) if receipt is None]
    if pending:
        if lost := sorted({*job.meta_keys} - {*keys}):
            text = f"metadata that the export has not got is left out of new samples, too: {', '.join(lost)}"
            on_event(Notice(level="warning", text=text))
        announce(plan, tasks, pending, on_event)
        write_pending(inputs.index, plan, tasks, pending, on_event)
    receipts = [receipt for receipt in receipts_of(tasks) if receipt is not None]
    check_written(receipts, tasks, inputs.index, plan, inputs.config)
    return receipts


def _what(old: Manifest, planned: _Planned, ledger: LedgerChange) -> str:
    """Return what the history says: which generation of the export this is, and what it brought."""
    generation = 2 + sum(entry.what.startswith(UPDATE) for entry in old.history)
    added = ledger.coming[OUTCOMES[EXPORTED]]
    left_out = ledger.new.total() - ledger.new[OUTCOMES[EXPORTED]]
    told = (
        f"{added} {plural('image', added)} added",
        f"{left_out} new {plural('input', left_out)} left out",
        f"{len(planned.growth.gone)} gone from the sources",
        f"{len(planned.growth.changed)} changed there",
    )
    return f"{UPDATE}: generation {generation}, {', '.join(told)}"
