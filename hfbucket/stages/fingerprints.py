"""Fingerprints of images, for the search for duplicates: taken in processes, once, and kept beside the index cache.

They need every byte of every image that is compared, so that much is told before. What there is depends on the images
alone: one that the cache knows from another plan has the same fingerprint as if it were looked at now.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.card.numbers import size
from hfbucket.core.duplicates.find import Fingerprints
from hfbucket.core.events import Notice, OnEvent
from hfbucket.core.hashing import sha256_of
from hfbucket.core.units import Unit
from hfbucket.errors import BuildError, SampleError, SourceError
from hfbucket.executors.isolated import Died, Isolated
from hfbucket.executors.local import worker_count
from hfbucket.executors.task import Failure, report
from hfbucket.io import store, tables
from hfbucket.io.fingerprint_files import Printed, add_prints, fill_prints, missing_rows
from hfbucket.io.images.encode import versions
from hfbucket.io.images.fingerprint import VERSION, bytes_hash, difference_hash, pixels_hash
from hfbucket.io.index_files import Index, IndexedUnit
from hfbucket.io.places import Place
from hfbucket.sources import SOURCES
from hfbucket.stages.caches import cache_folder, for_workers, shared_cache
from hfbucket.stages.care import Care, carefully, workers_for
from hfbucket.stages.copies import fetched, plan_copies
from hfbucket.stages.index import decoders
from hfbucket.stages.rounds import GO_ON, failure_of, run_rounds

Int64s = npt.NDArray[np.int64]

_PLACE: Final = ("path", "offset", "size_bytes", "mtime_ns")
_PART_ROWS: Final = 64
"""How many images a thread takes at once: enough that opening their file again costs nothing."""

_Order = tuple[bytes, Config]
_Call = Callable[[_Order], Printed]


@dataclass(frozen=True, kw_only=True, slots=True)
class PrintTask:
    """Images of one unit to take the fingerprints of."""

    unit: Unit
    config: Config
    #: The Parquet file of its index rows, and which of these, ascending.
    index_file: Place
    rows: Int64s
    #: Where the fingerprints go.
    file: Place
    #: Of a remote container that is to be copied first: where to.
    copy: Place | None = None
    care: Care = Care.NONE
    #: How many images at once; for cores that no other task uses.
    threads: int = 1


def fingerprints(
    index: Index, positions: Int64s, config: Config, *, on_event: OnEvent, copies: Place | None = None
) -> Fingerprints:
    """Return what the images at these positions are compared by, in the order given.

    Args:
        copies: folder for copies of remote units: who writes their images next needs them again.

    Raises:
        BuildError: a source is gone, changed, or cannot be read.
    """
    order = np.argsort(positions, kind="stable")
    ascending = positions[order]
    edges = np.searchsorted(ascending, index.starts)
    parts = [
        (index.units[number], ascending[edges[number] : edges[number + 1]] - index.starts[number])
        for number in np.flatnonzero(np.diff(edges))
    ]
    files = [_cache_file(indexed, config) for indexed, _ in parts]
    _make(_tasks(parts, files, config, copies, on_event), config, on_event)
    prints = Fingerprints.empty(len(positions))
    start = 0
    for (indexed, rows), file in zip(parts, files, strict=True):
        if not fill_prints(prints, start, file, rows):
            raise BuildError(f"{indexed.unit.url}: its fingerprints in {file} are gone again; {GO_ON}")
        start += len(rows)
    back = np.argsort(order)
    return Fingerprints(
        exact=prints.exact[back], has_exact=prints.has_exact[back], near=prints.near[back],
        has_near=prints.has_near[back],
    )  # fmt: skip


def _cache_file(indexed: IndexedUnit, config: Config) -> Place:
    """Return the file of a unit's fingerprints, named after everything that makes them what they are."""
    unit = indexed.unit
    place = (unit.kind, os.fsencode(unit.url).hex(), unit.name, unit.size_bytes, unit.version, indexed.rows)
    codecs = [] if config.dedupe == "sha256" else [decoders(), versions()]
    key = sha256_of([VERSION, config.dedupe, place, config.image_column, codecs])
    return _folder(config) / key[:2] / f"{key}.parquet"


def _folder(config: Config) -> Place:
    """Return where fingerprints are kept: where those who take them can write."""
    return (shared_cache(config) or cache_folder(config)) / "fingerprints"


def _tasks(
    parts: Sequence[tuple[IndexedUnit, Int64s]],
    files: Sequence[Place],
    config: Config,
    copies: Place | None,
    on_event: OnEvent,
) -> list[PrintTask]:
    """Return what the cache does not have, after telling how many bytes that is."""
    tasks = [
        PrintTask(
            unit=replace(indexed.unit, entries=()),
            config=config,
            index_file=for_workers(indexed.file, config),
            rows=rows,
            file=file,
        )
        for (indexed, wanted), file in zip(parts, files, strict=True)
        if len(rows := missing_rows(file, wanted))
    ]
    if not tasks:
        return []
    size_bytes = sum(map(_bytes_to_read, tasks))
    images = sum(len(task.rows) for task in tasks)
    text = f"reading {size(size_bytes)}: every byte of {images:,} images, to compare them (--dedupe {config.dedupe})"
    on_event(Notice(level="info", text=f"{text}; kept in {_folder(config)} for the next time"))
    copy = {} if copies is None else plan_copies([task.unit for task in tasks], copies, on_event)
    return [replace(task, copy=copy.get(task.unit.url)) for task in tasks]


def _bytes_to_read(task: PrintTask) -> int:
    """Return the bytes of the images, or of the whole unit where it is copied or read from its beginning."""
    is_file = task.unit.kind != "folder"
    if is_file and not (store.is_local(task.unit.url) and SOURCES[task.unit.kind].random_access(task.unit)):
        return task.unit.size_bytes
    sizes = tables.read_rows(task.index_file, pa.array(task.rows), ["size_bytes"])["size_bytes"]
    return int(sizes.to_numpy().sum())


def _make(tasks: list[PrintTask], config: Config, on_event: OnEvent) -> None:
    if not tasks:
        return
    workers = workers_for(config, (task.unit.url for task in tasks))
    # Units in memory are read in this very process, which no image may end, unless that was asked for.
    if workers.are_none and config.workers != 0 and config.dedupe != "sha256":
        tasks = [replace(task, care=Care.CHILD) for task in tasks]
    elif not workers.are_none and workers.executor == "local":
        threads = max(1, worker_count(workers.count) // len(tasks))
        tasks = [replace(task, threads=threads) for task in tasks]
    run_rounds(
        print_unit,
        tasks,
        [len(task.rows) for task in tasks],
        name=lambda task: task.unit.url,
        stage="fingerprints",
        workers=workers,
        on_event=on_event,
        careful=lambda task, last: replace(task, care=Care.ALONE if last else Care.CHILD, threads=1),
    )


def print_unit(task: PrintTask) -> Failure | None:
    """Take the fingerprints of some images of one unit, and write them to its file; runs in a worker."""
    try:
        printed = _printed(task)
        add_prints(task.file, task.rows, printed)
    except (OSError, MemoryError, SourceError, Died, pa.ArrowException) as error:
        return failure_of(task, error)
    return None


def _printed(task: PrintTask) -> list[Printed]:
    rows = tables.read_rows(task.index_file, pa.array(task.rows), _PLACE)
    found: dict[int, Printed] = {}
    with fetched(_checked(task.unit, rows), task.copy) as unit, _caller(task) as call:
        for number, printed in _prints(unit, rows, task, call):
            found[number] = printed
            report(len(found))
    if len(found) != rows.num_rows:
        raise _changed()
    return [found[number] for number in range(rows.num_rows)]


def _prints(unit: Unit, rows: pa.Table, task: PrintTask, call: _Call) -> Iterator[tuple[int, Printed]]:
    """Yield (number in `rows`, fingerprint) of the images, by several threads where any of them can be read first."""
    if task.threads == 1 or not store.is_local(unit.url) or not SOURCES[unit.kind].random_access(unit):
        yield from _prints_of(unit, rows, task.config, call)
        return
    starts = range(0, rows.num_rows, _PART_ROWS)
    with ThreadPoolExecutor(task.threads) as threads:
        parts = threads.map(
            lambda start: list(_prints_of(unit, rows.slice(start, _PART_ROWS), task.config, call)), starts
        )
        for start, part in zip(starts, parts, strict=True):
            yield from ((start + number, printed) for number, printed in part)


def _prints_of(unit: Unit, rows: pa.Table, config: Config, call: _Call) -> Iterator[tuple[int, Printed]]:
    sizes = rows["size_bytes"].to_pylist()
    for number, data in SOURCES[unit.kind].read_rows(unit, rows, config):
        if len(data) != sizes[number]:
            raise _changed()
        yield number, call((data, config))


def _checked(unit: Unit, rows: pa.Table) -> Unit:
    """Return the unit, as long as it is what was scanned.

    Raises:
        SourceError: it is not.
    """
    if not store.is_local(unit.url) or unit.parts:
        return unit
    if unit.kind != "folder":
        if store.info(unit.url).version != unit.version:
            raise _changed()
        return unit
    for path, mtime_ns in zip(rows["path"].to_pylist(), rows["mtime_ns"].to_pylist(), strict=True):
        if store.info(store.join(unit.url, path)).mtime_ns != mtime_ns:
            raise _changed()
    return unit


def _changed() -> SourceError:
    return SourceError("changed after it was scanned")


@contextmanager
def _caller(task: PrintTask) -> Iterator[_Call]:
    """Yield what takes an image's fingerprint: here, or with care in a child."""
    if task.care == Care.NONE:
        yield take_print
        return
    with Isolated() as child:

        def call(order: _Order) -> Printed:
            try:
                return carefully(child, task.care, take_print, order)
            except SampleError:  # it ended its process
                return Printed()

        yield call


def take_print(order: _Order) -> Printed:
    """Return what an image is compared by: nothing where it cannot be decoded, as it will not be exported then.

    One that shows too little for a difference hash is compared by its bytes.
    """
    data, config = order
    if config.dedupe == "sha256":
        return Printed(exact=bytes_hash(data))
    try:
        if config.dedupe == "pixels":
            return Printed(exact=pixels_hash(data, max_pixels=config.max_pixels))
        near = difference_hash(data, max_pixels=config.max_pixels)
    except SampleError:
        return Printed()
    return Printed(near=near) if near is not None else Printed(exact=bytes_hash(data))
