"""The end of a build: receipts become tables, card and manifest; the manifest last, and only if all adds up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from hfbucket import __version__
from hfbucket.core.card.croissant import croissant_bytes
from hfbucket.core.card.words import Words, changed_words, with_words
from hfbucket.core.conversions import CONVERSIONS
from hfbucket.core.duplicates.words import counted
from hfbucket.core.events import OnEvent
from hfbucket.core.keys import CARD, CROISSANT
from hfbucket.core.manifest.model import (
    BucketEntry,
    Generator,
    HistoryEntry,
    Manifest,
    SampleTable,
    Shard,
    Size,
    SourceEntry,
)
from hfbucket.core.manifest.plain import GENERATOR, seal
from hfbucket.core.manifest.settings import manifest_fields
from hfbucket.core.outcomes import CODE, OUTCOMES
from hfbucket.core.plan.caption_facts import caption_sources, captions_entry
from hfbucket.core.plan.model import Plan
from hfbucket.core.units import SourceSpec
from hfbucket.errors import BuildError
from hfbucket.io.cards import render_card
from hfbucket.io.clock import created
from hfbucket.io.images.encode import versions
from hfbucket.io.index_files import Index
from hfbucket.io.manifest_file import write_manifest
from hfbucket.io.places import Place, write_bytes
from hfbucket.io.receipts import Receipt
from hfbucket.io.store import is_local
from hfbucket.stages.captions import choice_for
from hfbucket.stages.write.assets import write_assets
from hfbucket.stages.write.fold import Totals, write_ledger, write_samples
from hfbucket.stages.write.places import previous_manifest, remove_empty_buckets, unnamed_files
from hfbucket.stages.write.task import Job

_HUB = re.compile(r"hf://datasets/(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?:/|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """All that was planned and written: what finishing folds."""

    index: Index
    plan: Plan
    job: Job
    settings: Mapping[str, Any]
    #: In the order of the plan: by bucket, then shard.
    receipts: Sequence[Receipt]


def finish(built: Built, words: Words, templates: Mapping[str, str], *, on_event: OnEvent) -> Manifest:
    """Write samples, ledger, card and manifest; return the manifest.

    Args:
        templates: of the card, text by file name, in the place of the packaged ones.

    Raises:
        BuildError: the outcomes do not add up to the images seen, or nothing is left to export.
    """
    export, work = built.job.export, built.job.work
    summary = _summary(built)
    samples, totals = write_samples(export, built.receipts, work.receipts, on_event=on_event)
    rejected = [entry for receipt in built.receipts for entry in receipt.rejected]
    ledger = write_ledger(export, built.index, built.plan, rejected, built.job.config.dedupe)
    _check_sums(summary, samples, ledger, totals)
    manifest = _with_words(_manifest(built, summary, samples, totals), words, export, previous_manifest(work))
    previews = {receipt.file.split("/")[1]: receipt.previews for receipt in built.receipts if receipt.previews}
    manifest = replace(manifest, assets=write_assets(export, manifest, previews))
    shards = {shard.file for entry in manifest.buckets.values() for shard in entry.shards}
    for path in list(unnamed_files(export, shards | {file.file for file in (*ledger, *manifest.small_files)})):
        path.unlink()
    remove_empty_buckets(export)
    write_bytes(export / CROISSANT, croissant_bytes(manifest))
    write_bytes(export / CARD, render_card(manifest, templates).encode("utf-8"))
    write_manifest(export, manifest)
    return manifest


def _summary(built: Built) -> dict[str, int]:
    """Return every outcome with its number of images; `images_seen` is counted apart, not summed up."""
    counts = built.plan.images()
    for receipt in built.receipts:
        for entry in receipt.rejected:
            counts[CODE["images_exported"]] -= 1
            counts[CODE[entry.outcome]] += 1
    ignored = sum(built.index.facts(number).ignored_members for number in range(len(built.index.sources)))
    return {
        "images_seen": built.index.rows,
        **dict(zip(OUTCOMES, counts, strict=True)),
        "ignored_members": ignored,
    }


def _check_sums(
    summary: Mapping[str, int], samples: Sequence[SampleTable], ledger: Sequence[SampleTable], totals: Totals
) -> None:
    seen = sum(summary[name] for name in OUTCOMES)
    exported = (sum(table.rows for table in samples), sum(totals.modes.values()))
    listed = sum(table.rows for table in ledger)
    if not seen == summary["images_seen"] == listed or set(exported) != {summary["images_exported"]}:
        raise BuildError(
            f"the outcomes do not add up: {summary['images_seen']} images seen, {seen} with an outcome, {listed} in "
            f"the ledger, {summary['images_exported']} to be exported, {exported[0]} in the sample tables; this is a "
            "fault of hfbucket: please report it"
        )
    if not summary["images_exported"]:
        told = ", ".join(f"{summary[name]} {name}" for name in OUTCOMES if summary[name])
        raise BuildError(f"nothing is left to export: {told}")


def _manifest(built: Built, summary: dict[str, int], samples: tuple[SampleTable, ...], totals: Totals) -> Manifest:
    config, settings = built.job.config, built.settings
    choice = choice_for(built.index, config)
    said = built.index.captions.sources if built.index.captions is not None else ()
    sources = caption_sources(choice, said)
    captions = captions_entry(
        choice,
        sources,
        with_ok={name: totals.with_ok(name) for name in choice.universe},
        selected=totals.selected,
        missing_policy=settings["missing_caption"],
    )
    reencoded = totals.modes["reencode_jpeg"] if config.image_mode == "passthrough_jpeg" else None
    return Manifest(
        **manifest_fields(settings),
        generator=Generator(name=GENERATOR, version=__version__, **versions()),
        captions=captions,
        caption_sources=sources,
        sources=source_entries(built.index),
        buckets=_buckets(built.plan, built.receipts),
        samples=samples,
        statistics={
            **totals.statistics.to_dict(),
            "conversions": conversions_of(built.receipts),
            **_duplicates(built, summary),
        },
        summary=summary,
        reencoded_in_passthrough=reencoded,
    )


def conversions_of(receipts: Sequence[Receipt]) -> dict[str, int]:
    """Return how many images decoding did each of its conversions to."""
    counts = sum((Counter(receipt.notes) for receipt in receipts), Counter())
    return {name: counts[name] for name in CONVERSIONS}


def _duplicates(built: Built, summary: Mapping[str, int]) -> dict[str, Any]:
    """Return how many images went as duplicates of what kind, where they were looked for."""
    config = built.job.config
    if config.dedupe == "none":
        return {}
    removed = summary["duplicates_removed"]
    return {"duplicates": counted(built.plan.twins, removed, config.dedupe, config.near_threshold)}


def _buckets(plan: Plan, receipts: Sequence[Receipt]) -> dict[str, BucketEntry]:
    shards: dict[str, list[Shard]] = {bucket.bucket_id: [] for bucket in plan.buckets}
    for receipt in receipts:
        if receipt.count:
            shard = Shard(file=receipt.file, count=receipt.count, bytes=receipt.size_bytes, sha256=receipt.sha256)
            shards[receipt.file.split("/")[1]].append(shard)
    return {
        bucket.bucket_id: BucketEntry(
            base_resolution=bucket.base,
            proto=Size(w=bucket.proto_w, h=bucket.proto_h),
            scaled=Size(w=bucket.w, h=bucket.h),
            count=sum(shard.count or 0 for shard in shards[bucket.bucket_id]),
            bytes=sum(shard.bytes or 0 for shard in shards[bucket.bucket_id]),
            shards=tuple(shards[bucket.bucket_id]),
        )
        for bucket in plan.buckets
    }


def source_entries(index: Index) -> tuple[SourceEntry, ...]:
    """Return what the manifest says of every source."""
    entries = []
    for number, spec in enumerate(index.sources):
        units = [indexed for indexed in index.units if indexed.unit.source == number]
        repo_id, revision, url = _public_place(spec)
        entry = SourceEntry(
            name=spec.name,
            kind=spec.kind,
            repo_id=repo_id,
            url=url,
            revision=revision,
            units=len(units),
            images_seen=sum(indexed.rows for indexed in units),
            bytes=sum(indexed.unit.size_bytes for indexed in units),
            index_sha256=index.source_sha256(number),
        )
        entries.append(entry)
    return tuple(entries)


def _public_place(spec: SourceSpec) -> tuple[str | None, str | None, str | None]:
    """Return what of a source's url others can use: Hub repo and revision, or url without user, password and query."""
    hub = _HUB.match(spec.url)
    if hub is not None:
        return hub["repo"], hub["revision"], None
    if is_local(spec.url) or spec.url.startswith("memory:"):
        return None, None, None
    parts = urlsplit(spec.url)
    return None, None, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _with_words(manifest: Manifest, words: Words, export: Place, previous: Manifest | None) -> Manifest:
    """Return the manifest with words, times and history; those of the export it replaces go on."""
    if previous is not None:
        kept = ("title", "description", "license", "language", "tags", "citation", "sections", "history")
        manifest = replace(manifest, **{name: getattr(previous, name) for name in kept})
    manifest = seal(with_words(manifest, words))
    if manifest.title is None:
        manifest = replace(manifest, title=export.name.encode("utf-8", "replace").decode())
    now = created()
    if previous is not None and previous.content_sha256 == manifest.content_sha256:
        words_now = changed_words(previous, manifest)
        what = f"words: {', '.join(words_now)}" if words_now else ""
        manifest = replace(manifest, created=previous.created)
    else:
        what = "build" if previous is None else "rebuild"
        manifest = replace(manifest, created=now)
    if not what:
        return manifest
    entry = HistoryEntry(export_id=manifest.export_id or "", created=now, what=what)
    return replace(manifest, history=(*manifest.history, entry))
