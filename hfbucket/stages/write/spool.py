"""Spool: images of sources that cannot be read at random, copied once, in order, into plain tars of the work folder.

Of a tar far away that was not copied for a scan, because its index was at hand, images can be read at random. But where
that would cost more than reading through it, its images are spooled, too.

One tar per unit, named by what the unit is, with only the images that are still to be written; beside it where each
lies. The tar is there before its places, so a unit with places is complete, whatever was killed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.card.numbers import size
from hfbucket.core.events import Notice, OnEvent
from hfbucket.core.units import Unit
from hfbucket.errors import SourceError
from hfbucket.executors.task import Failure, report
from hfbucket.io.atomic import replacing
from hfbucket.io.flushed_file import FlushedFile
from hfbucket.io.index_files import Index
from hfbucket.io.places import Place, free_bytes, made_here, present
from hfbucket.io.ustar import END, header, padding
from hfbucket.sources import SOURCES
from hfbucket.stages.care import workers_for
from hfbucket.stages.copied import copy_of
from hfbucket.stages.copies import from_copy, is_further
from hfbucket.stages.rounds import failure_of, run_rounds
from hfbucket.stages.unchanged import check_unchanged
from hfbucket.stages.write.spooled import Int64s, open_spooled, spool_files
from hfbucket.stages.write.work import Work

_REQUEST_BYTES: Final = 128 << 10
"""What asking for one image more costs beside its own bytes: 80 ms of 50 MB/s, as 32 are asked for at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpoolTask:
    """One unit to spool."""

    unit: Unit
    config: Config
    #: Columns `path`, `offset` and `size_bytes` of the images, ascending by offset.
    rows: pa.Table
    work: Work[Place]


def needs_spool(index: Index, work: Work[Place]) -> bool:
    """Return whether some unit is far away, or cannot be read at random."""
    units = (from_copy(work.copies, indexed.unit) for indexed in index.units)
    return any(is_further(unit, work.copies) or not SOURCES[unit.kind].random_access(unit) for unit in units)


def spool_units(index: Index, positions: Int64s, work: Work[Place], config: Config, *, on_event: OnEvent) -> None:
    """Copy what cannot be read at random, or not fast, of the images at these index positions into the spool.

    Raises:
        BuildError: the disk is full, or a source is gone or cannot be read.
    """
    spool = work.spool
    tasks = list(_missing(index, positions, work, config))
    if not tasks:
        return
    size_bytes = sum(int(task.rows["size_bytes"].to_numpy().sum()) for task in tasks)
    images = sum(task.rows.num_rows for task in tasks)
    if isinstance(spool, Path):
        spool.mkdir(parents=True, exist_ok=True)
    text = (
        f"{images:,} images of {len(tasks):,} files that are far away, or cannot be read at random, are copied to "
        f"{spool} first: {size(size_bytes)}, removed when the export is complete"
    )
    on_event(Notice(level="info", text=text))
    free = free_bytes(spool)
    if free is not None and free < size_bytes:
        on_event(Notice(level="warning", text=f"{spool} has less free space than that"))
    counts = [task.rows.num_rows for task in tasks]
    run_rounds(
        spool_unit,
        tasks,
        counts,
        name=lambda task: task.unit.url,
        stage="spool",
        workers=workers_for(config, [*(task.unit.url for task in tasks), str(spool)]),
        on_event=on_event,
    )


def spool_unit(task: SpoolTask) -> Failure | None:
    """Copy the images of one unit into the spool, in their order."""
    try:
        _copy(task)
    except (OSError, MemoryError, SourceError, pa.ArrowException) as error:
        return failure_of(task, error)
    return None


def _copy(task: SpoolTask) -> None:
    tar, places = spool_files(task.work.spool, task.unit.url, task.unit.version)
    unit = from_copy(task.work.copies, task.unit)
    places.unlink(missing_ok=True)
    offsets = task.rows["offset"].to_numpy()
    copied = np.empty((2, len(offsets)), dtype=np.int64)
    sizes = task.rows["size_bytes"].to_pylist()
    done = 0
    with made_here(tar) as here, replacing(here) as temporary, FlushedFile(temporary, named=here) as file:
        for number, data in SOURCES[unit.kind].read_rows(unit, task.rows, task.config):
            if len(data) != sizes[number]:
                raise SourceError(f"{task.unit.url} changed after it was planned; run the same command again")
            file.write(header(f"{number:08d}.img", len(data)))
            copied[:, done] = offsets[number], file.size_bytes
            file.write(data)
            file.write(bytes(padding(len(data))))
            done += 1
            report(done)
        if done != len(offsets):
            raise SourceError(f"{task.unit.url} gave {done} of {len(offsets)} images; run the same command again")
        file.write(END)
        check_unchanged(unit)
    order = np.argsort(copied[0])
    with made_here(places) as here, replacing(here) as temporary, temporary.open("wb") as file:
        np.save(file, copied[:, order], allow_pickle=False)
    copy_of(task.work.copies, task.unit.url, task.unit.version).unlink(missing_ok=True)  # its room is needed


def _missing(index: Index, positions: Int64s, work: Work[Place], config: Config) -> Iterator[SpoolTask]:
    positions = np.sort(positions)
    edges = np.searchsorted(positions, index.starts)
    there, free = present(work.spool), free_bytes(work.folder)
    room = None if free is None else free // 2  # the other half is for what is made of them
    for number in np.flatnonzero(np.diff(edges)):
        unit = index.units[number].unit
        near = from_copy(work.copies, unit)
        spooled = open_spooled(work.spool, unit.url, unit.version, there)
        is_far = is_further(near, work.copies)
        if spooled is None and not is_far and SOURCES[unit.kind].random_access(near):
            continue
        rows = index.take(positions[edges[number] : edges[number + 1]], ("path", "offset", "size_bytes"))
        rows = rows.sort_by("offset")
        size_bytes = int(rows["size_bytes"].to_numpy().sum())
        if spooled is not None:
            complete = spooled.has(rows["offset"].to_numpy())
            spooled.close()
            if complete:
                continue
        elif is_far and _is_read_by_ranges(near, rows.num_rows, size_bytes, room):
            continue
        room = None if room is None else room - size_bytes
        yield SpoolTask(unit=replace(unit, entries=()), config=config, rows=rows, work=work)


def _is_read_by_ranges(unit: Unit, images: int, size_bytes: int, room: int | None) -> bool:
    """Return whether images of a unit far away are asked for alone: it costs less, or there is no room for them."""
    costs_less = size_bytes + _REQUEST_BYTES * images < unit.size_bytes
    is_too_much = room is not None and size_bytes > room
    return (costs_less or is_too_much) and SOURCES[unit.kind].random_access(unit)
