"""The captions of a build: the source's own and those of a workspace, as they are when it is planned.

What a workspace has for the rows of the index is put beside the index, unit by unit, in one reading; from then on a
plan and its build see that alone, whoever goes on writing captions.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.card.numbers import plural, size
from hfbucket.core.chunks import chunks
from hfbucket.core.events import Notice, OnEvent, Progress, ignore
from hfbucket.core.hashing import sha256_of
from hfbucket.core.outcomes import CODE, EXPORTED
from hfbucket.core.plan.caption_facts import CaptionCounts
from hfbucket.core.plan.captions import Choice, choice_of, own_variants, priority_of
from hfbucket.core.plan.model import Plan
from hfbucket.core.plan.report import CaptionLine, CaptionReport
from hfbucket.core.plan.variants import merge_of
from hfbucket.errors import BuildError
from hfbucket.io import tables
from hfbucket.io.index_files import Index, IndexCaptions, IndexedUnit
from hfbucket.io.workspace import Workspace
from hfbucket.schemas import CAPTIONS
from hfbucket.stages.caches import cache_folder

_VERSION: Final = 1
"""Raised whenever a workspace gives other captions for the same rows."""

_KEPT_S: Final = 7 * 24 * 3600
"""How long captions that were put beside the index stay without being used."""


def with_priority(config: Config) -> Config:
    """Return the settings with the priority said, where a workspace leaves only one possible.

    Raises:
        ConfigError: several are possible; lists the variants.
        WorkspaceError: the workspace cannot be read.
    """
    if config.captions is None or config.priority:
        return config
    with Workspace(config.captions) as workspace:
        return dataclasses.replace(config, priority=priority_of(config, workspace.variants()))


def choice_for(index: Index, config: Config) -> Choice:
    """Return how captions of the index are selected.

    Raises:
        ConfigError: the settings do not fit the variants there are; lists them.
    """
    return index.captions.choice if index.captions is not None else choice_of(config, own_variants(config), ())


def with_captions(index: Index, config: Config, *, on_event: OnEvent = ignore) -> Index:
    """Return the index with the captions that the settings ask for; as it is where they ask for nothing special.

    Args:
        config: as `with_priority` gives it.

    Raises:
        ConfigError: the settings do not fit the variants there are; lists them.
        WorkspaceError: the workspace cannot be read.
    """
    own = own_variants(config)
    if config.captions is None:
        choice = choice_of(config, own, ())
        if not config.priority:
            return index
        return dataclasses.replace(
            index, captions=IndexCaptions(choice=choice, merge=merge_of(config, choice, own, ()))
        )
    with Workspace(config.captions) as workspace:
        variants = workspace.variants()
        choice = choice_of(config, own, variants)
        sha256 = workspace.sha256(variants)
        files = _gathered(index, workspace, variants, sha256, cache_folder(config) / "captions", on_event)
        captions = IndexCaptions(
            choice=choice,
            merge=merge_of(config, choice, own, variants),
            files=files,
            sha256=sha256,
            sources=workspace.sources(),
        )
    if index.rows and not any(tables.has_values(file, "captions") for file in files):
        known = index.take(np.zeros(1, dtype=np.int64), ("image_id",))["image_id"][0].as_py()
        text = f"{config.captions}: has no caption for any image of the sources; their ids are like {known!r}"
        on_event(Notice(level="warning", text=text))
    return dataclasses.replace(index, captions=captions)


def caption_report(index: Index, made: Plan, config: Config) -> CaptionReport | None:
    """Return what captions there are to choose from; None where the settings ask for nothing special."""
    choice = choice_for(index, config)
    if not config.priority and not choice.min_chars and choice.select == "first":
        return None
    counts = CaptionCounts.of(pa.chunked_array([], CAPTIONS.field("captions").type), choice)
    for start, piece in index.groups("captions"):
        outcome = made.outcome[start : start + piece.num_rows]
        # Outcomes stand in the order in which they apply: these images came as far as their captions.
        reached = (outcome == EXPORTED) | (outcome >= CODE["skipped_no_caption"])
        counts += CaptionCounts.of(piece["captions"].filter(pa.array(reached)), choice)
    selected = selected_captions(made, len(choice.universe))[1:]
    lines = tuple(
        CaptionLine(
            variant=name,
            priority=place if place < len(choice.priority) else None,
            images=int(counts.having[place]),
            too_short=int(counts.too_short[place]),
            selected=selected[place],
        )
        for place, name in enumerate(choice.universe)
    )
    return CaptionReport(
        variants=lines,
        images=counts.images,
        without=counts.without,
        min_caption_chars=choice.min_chars,
        only_too_short=counts.only_too_short,
    )


def selected_captions(made: Plan, variants: int) -> list[int]:
    """Return for how many of the images that are exported no caption is selected, and how many have each variant's."""
    images = np.zeros(variants + 1, dtype=np.int64)
    for here in chunks(len(made.outcome)):
        chosen = made.caption_index[here][made.outcome[here] == EXPORTED]
        images += np.bincount(chosen.astype(np.int64) + 1, minlength=variants + 1)
    return images.tolist()


def _gathered(
    index: Index, workspace: Workspace, variants: tuple[str, ...], sha256: str, folder: Path, on_event: OnEvent
) -> tuple[str, ...]:
    """Return for every unit the file of its captions, written where an earlier plan did not."""
    here = folder / sha256_of([_VERSION, sha256, list(variants)])
    files = [here / f"{unit.index_sha256}.parquet" for unit in index.units]
    done = 0
    try:
        here.mkdir(parents=True, exist_ok=True)
        os.utime(here)
        _forget_others(folder, here)
        for path, unit in zip(files, index.units, strict=True):
            if not path.exists():
                _write(path, unit, workspace, variants)
            done += unit.rows
            on_event(Progress(stage="captions", done=done, total=index.rows, unit="images"))
    except OSError as error:
        message = f"captions cannot be kept beside the index: {error}; HFBUCKET_CACHE names another folder"
        raise BuildError(message) from error
    size_bytes = sum(path.stat().st_size for path in files)
    counted = f"{len(variants)} {plural('variant', len(variants))}"
    text = f"captions of {counted} for {index.rows} images: {here} ({size(size_bytes)})"
    on_event(Notice(level="info", text=text))
    return tuple(map(str, files))


def _write(path: Path, unit: IndexedUnit, workspace: Workspace, variants: tuple[str, ...]) -> None:
    with tables.group_writer(path, CAPTIONS, tables.ROW_GROUP_ROWS) as writer:
        for rows in tables.read_groups(unit.file, ["image_id"]) if unit.rows else ():
            for found in workspace.captions_of(rows["image_id"], variants):
                writer.add(found.rename_columns(CAPTIONS.names))


def _forget_others(folder: Path, here: Path) -> None:
    """Delete what no plan has used for long."""
    oldest = time.time() - _KEPT_S
    for other in folder.iterdir():
        with suppress(FileNotFoundError):  # another plan may do the same
            if other != here and other.stat().st_mtime < oldest:
                shutil.rmtree(other, ignore_errors=True)
