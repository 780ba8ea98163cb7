"""A new selection among captions, worked out over the sample tables of an export, one shard's rows after another's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.config import DEFAULT_VARIANTS, Config
from hfbucket.core.events import OnEvent, Progress
from hfbucket.core.key_sets import KEY_BYTES, from_hex
from hfbucket.core.manifest.model import Manifest, Shard
from hfbucket.core.manifest.settings import settings_of
from hfbucket.core.plan.captions import Choice, characters_of, choice_of, own_variants
from hfbucket.core.plan.reselect import own_lists, own_stored, reselected
from hfbucket.core.plan.variants import TEXTS, Merge, merge_of, merged, merged_sources
from hfbucket.core.settings import content_settings
from hfbucket.errors import ChangeError
from hfbucket.io.export_files import ledger_parts
from hfbucket.io.hashes import sha256_of
from hfbucket.io.tables import read_groups
from hfbucket.io.workspace import Workspace
from hfbucket.schemas import SAMPLES
from hfbucket.stages.captions import with_priority
from hfbucket.stages.change.shards import CHANGED, REWRITTEN

__all__ = ["NO_CAPTION", "SETTINGS", "Found", "Selection", "reselected_shards", "selection_of"]

Bools = npt.NDArray[np.bool_]

NO_CAPTION: Final = "skipped_no_caption"

SETTINGS: Final = ("priority", "select", "weights", "caption_seed", "min_caption_chars")
"""The content settings of a selection; the others stay those that the export was built with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """How captions are selected for samples of an export."""

    choice: Choice
    merge: Merge
    #: Names of the source's own captions in the sample tables.
    own: tuple[str, ...]
    workspace: Workspace | None
    variants: tuple[str, ...]
    settings: Mapping[str, object]
    #: Images without a caption are left out.
    drop: bool
    #: Images may lose theirs.
    may_lose: bool

    def pieces(self, samples: pa.Table) -> Iterator[tuple[pa.Table, pa.Table, Bools]]:
        """Yield the samples, some at a time: as they were, with the new selection, and for which it is another."""
        if self.workspace is None:
            yield samples, *self._rows(samples, None, None)
            return
        start = 0
        for found in self.workspace.captions_of(samples["image_id"], self.variants):
            some = samples.slice(start, len(found))
            yield some, *self._rows(some, found["captions"], found["source_ids"])
            start += len(found)

    def _rows(
        self, samples: pa.Table, texts: pa.ChunkedArray | None, ids: pa.ChunkedArray | None
    ) -> tuple[pa.Table, Bools]:
        own = pa.chunked_array([own_lists(samples["captions"], self.own)])
        captions = merged(own, texts, self.merge)
        return reselected(samples, captions, merged_sources(ids, len(samples), self.merge), self.choice)

    def waiting(self, folder: Path) -> int:
        """Return how many images that were left out for want of a caption have one by this selection."""
        count = 0
        for part in ledger_parts(folder) if self.workspace is not None else ():
            for group in read_groups(part, ["image_id", "outcome"]):
                ids = group["image_id"].filter(pc.equal(group["outcome"], NO_CAPTION))
                for found in self.workspace.captions_of(ids, self.variants) if self.workspace else ():
                    captions = merged(pa.chunked_array([pa.nulls(len(found), TEXTS)]), found["captions"], self.merge)
                    lists, choice = pa.chunked_array([captions]), self.choice
                    there = characters_of(lists, len(choice.priority), choice.min_chars)
                    count += int(np.count_nonzero(there.any(axis=1)))
        return count


@contextmanager
def selection_of(manifest: Manifest, config: Config, drop_missing: bool) -> Iterator[Selection]:
    """Yield the selection that the settings ask for among what the export and the workspace have."""
    old = settings_of(manifest)
    columns = tuple(old["caption_column"])
    config = replace(with_priority(config), caption_column=() if columns == DEFAULT_VARIANTS else columns)
    asked = content_settings(config, ())
    policy = "drop" if drop_missing else config.missing_caption or old["missing_caption"]
    settings = {**old, **{name: asked[name] for name in SETTINGS}, "missing_caption": policy}
    own = own_variants(config)
    workspace = None if config.captions is None else Workspace(config.captions)
    try:
        variants = () if workspace is None else workspace.variants()
        choice = choice_of(config, own, variants)
        yield Selection(
            choice=choice,
            merge=merge_of(config, choice, own, variants),
            own=own_stored(manifest, columns),
            workspace=workspace,
            variants=variants,
            settings=settings,
            drop=drop_missing,
            may_lose=config.missing_caption == "empty",
        )
    finally:
        if workspace is not None:
            workspace.close()


@dataclass(slots=True)
class Found:
    """What the new selection comes to, counted while the tables are read."""

    captions: int = 0
    #: Images without a caption, and those of them that had one.
    without: int = 0
    lost: int = 0
    #: The keys of images that are dropped, 16 bytes each.
    dropped: bytearray = field(default_factory=bytearray)
    #: How many samples the old shards keep, and those of them with a change.
    kept: Counter[str] = field(default_factory=Counter)
    changed: set[str] = field(default_factory=set)
    selected: Counter[str] = field(default_factory=Counter)

    @property
    def images_dropped(self) -> int:
        """How many images are dropped."""
        return len(self.dropped) // KEY_BYTES

    @property
    def changes(self) -> dict[str, int]:
        """How many samples every old shard with a change keeps."""
        return {file: count for file, count in self.kept.items() if file in self.changed}


def reselected_shards(
    folder: Path, manifest: Manifest, selection: Selection, found: Found, on_event: OnEvent
) -> Iterator[tuple[Shard, pa.Table]]:
    """Yield the samples that stay, schema REWRITTEN, with the new selection, shard by shard, each piece by piece.

    Raises:
        ChangeError: a table is damaged or does not fit the shards; at the end, captions would go missing.
    """
    shards = {shard.file: shard for entry in manifest.buckets.values() for shard in entry.shards}
    total, done = sum(shard.count or 0 for shard in shards.values()), 0
    for file, pieces in groupby(_runs(_groups(folder, manifest, selection)), lambda rows: rows["shard"][0].as_py()):
        shard, count = shards.get(file), 0
        for rows in pieces:
            count += len(rows)
            if shard is not None:
                yield shard, _counted(file, rows, selection, found)
        if shard is None or shard.count != count:
            raise ChangeError(f"{folder}: the sample tables have {count} rows of {file}, the manifest says "
                              f"{shard and shard.count}; `hfbucket verify` says more")  # fmt: skip
        done += count
        on_event(Progress(stage="captions", done=done, total=total, unit="images"))
    if done != total:
        raise ChangeError(f"{folder}: the sample tables have {done} rows, the shards {total} samples")
    # Where the export keeps images without a caption, more of them are a loss only if they had one.
    missing = found.lost if selection.settings["missing_caption"] == "empty" else found.without
    if missing and not selection.drop and not selection.may_lose:
        raise ChangeError(
            f"{missing:,} of {total:,} images would be left without a caption; keep them with --missing-caption "
            "empty, or leave them out with --drop-missing"
        )


def _groups(folder: Path, manifest: Manifest, selection: Selection) -> Iterator[pa.Table]:
    """Yield the sample tables with the new selection, piece by piece; columns CHANGED and `had`: a caption before."""
    for part in manifest.samples:
        with (folder / part.file).open("rb") as file:
            if sha256_of(file) != part.sha256:
                raise ChangeError(f"{folder / part.file}: is damaged, its sha256 must be {part.sha256}; pull it again")
        for group in read_groups(folder / part.file, SAMPLES.names):
            for old, new, changed in selection.pieces(group.cast(SAMPLES)):
                yield new.append_column(REWRITTEN.field(CHANGED), pa.array(changed)).append_column(
                    "had", old["caption"].is_valid()
                )
                del old, new  # before the next ones are read
            del group


def _runs(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of all tables again, those of one shard at a time."""
    for table in tables:
        start = 0
        for stop in pc.run_end_encode(table["shard"].combine_chunks()).run_ends.to_pylist():
            yield table.slice(start, stop - start)
            start = stop
        del table


def _counted(file: str, rows: pa.Table, selection: Selection, found: Found) -> pa.Table:
    """Count what changes in some rows of a shard; return the rows that stay, schema REWRITTEN."""
    without = rows["caption"].is_null()
    found.without += pc.sum(without).as_py() or 0
    found.lost += pc.sum(pc.and_(without, rows["had"])).as_py() or 0
    kept = rows
    if selection.drop:
        found.dropped += from_hex(rows["key"].filter(without)).tobytes()
        kept = rows.filter(pc.invert(without))
    changed = pc.sum(kept[CHANGED]).as_py() or 0
    found.captions += changed
    found.kept[file] += len(kept)
    if changed or len(kept) < len(rows):
        found.changed.add(file)
    found.selected.update(kept["caption_variant"].drop_null().to_pylist())
    return kept.drop_columns(["had"])
