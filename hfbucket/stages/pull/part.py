"""A part of an export: its sample tables cut to the shards it holds, and the manifest and card that say so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.card.croissant import croissant_bytes
from hfbucket.core.keys import CARD, CROISSANT
from hfbucket.core.manifest.model import HistoryEntry, Manifest
from hfbucket.core.manifest.plain import is_ours, seal
from hfbucket.errors import FormatError
from hfbucket.io.atomic import write_bytes
from hfbucket.io.cards import render_card
from hfbucket.io.clock import created
from hfbucket.io.tables import read_groups
from hfbucket.schemas import SAMPLES
from hfbucket.stages.write.fold import Totals, write_parts

__all__ = ["write_part"]


def write_part(folder: Path, part: Manifest, tables: Sequence[Path]) -> Manifest:
    """Write all of a part but its shards, which are here, and its manifest; return the latter, to be written last.

    Args:
        part: what `core.transfer.selection.part_of` gives.
        tables: those of the whole that hold rows of the part, in their order, each intact.

    Raises:
        FormatError: the tables have other samples than the shards.
    """
    manifest = _counted(folder, part, tables) if is_ours(part) else replace(part, content_sha256=None)
    if is_ours(part):
        write_bytes(folder / CROISSANT, croissant_bytes(manifest))
    write_bytes(folder / CARD, render_card(manifest).encode("utf-8"))
    return manifest


def _counted(folder: Path, part: Manifest, tables: Sequence[Path]) -> Manifest:
    shards = pa.array([shard.file for entry in part.buckets.values() for shard in entry.shards], pa.string())
    totals = Totals()

    def rows() -> Iterator[pa.Table]:
        for path in tables:
            for group in read_groups(path, SAMPLES.names):
                kept = group.filter(pc.is_in(group["shard"], value_set=shards)).cast(SAMPLES)
                if kept.num_rows:
                    totals.add(kept)
                    yield kept

    samples = write_parts(folder, "samples", SAMPLES, rows())
    held, listed = part.summary["images_exported"], sum(table.rows for table in samples)
    if listed != held:
        raise FormatError(
            f"the sample tables have {listed:,} rows of these shards, which hold {held:,}", where="samples"
        )
    variants = tuple(
        replace(
            variant,
            selected=totals.selected[variant.name] > 0,
            images_with_ok_caption=totals.with_ok(variant.name),
            images_selected=totals.selected[variant.name],
        )
        for variant in part.captions.variants
    )
    manifest = replace(
        part,
        samples=samples,
        statistics=totals.statistics.to_dict(),
        captions=replace(part.captions, variants=variants),
        reencoded_in_passthrough=None if part.reencoded_in_passthrough is None else totals.modes["reencode_jpeg"],
    )
    sealed = seal(manifest)
    origin = (part.part_of or {}).get("export_id")
    entry = HistoryEntry(export_id=sealed.export_id or "", created=created(), what=f"pulled: a part of {origin}")
    return replace(sealed, history=(*sealed.history, entry))
