"""The end of a change: what a manifest counts, the pictures, card and metadata made from it; then all of it counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from hfbucket.core.card.croissant import croissant_bytes
from hfbucket.core.card.facts import bases
from hfbucket.core.card.pictures import CHART_FILE, SHEET_ROWS, filled, sheet_file
from hfbucket.core.card.previews import PREVIEWS, Preview
from hfbucket.core.keys import CARD, CROISSANT
from hfbucket.core.law.geometry import Geometry
from hfbucket.core.manifest.model import BucketEntry, HistoryEntry, Manifest, SampleTable, Shard
from hfbucket.core.manifest.plain import seal
from hfbucket.core.manifest.settings import settings_of
from hfbucket.errors import ChangeError, SampleError
from hfbucket.io.atomic import write_bytes
from hfbucket.io.cards import has_own_templates, render_card
from hfbucket.io.clock import created
from hfbucket.io.export_files import ledger_parts
from hfbucket.io.images.preview import make_preview
from hfbucket.io.random_file import RandomFile
from hfbucket.io.receipts import read_receipt, receipt_file
from hfbucket.io.table_search import read_where
from hfbucket.stages.change.apply import OpenExport, commit_change
from hfbucket.stages.write.assets import write_assets
from hfbucket.stages.write.fold import Totals

__all__ = ["check_templates", "counted", "end_change", "with_shards"]

_PLACE = (
    "key", "jpg_offset", "jpg_size", "w", "h", "resized_w", "resized_h", "crop_left", "crop_top",
)  # fmt: skip


def check_templates(opened: OpenExport, templates: Mapping[str, str] | None) -> None:
    """Refuse to render a card by the packaged templates that was made with others.

    Raises:
        ChangeError: says what to give.
    """
    path = opened.folder / CARD
    if templates is None and path.exists() and has_own_templates(path.read_text("utf-8", errors="replace")):
        raise ChangeError("the card was made with templates of its own; give them again with --template DIR")


def with_shards(entry: BucketEntry, shards: Sequence[Shard]) -> BucketEntry:
    """Return the entry of a bucket that holds these shards now."""
    count, size_bytes = sum(shard.count or 0 for shard in shards), sum(shard.bytes or 0 for shard in shards)
    return replace(entry, shards=tuple(shards), count=count, bytes=size_bytes)


def counted(manifest: Manifest, samples: Sequence[SampleTable], totals: Totals) -> Manifest:
    """Return the manifest with what its samples add up to; `statistics.conversions` stays as it is."""
    variants = tuple(
        replace(
            variant,
            selected=totals.selected[variant.name] > 0,
            images_with_ok_caption=totals.with_ok(variant.name),
            images_selected=totals.selected[variant.name],
        )
        for variant in manifest.captions.variants
    )
    known = {name: manifest.statistics[name] for name in ("conversions", "duplicates") if name in manifest.statistics}
    return replace(
        manifest,
        samples=tuple(samples),
        statistics={**totals.statistics.to_dict(), **known},
        captions=replace(manifest.captions, variants=variants),
        reencoded_in_passthrough=(None if manifest.reencoded_in_passthrough is None else totals.modes["reencode_jpeg"]),
    )


def end_change(
    opened: OpenExport,
    manifest: Manifest,
    *,
    what: str,
    shards: Sequence[str],
    ledger: Sequence[str],
    templates: Mapping[str, str] | None,
) -> Manifest:
    """Draw, render and seal what follows from a changed manifest, let the change count, and return the manifest.

    Args:
        manifest: with its new buckets, tables, statistics and summary.
        what: for the history.
        shards: the new ones, written below `opened.new`.
        ledger: the parts of the new ledger, written there, too; without any the old one stays.
    """
    manifest, drawn = _with_pictures(opened, manifest)
    manifest = replace(seal(manifest), created=created())
    entry = HistoryEntry(export_id=manifest.export_id or "", created=manifest.created or "", what=what)
    manifest = replace(manifest, history=(*manifest.history, entry))
    write_bytes(opened.new / CROISSANT, croissant_bytes(manifest))
    write_bytes(opened.new / CARD, render_card(manifest, templates or {}).encode("utf-8"))
    named = {shard.file for entry in manifest.buckets.values() for shard in entry.shards}
    named |= {*(ledger or _ledger(opened)), *(file.file for file in manifest.small_files)}
    commit_change(
        opened,
        files=(*shards, *(table.file for table in manifest.samples), *ledger, *drawn, CROISSANT, CARD),
        deletions=tuple(file for file in _files(opened) if file not in named),
        manifest=manifest,
    )
    return manifest


def _files(opened: OpenExport) -> Iterator[str]:
    """Yield the shards, tables and contact sheets that stand in the export."""
    yield from (shard.file for entry in opened.manifest.buckets.values() for shard in entry.shards)
    yield from (file.file for file in opened.manifest.small_files)
    yield from _ledger(opened)


def _ledger(opened: OpenExport) -> tuple[str, ...]:
    return tuple(f"ledger/{path.name}" for path in ledger_parts(opened.folder))


def _with_pictures(opened: OpenExport, manifest: Manifest) -> tuple[Manifest, tuple[str, ...]]:
    """Return the manifest with its pictures, and those of them that were drawn anew.

    Contact sheets of bases that hold what they held stay; the others show what the export holds now.
    """
    old = opened.manifest
    same = {base for base in bases(manifest) if _counts(old, base) == _counts(manifest, base)}
    kept = tuple(asset for asset in old.assets if asset.file in {sheet_file(base) for base in same})
    other = {
        bucket_id: found
        for base in bases(manifest)
        if base not in same
        for bucket_id, _ in filled(manifest, base)[:SHEET_ROWS]
        if (found := _previews(opened, manifest, bucket_id))
    }
    drawn = write_assets(opened.new, manifest, other)
    by_file = {asset.file: asset for asset in (*drawn, *kept)}
    order = (CHART_FILE, *map(sheet_file, bases(manifest)))
    assets = tuple(by_file[file] for file in order if file in by_file)
    return replace(manifest, assets=assets), tuple(asset.file for asset in drawn)


def _counts(manifest: Manifest, base: int) -> dict[str, int]:
    return {bucket_id: entry.count for bucket_id, entry in filled(manifest, base)}


def _previews(opened: OpenExport, manifest: Manifest, bucket_id: str) -> tuple[Preview, ...]:
    """Return some images of a bucket made small: those that were made when its first shard was, or from the shard."""
    shard = manifest.buckets[bucket_id].shards[0]
    receipt = read_receipt(receipt_file(opened.work.receipts, shard.file))
    if receipt is not None and receipt.sha256 == shard.sha256 and receipt.previews:
        return receipt.previews
    rows = [row for table in manifest.samples for row in _rows(opened.new / table.file, shard.file)]
    path = opened.new / shard.file
    with RandomFile(str(path if path.exists() else opened.folder / shard.file)) as file:
        chosen = sorted(sorted(rows, key=lambda row: row["key"])[:PREVIEWS], key=lambda row: row["jpg_offset"])
        return tuple(found for row in chosen for found in _preview(file, row, manifest))


def _rows(table: Path, shard: str) -> list[dict[str, int]]:
    with table.open("rb") as file:
        found: pa.Table = read_where(file, "shard", shard, _PLACE)
    rows: list[dict[str, int]] = found.to_pylist()
    return rows


def _preview(file: RandomFile, row: Mapping[str, int], manifest: Manifest) -> Iterator[Preview]:
    w, h = row["w"], row["h"]
    if manifest.image_mode == "reencode_jpeg":  # what was cropped away is not here any more
        geometry = Geometry(resized_w=w, resized_h=h, crop_left=0, crop_top=0, w=w, h=h)
    else:
        names = ("resized_w", "resized_h", "crop_left", "crop_top")
        geometry = Geometry(**{name: row[name] for name in names}, w=w, h=h)
    with suppress(SampleError):  # no picture is worth an error
        data = file.pread(row["jpg_offset"], row["jpg_size"])
        yield make_preview(data, geometry, max_pixels=settings_of(manifest)["max_pixels"])
