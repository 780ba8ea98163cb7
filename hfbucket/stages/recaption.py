"""Another selection among captions for a finished export: only `.txt` and `.json` members change, images stay put."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.config import Config
from hfbucket.core.events import Notice, OnEvent, ignore
from hfbucket.core.key_sets import is_among, keys_of, values_of
from hfbucket.core.manifest.model import Manifest, Shard
from hfbucket.core.manifest.plain import seal
from hfbucket.core.manifest.settings import manifest_fields
from hfbucket.core.outcomes import EXPORTED, OUTCOMES
from hfbucket.core.plan.caption_facts import caption_sources, captions_entry
from hfbucket.core.removal import known_conversions
from hfbucket.errors import ChangeError, ConfigError
from hfbucket.io.arrow import give_back
from hfbucket.io.card_templates import read_templates
from hfbucket.io.export_files import ledger_parts
from hfbucket.io.journal import refuse_unfinished
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.receipts import read_samples
from hfbucket.io.tables import read_groups, table_writer
from hfbucket.schemas import LEDGER, SAMPLES
from hfbucket.stages.change.apply import OpenExport, check_changeable, local_folder, open_export_for_change
from hfbucket.stages.change.ending import check_templates, counted, end_change, with_shards
from hfbucket.stages.change.reselect import NO_CAPTION, SETTINGS, Found, Selection, reselected_shards, selection_of
from hfbucket.stages.change.shards import PLACED, REWRITTEN, ShardChange, moved, rewrite_shards
from hfbucket.stages.write.fold import Totals, write_parts

__all__ = ["SETTINGS", "Recaptioned", "recaption"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recaptioned:
    """What another selection changes, or in a dry run would change."""

    #: The export as it is afterwards; after a dry run as it was.
    folder: str
    export_id: str
    #: Images whose caption, or where it comes from, is another one.
    captions: int
    #: Shards that hold one, and how many bytes they have; those that are left without images go.
    shards: int
    shards_bytes: int
    shards_gone: int
    #: Images whose caption is gone: they stay with an empty one, or are dropped.
    lost: int
    dropped: int
    #: Inputs that were left out for want of a caption and have one now: only a build takes them in.
    waiting: int
    #: Images by the variant that is selected.
    selected: Mapping[str, int]
    #: The export was what it would become.
    unchanged: bool
    dry_run: bool


def recaption(
    export: str | os.PathLike[str],
    config: Config,
    *,
    output: str | os.PathLike[str] | None = None,
    drop_missing: bool = False,
    dry_run: bool = False,
    on_event: OnEvent = ignore,
) -> Recaptioned:
    """Select captions anew in a finished export, and return what that changed.

    What is exported, and where it stands, stays. The result is the export that a build with these settings writes,
    where that exports the same images; all of its files but for times and history. Killed at any point, the export is
    the old one, or one that the same call brings to its end.

    Args:
        export: its folder on this machine.
        config: `captions`, `priority`, `select`, `weights`, `caption_seed`, `min_caption_chars`, `missing_caption`
            (`empty` keeps images whose caption is gone), `template` and `workers`; other settings stay the export's.
        output: folder of a new export that this one stays beside; unchanged files become links to this one's.
        drop_missing: images without a caption go out of the export, as `skipped_no_caption`.
        dry_run: only count.

    Raises:
        ChangeError: captions would go missing, a file is damaged, or the export cannot be changed.
        ConfigError: the settings do not fit one another or the variants there are.
        WorkspaceError: the workspace cannot be read.
        FormatError: there is no finished export.
        BuildError: a build is at work here, or the disk is full.
    """
    if config.captions is None and not config.priority:
        raise ConfigError("give the captions to choose from with --captions WORKSPACE, or --priority NAME,…")
    if drop_missing and config.missing_caption in ("empty", "error"):
        raise ConfigError(
            f"--drop-missing and --missing-caption {config.missing_caption} are opposites; give one of them"
        )
    if dry_run:
        folder = local_folder(export)
        refuse_unfinished(folder)
        manifest = read_manifest(folder)
        check_changeable(folder, manifest)
        with selection_of(manifest, config, drop_missing) as selection:
            found = Found()
            for _ in reselected_shards(folder, manifest, selection, found, on_event):
                pass
            return _report(folder, manifest, selection, found, dry_run=True)
    with open_export_for_change(export, command="recaption", output=output, on_event=on_event) as opened:
        templates = read_templates(config) if config.template is not None else None
        check_templates(opened, templates)
        with selection_of(opened.manifest, config, drop_missing) as selection:
            return _apply(opened, selection, config.workers, templates, on_event)


def _report(folder: Path, manifest: Manifest, selection: Selection, found: Found, *, dry_run: bool) -> Recaptioned:
    if found.images_dropped == sum(entry.count for entry in manifest.buckets.values()):
        raise ChangeError("no image would have a caption: nothing would be left of the export")
    sizes = {shard.file: shard.bytes or 0 for entry in manifest.buckets.values() for shard in entry.shards}
    changes = found.changes
    written = [file for file, count in changes.items() if count]
    return Recaptioned(
        folder=str(folder),
        export_id=manifest.export_id or "",
        captions=found.captions,
        shards=len(written),
        shards_bytes=sum(sizes[file] for file in written),
        shards_gone=len(changes) - len(written),
        lost=found.lost,
        dropped=found.images_dropped,
        waiting=selection.waiting(folder),
        selected=dict(found.selected.most_common()),
        unchanged=False,
        dry_run=dry_run,
    )


def _apply(
    opened: OpenExport,
    selection: Selection,
    workers: int | None,
    templates: Mapping[str, str] | None,
    on_event: OnEvent,
) -> Recaptioned:
    old, found, changes = opened.manifest, Found(), []
    rows = opened.scratch / "rows.parquet"
    with table_writer(rows, REWRITTEN, flush=False) as writer:
        number = 0
        for shard, pieces in groupby(reselected_shards(opened.folder, old, selection, found, on_event), itemgetter(0)):
            first = number
            for _, table in pieces:
                if len(table):
                    writer.write_table(table, row_group_size=len(table))
                    number += 1
            count = found.kept[shard.file]
            if shard.file in found.changed and count:
                changes.append(ShardChange(shard=shard, count=count, row_groups=range(first, number)))
    report = replace(_report(opened.folder, old, selection, found, dry_run=False), folder=str(opened.target))
    said = () if selection.workspace is None else selection.workspace.sources()
    if selection.workspace is not None:
        selection.workspace.close()  # with the memory that it keeps pages in
        give_back()
    written = rewrite_shards(opened, changes, rows=rows, workers=workers, on_event=on_event)
    totals = Totals()
    samples = write_parts(opened.new, "samples", SAMPLES, _rows(opened, rows, written, totals))
    ledger = _ledger(opened, found.dropped)
    manifest = counted(_changed(old, written, found), samples, totals)
    sources = caption_sources(selection.choice, said)
    captions = captions_entry(
        selection.choice,
        sources,
        with_ok={name: totals.with_ok(name) for name in selection.choice.universe},
        selected=totals.selected,
        missing_policy=str(selection.settings["missing_caption"]),
    )
    settings = manifest_fields(selection.settings)["settings"]
    manifest = replace(manifest, captions=captions, caption_sources=sources, settings=settings)
    if opened.target == opened.folder and seal(manifest).content_sha256 == old.content_sha256:
        on_event(Notice(level="info", text=f"{opened.folder} has this selection already; nothing was written"))
        return replace(report, unchanged=True)
    manifest = end_change(opened, manifest, what="recaption", shards=tuple(written), ledger=ledger, templates=templates)
    return replace(report, export_id=manifest.export_id or "")


def _rows(opened: OpenExport, rows: Path, written: Mapping[str, Shard], totals: Totals) -> Iterator[pa.Table]:
    """Yield the new sample tables, some rows of a shard at a time."""
    places, shard = pa.table({}), ""
    for table in read_groups(rows, SAMPLES.names):
        file = table["shard"][0].as_py()
        if file in written:
            places = pa.concat_tables(read_samples(opened.scratch, file, PLACED)) if file != shard else places
            table = moved(table, places[: len(table)])
            places, shard = places[len(table) :], file
        totals.add(table)
        yield table


def _ledger(opened: OpenExport, dropped: bytearray) -> tuple[str, ...]:
    """Write the ledger with the images that are dropped; return its parts, none where nothing is, or there is none."""
    parts = ledger_parts(opened.folder) if dropped else []
    gone = np.sort(values_of(dropped))

    def tables() -> Iterator[pa.Table]:
        for part in parts:
            for group in read_groups(part, LEDGER.names):
                hit = pa.array(is_among(keys_of(group["image_id"]), gone))
                exported = pc.equal(group["outcome"], OUTCOMES[EXPORTED])
                outcome = pc.if_else(pc.and_(hit, exported), NO_CAPTION, group["outcome"])
                yield pa.table([group["image_id"], outcome, group["detail"]], schema=LEDGER)

    return tuple(table.file for table in write_parts(opened.new, "ledger", LEDGER, tables())) if parts else ()


def _changed(old: Manifest, written: Mapping[str, Shard], found: Found) -> Manifest:
    """Return the manifest with the shards, summary and conversions as they are now."""
    changes = found.changes
    buckets = {
        bucket_id: with_shards(
            entry, [written.get(s.file, s) for s in entry.shards if changes.get(s.file, 1)]
        )
        for bucket_id, entry in old.buckets.items()
    }  # fmt: skip
    if not found.dropped:
        return replace(old, buckets=buckets)
    moved = {OUTCOMES[EXPORTED]: -found.images_dropped, NO_CAPTION: found.images_dropped}
    summary = {name: count + moved.get(name, 0) for name, count in old.summary.items()}
    statistics = {**old.statistics}
    if "conversions" in statistics:
        statistics["conversions"] = known_conversions(statistics["conversions"])
    return replace(old, buckets=buckets, summary=summary, statistics=statistics)
