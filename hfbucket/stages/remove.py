"""Taking samples out of a finished export: only shards that hold one are written anew, and nothing tells what it was.

The sample tables say which samples are meant and where they lie, so no shard is read that stays as it is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa

from hfbucket.core.card.numbers import plural
from hfbucket.core.events import Notice, OnEvent, ignore
from hfbucket.core.manifest.model import Manifest, SampleTable, Shard
from hfbucket.core.outcomes import EXPORTED, OUTCOMES
from hfbucket.core.removal import Cut, Int64s, entomb, known_conversions, with_removed
from hfbucket.errors import ChangeError
from hfbucket.io.export_files import ledger_parts
from hfbucket.io.journal import refuse_unfinished
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.places import Place, remove_tree
from hfbucket.io.receipts import receipt_file
from hfbucket.io.tables import read_groups
from hfbucket.schemas import LEDGER, SAMPLES
from hfbucket.stages.change.apply import OpenExport, check_changeable, local_folder, open_export_for_change
from hfbucket.stages.change.ending import check_templates, counted, end_change, with_shards
from hfbucket.stages.change.find import Found, find, wanted
from hfbucket.stages.change.shards import ShardChange, rewrite_shards
from hfbucket.stages.write.fold import Totals, write_parts
from hfbucket.stages.write.work import Work, work_of

__all__ = ["Removal", "remove"]

_IN_PROCESS_BYTES: Final = 256_000_000
"""Below this, starting processes takes longer than the work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """What was taken out, in numbers: what it was is told by nothing that stays."""

    #: The export as it is now.
    export_id: str
    images: int
    #: Inputs that were named and had been left out: they will not be looked at again.
    left_out: int
    #: Ids that were removed before.
    already: int
    #: Ids and hashes that the export does not know.
    unknown: int
    #: Shards that are written anew, and those that held nothing else and go.
    shards_rewritten: int
    shards_gone: int
    #: Images by bucket.
    buckets: Mapping[str, int]
    dry_run: bool


def remove(
    export: str | os.PathLike[str],
    *,
    ids: Iterable[str] = (),
    sha256: Iterable[str] = (),
    where: str | None = None,
    dry_run: bool = False,
    work_dir: str | None = None,
    templates: Mapping[str, str] | None = None,
    workers: int | None = None,
    on_event: OnEvent = ignore,
) -> Removal:
    """Take samples out of a finished export, and out of its work folder; return how many.

    Every sample goes that any of the three conditions names. Killed anywhere, the export is the old one, the new one,
    or one that the same call brings to its end.

    Args:
        export: its folder, on this machine.
        ids: image_ids, or keys of samples.
        sha256: of the sources' encoded bytes, 64 hex digits.
        where: a condition in SQL over the samples, as README explains it.
        dry_run: change nothing.
        work_dir: the work folder of the build, where it is not beside the export.
        templates: of the card, text by file name, where it was made with such.
        workers: processes; None for what the work is worth.

    Raises:
        ConfigError: no condition is given, or one makes no sense.
        ChangeError: nothing would be left, or the export cannot be changed.
    """
    conditions = wanted(ids, sha256, where)
    if dry_run:
        folder = local_folder(export)
        refuse_unfinished(folder)
        manifest = read_manifest(folder)
        check_changeable(folder, manifest)
        return _report(manifest, find(folder, manifest, conditions, on_event=on_event), dry_run=True)
    with open_export_for_change(export, command="remove", on_event=on_event) as opened:
        check_templates(opened, templates)
        found = find(opened.folder, opened.manifest, conditions, on_event=on_event)
        report = _report(opened.manifest, found, dry_run=False)
        if not len(found.keys):
            on_event(Notice(level="info", text=f"nothing of that is in {opened.folder}; nothing was written"))
            return report
        for work in (opened.work, *([work_of(opened.folder, work_dir)] if work_dir else ())):
            _forget(work, found)
        manifest = _take_out(opened, found, templates, workers, on_event)
        return replace(report, export_id=manifest.export_id or "")


def _report(manifest: Manifest, found: Found, *, dry_run: bool) -> Removal:
    """Return the numbers.

    Raises:
        ChangeError: nothing would be left.
    """
    shards = {shard.file: shard.count for entry in manifest.buckets.values() for shard in entry.shards}
    if found.images and found.images == manifest.summary.get(OUTCOMES[EXPORTED]):
        raise ChangeError(f"all {found.images:,} images would go; delete the export instead")
    gone = sum(shards[file] == count for file, count in found.shards.items())
    buckets: Counter[str] = Counter()
    for file, count in found.shards.items():
        buckets[file.split("/")[1]] += count
    return Removal(
        export_id=manifest.export_id or "",
        images=found.images,
        left_out=found.left_out,
        already=found.already,
        unknown=found.unknown,
        shards_rewritten=len(found.shards) - gone,
        shards_gone=gone,
        buckets={bucket_id: buckets[bucket_id] for bucket_id in manifest.buckets if buckets[bucket_id]},
        dry_run=dry_run,
    )


def _forget(work: Work[Place], found: Found) -> None:
    """Delete what a work folder has of images that go; builds make all of it anew where they need it."""
    for file in found.shards:
        receipt_file(work.receipts, file).unlink(missing_ok=True)
    for path in (work.finished, work.previous):
        path.unlink(missing_ok=True)
    for folder in (work.tasks, *work.passing, work.update):
        remove_tree(folder)


def _take_out(
    opened: OpenExport,
    found: Found,
    templates: Mapping[str, str] | None,
    workers: int | None,
    on_event: OnEvent,
) -> Manifest:
    cut, totals = Cut(), Totals()
    samples = write_parts(opened.new, "samples", SAMPLES, _kept(opened, found, cut, totals))
    ledger, former = _entombed(opened, found)
    shards = _rewrite(opened, found, cut.parts, workers, on_event)
    old = opened.manifest
    buckets = {
        bucket_id: with_shards(entry, [s for shard in entry.shards if (s := shards.get(shard.file, shard)) is not None])
        if any(shard.file in shards for shard in entry.shards)
        else entry
        for bucket_id, entry in old.buckets.items()
    }
    statistics = {**old.statistics}
    if "conversions" in statistics and found.images:
        statistics["conversions"] = known_conversions(statistics["conversions"])
    summary = with_removed(old.summary, former)
    manifest = counted(replace(old, buckets=buckets, summary=summary, statistics=statistics), samples, totals)
    _check_sums(manifest, totals)
    return end_change(
        opened,
        manifest,
        what=f"remove: {found.images} {plural('image', found.images)}",
        shards=[file for file, shard in shards.items() if shard is not None],
        ledger=[table.file for table in ledger],
        templates=templates,
    )


def _kept(opened: OpenExport, found: Found, cut: Cut, totals: Totals) -> Iterator[pa.Table]:
    """Yield the rows of the sample tables that stay."""
    for part in opened.manifest.samples:
        keep, start = found.keep.get(part.file), 0
        for group in read_groups(opened.folder / part.file, SAMPLES.names):
            rows = group.cast(SAMPLES)
            # A table that loses nothing may begin with the rest of a shard that does.
            here = np.ones(rows.num_rows, dtype=bool) if keep is None else keep[start : start + rows.num_rows]
            start += rows.num_rows
            rows = cut.rows(rows, here)
            totals.add(rows)
            yield rows


def _entombed(opened: OpenExport, found: Found) -> tuple[tuple[SampleTable, ...], Counter[str]]:
    """Write the ledger with its tombstones; return its parts, and how many inputs had which outcome before."""
    former: Counter[str] = Counter()
    parts = ledger_parts(opened.folder)

    def rows() -> Iterator[pa.Table]:
        for path in parts:
            for group in read_groups(path, LEDGER.names):
                table, outcomes = entomb(group.cast(LEDGER), found.keys)
                former.update(outcomes.to_pylist())
                yield table

    if not parts:
        return (), Counter({OUTCOMES[EXPORTED]: found.images})
    return write_parts(opened.new, "ledger", LEDGER, rows()), former


def _rewrite(
    opened: OpenExport,
    found: Found,
    parts: Mapping[str, Int64s],
    workers: int | None,
    on_event: OnEvent,
) -> dict[str, Shard | None]:
    """Write what stays of the shards that lose samples; return what they are now, None where nothing stays."""
    shards = {shard.file: shard for entry in opened.manifest.buckets.values() for shard in entry.shards}
    changes = [
        ShardChange(shard=shards[file], count=count, parts=runs)
        for file, runs in parts.items()
        if (count := (shards[file].count or 0) - found.shards[file])
    ]
    if workers is None and sum(change.shard.bytes or 0 for change in changes) < _IN_PROCESS_BYTES:
        workers = 0
    return {**dict.fromkeys(parts), **rewrite_shards(opened, changes, workers=workers, on_event=on_event)}


def _check_sums(manifest: Manifest, totals: Totals) -> None:
    """Refuse to write what does not add up.

    Raises:
        ChangeError: the tables and the ledger tell different things.
    """
    exported = manifest.summary[OUTCOMES[EXPORTED]]
    held = sum(entry.count for entry in manifest.buckets.values())
    if not exported == held == sum(totals.modes.values()):
        raise ChangeError(
            f"the export's tables do not agree: {exported:,} images by the ledger, {held:,} by the shards, "
            f"{sum(totals.modes.values()):,} by the sample tables; `hfbucket verify` tells more"
        )
