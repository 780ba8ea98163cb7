"""The manifest of an export that has grown: what it said before, and what came to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hfbucket import __version__
from hfbucket.core.duplicates.words import added, counted
from hfbucket.core.manifest.model import BucketEntry, Captions, Generator, Manifest, Shard, SourceEntry
from hfbucket.core.manifest.plain import GENERATOR
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.core.plan.caption_facts import caption_sources, captions_entry
from hfbucket.core.plan.growth import NEW
from hfbucket.core.plan.model import Plan
from hfbucket.io.images.encode import versions
from hfbucket.io.receipts import Receipt
from hfbucket.stages.captions import choice_for
from hfbucket.stages.change.ending import with_shards
from hfbucket.stages.update.tables import LedgerChange
from hfbucket.stages.write.finish import conversions_of, source_entries
from hfbucket.stages.write.fold import Totals
from hfbucket.stages.write.inputs import Inputs

__all__ = ["grown_manifest"]


def grown_manifest(
    old: Manifest,
    inputs: Inputs[Path],
    plan: Plan,
    receipts: Sequence[Receipt],
    ledger: LedgerChange,
    totals: Totals,
) -> Manifest:
    """Return the manifest, still without its tables and what the samples add up to."""
    captions, said = _captions(old, inputs, totals)
    return replace(
        old,
        generator=Generator(name=GENERATOR, version=__version__, **versions()),
        captions=captions,
        caption_sources=said,
        sources=_sources(old, inputs, ledger),
        buckets=_buckets(old, receipts),
        statistics=_statistics(old, inputs, plan, receipts, ledger),
        summary=_summary(old, inputs, ledger),
    )


def _captions(old: Manifest, inputs: Inputs[Path], totals: Totals) -> tuple[Captions, tuple[Mapping[str, Any], ...]]:
    """Return the caption variants and their sources: those there are now, and those only older samples have."""
    choice = choice_for(inputs.index, inputs.config)
    now = caption_sources(choice, inputs.index.captions.sources if inputs.index.captions is not None else ())
    by_id = {str(source.get("id")): source for source in (*old.caption_sources, *now)}
    said = tuple(by_id[name] for name in sorted(by_id, key=lambda name: name.encode("utf-8", "surrogatepass")))
    older = tuple(v.name for v in old.captions.variants if v.name not in choice.universe)
    choice = replace(choice, universe=(*choice.universe, *older))
    captions = captions_entry(
        choice,
        said,
        with_ok={name: totals.with_ok(name) for name in choice.universe},
        selected=totals.selected,
        missing_policy=old.captions.missing_policy,
    )
    return captions, said


def _sources(old: Manifest, inputs: Inputs[Path], ledger: LedgerChange) -> tuple[SourceEntry, ...]:
    """Return the sources: those given again as they are now, others as they were; images seen are those ever seen."""
    entries = {source.name: source for source in old.sources}
    starts = inputs.index.starts.tolist()
    is_new = ledger.growth.state == NEW
    for number, entry in enumerate(source_entries(inputs.index)):
        units = [at for at, unit in enumerate(inputs.index.units) if unit.unit.source == number]
        new = sum(int(is_new[starts[at] : starts[at + 1]].sum()) for at in units)
        before = entries[entry.name].images_seen if entry.name in entries else 0
        entries[entry.name] = replace(entry, images_seen=(before or 0) + new)
    return tuple(entries.values())


def _buckets(old: Manifest, receipts: Sequence[Receipt]) -> dict[str, BucketEntry]:
    new: dict[str, list[Shard]] = {}
    for receipt in receipts:
        if receipt.count:
            shard = Shard(file=receipt.file, count=receipt.count, bytes=receipt.size_bytes, sha256=receipt.sha256)
            new.setdefault(receipt.file.split("/")[1], []).append(shard)
    return {
        bucket_id: with_shards(entry, (*entry.shards, *new[bucket_id])) if bucket_id in new else entry
        for bucket_id, entry in old.buckets.items()
    }


def _statistics(
    old: Manifest, inputs: Inputs[Path], plan: Plan, receipts: Sequence[Receipt], ledger: LedgerChange
) -> dict[str, Any]:
    """Return the statistics with what the new shards add to counts that samples do not tell."""
    statistics = dict(old.statistics)
    if "conversions" in statistics:
        new = conversions_of(receipts)
        statistics["conversions"] = {
            name: count + new.get(name, 0) for name, count in statistics["conversions"].items()
        }
    if inputs.config.dedupe != "none":
        removed = ledger.coming["duplicates_removed"]
        new_twins = counted(plan.twins, removed, inputs.config.dedupe, inputs.config.near_threshold)
        statistics["duplicates"] = added(statistics.get("duplicates", {}), new_twins)
    return statistics


def _summary(old: Manifest, inputs: Inputs[Path], ledger: LedgerChange) -> dict[str, int]:
    counts = {name: old.summary[name] + ledger.coming[name] - ledger.going[name] for name in OUTCOMES}
    ignored = sum(inputs.index.facts(number).ignored_members for number in range(len(inputs.index.sources)))
    return {
        **old.summary,
        "images_seen": old.summary["images_seen"] + ledger.new.total(),
        **counts,
        "ignored_members": max(old.summary.get("ignored_members", 0), ignored),
    }
