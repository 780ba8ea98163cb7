"""Stage index: what images there are, where, how big, with which captions. Scanned once, kept in a cache per user."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, Final

from hfbucket.config import Config
from hfbucket.core.events import Notice, OnEvent, Progress, ignore
from hfbucket.core.hashing import sha256_of
from hfbucket.core.meta import SIDECAR
from hfbucket.core.units import SourceSpec, Unit
from hfbucket.errors import BuildError, SampleError, SourceError
from hfbucket.executors.engines import map_tasks
from hfbucket.executors.isolated import Died, Isolated
from hfbucket.executors.task import Failure, report
from hfbucket.io import store
from hfbucket.io.index_files import Index, IndexedUnit, read_unit, write_unit
from hfbucket.io.pieces import Pieces
from hfbucket.io.places import Place, Remote
from hfbucket.sources import SOURCES
from hfbucket.sources.rows import Look, look_at
from hfbucket.stages.annotate import annotated
from hfbucket.stages.caches import bring, cache_folder, shared_cache
from hfbucket.stages.care import Care, carefully, stall_limit_s, workers_for
from hfbucket.stages.copies import plan_copies, scanned
from hfbucket.stages.rounds import failure_of
from hfbucket.stages.survey import Survey, refuse_empty, survey

_INDEX_VERSION: Final = 4
"""Raised whenever a scan gives other rows for the same bytes and settings, or refuses them."""

_DECODERS: Final = ("pillow", "pillow-heif", "pillow-jxl-plugin")
_MOST_NOTES: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scan:
    """One unit to scan."""

    unit: Unit
    config: Config
    #: Where its rows go, below the folder.
    file: str
    folder: Place
    care: Care = Care.NONE
    #: Of a remote unit that is to be copied first: where to.
    copy: Place | None = None


def build_index(
    sources: Sequence[str],
    config: Config,
    *,
    on_event: OnEvent = ignore,
    copies: Place | None = None,
    check: Callable[[Sequence[SourceSpec]], None] | None = None,
) -> Index:
    """Return the index of all sources; units that did not change since they were last scanned come from the cache.

    Args:
        sources: `PATH` or `name=PATH`: folders, files or globs, local or any fsspec URL.
        copies: folder for copies of remote units that are scanned: who writes their images next needs them again.
        check: refuses sources, by raising, before anything of them is read.

    Raises:
        SourceError: a source is not there, empty, unreadable, or not what was said.
    """
    return index_of(survey(sources, config, on_event=on_event, check=check), copies=copies, on_event=on_event)


def index_of(found: Survey, *, copies: Place | None = None, on_event: OnEvent = ignore) -> Index:
    """Return the index of surveyed sources, for the settings that the survey gave.

    Args:
        copies: as `build_index` takes it.

    Raises:
        SourceError: a source is unreadable or without images, or annotations that were named fit none of them.
    """
    config = found.config
    chosen = [_sampled(listing.units, config.sample_units) for listing in found.listings]
    # What annotations give is joined later: no change of them costs a second look at an image.
    scanned_with = replace(config, caption_column=found.named_columns, id_column=None) if found.annotations else config
    units = _indexed([unit for part in chosen for unit in part], scanned_with, copies, on_event)
    index = Index(
        sources=found.sources,
        units=units,
        listing_facts=tuple(listing.facts for listing in found.listings),
        units_listed=tuple(len(listing.units) for listing in found.listings),
    )
    if found.annotations:
        index = annotated(index, found, on_event=on_event)
    _check(index, config)
    _tell(index, config, found.named_columns, on_event)
    return index


def _sampled(units: tuple[Unit, ...], count: int | None) -> tuple[Unit, ...]:
    """Return `count` units spread evenly over all, or all."""
    if count is None or count >= len(units):
        return units
    return tuple(units[(2 * number + 1) * len(units) // (2 * count)] for number in range(count))


def _indexed(units: Sequence[Unit], config: Config, copies: Place | None, on_event: OnEvent) -> tuple[IndexedUnit, ...]:
    """Return where the rows of every unit are, after scanning what the cache does not have."""
    here, shared = cache_folder(config), shared_cache(config)
    files = [_cache_file(unit, config) for unit in units]
    bring(files, config)
    hits = [read_unit(str(here / file), unit) for file, unit in zip(files, units, strict=True)]
    new = {file: unit for file, unit, hit in zip(files, units, hits, strict=True) if hit is None}
    _announce(list(new.values()), on_event)
    copy = {} if copies is None else plan_copies(list(new.values()), copies, on_event)
    todo = {
        file: _Scan(unit=unit, config=config, file=file, folder=shared or here, copy=copy.get(unit.url))
        for file, unit in new.items()
    }
    written = _scanned(todo, config, len(units), on_event)
    bring(list(written.values()), config, anew=True)
    return tuple(
        hit if hit is not None else _written(str(here / written[file]), unit)
        for file, unit, hit in zip(files, units, hits, strict=True)
    )


def _scanned(todo: dict[str, _Scan], config: Config, total: int, on_event: OnEvent) -> dict[str, str]:
    """Scan in processes, trying again what a dying worker took with it; return per file the one that has the rows."""
    written: dict[str, str] = {}
    before = total - len(todo)
    failures: list[Failure] = []
    urls = [scan.unit.url for scan in todo.values()]
    # A remote unit is fetched as a whole first, which may take its time and gives no sign.
    workers = workers_for(config, urls, limited=all(map(store.is_local, urls)))
    for care in Care:
        scans = [replace(scan, care=care) for file, scan in todo.items() if file not in written]
        failures = []
        at_once = workers if care != Care.ALONE else workers.one_by_one()
        for scan, result in map_tasks(scan_one, scans, workers=at_once):
            if isinstance(result, Failure):
                failures.append(result)
            else:
                written[scan.file] = result
                on_event(Progress(stage="index", done=before + len(written), total=total, unit="units"))
        if not failures:
            return written
    raise SourceError(f"{failures[0].task.unit.url}: could not be scanned: {failures[0].reason}")


def _written(file: str, unit: Unit) -> IndexedUnit:
    found = read_unit(file, unit)
    if found is None:
        raise SourceError(f"{file}: was written and cannot be read again: is the disk of the index cache sound?")
    return found


def _cache_file(unit: Unit, config: Config) -> str:
    """Return the file of a unit's rows below a cache, named after everything that makes them what they are."""
    settings = (config.variants, config.id_column, config.image_column, config.keep_location, config.max_pixels)
    place = (unit.kind, os.fsencode(unit.url).hex(), unit.name, unit.prefix, unit.size_bytes, unit.version)
    key = sha256_of([_INDEX_VERSION, place, settings, decoders()])
    return f"index/{key[:2]}/{key}.parquet"


def decoders() -> list[str | None]:
    """Return the versions of what decodes images, null for what is not installed."""
    return [_installed(name) for name in _DECODERS]


@cache  # looking for a package that is not there takes milliseconds, and every unit asks
def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def scan_one(scan: _Scan) -> str | Failure:
    """Scan one unit and return the file its rows are in, below the cache; runs in a worker."""
    unit = scan.unit
    aside = scan.folder if isinstance(scan.folder, Path) else None
    try:
        with _look(scan) as look:
            rows, facts = scanned(unit, scan.copy, scan.config, look, aside)
    except (Died, MemoryError) as error:
        return failure_of(scan, error)
    except OSError as error:
        raise SourceError(f"{unit.url}: cannot be read: {error}") from error
    with rows:
        file = scan.file
        if unit.kind == "folder" and _is_for_once(rows):
            file = file.removesuffix(".parquet") + "-once.parquet"
        # the rows know nothing of the machine; entries are only the way to them
        try:
            write_unit(scan.folder / file, replace(unit, entries=()), rows, facts)
        except OSError as error:
            remedy = "HFBUCKET_CACHE names another folder"
            if isinstance(scan.folder, Remote):
                remedy = "every machine that runs tasks needs keys that may write there"
            raise BuildError(f"the index cache cannot be written: {error}; {remedy}") from error
    return file


def _is_for_once(rows: Pieces) -> bool:
    """Return whether a file could not be read: it may be next time."""
    return any("source_errors" in chunk.to_pylist() for chunk in rows.chunks_of("outcome"))


@contextmanager
def _look(scan: _Scan) -> Iterator[Look]:
    """Yield what looks at an image, here or with care in a child, and reports each."""
    looked = count(1)

    def look(file: BinaryIO, *, name: str, size_bytes: int, max_pixels: int) -> dict[str, Any]:
        report(next(looked))
        if scan.care == Care.NONE:
            return look_at(file, name=name, size_bytes=size_bytes, max_pixels=max_pixels)
        try:
            return carefully(child, scan.care, _look_at_bytes, (file.read(), name, size_bytes, max_pixels))
        except SampleError as error:
            return {"outcome": error.outcome, "detail": error.detail}

    with Isolated(stall_limit_s(scan.config)) as child:
        yield look


def _look_at_bytes(image: tuple[bytes, str, int, int]) -> dict[str, Any]:
    data, name, size_bytes, max_pixels = image
    return look_at(io.BytesIO(data), name=name, size_bytes=size_bytes, max_pixels=max_pixels)


def _announce(units: Sequence[Unit], on_event: OnEvent) -> None:
    """Say beforehand how many bytes must be read where headers alone cannot be had."""
    whole = [unit for unit in units if not store.is_local(unit.url) or not SOURCES[unit.kind].random_access(unit)]
    if whole:
        size = _size(sum(unit.size_bytes for unit in whole))
        text = f"reading {size} of {len(whole)} Parquet, gzipped or remote units for their image headers"
        on_event(Notice(level="info", text=f"{text}; --sample-units N estimates from a part"))


def _check(index: Index, config: Config) -> None:
    """Refuse a source without any image, and an id column that no sample has."""
    for number, spec in enumerate(index.sources):
        rows = sum(unit.rows for unit in index.units if unit.unit.source == number)
        facts = index.facts(number)
        refuse_empty(spec, rows, facts)
        if config.id_column is not None and config.id_column not in facts.meta_keys:
            known = ", ".join(facts.meta_keys) or "none"
            wanted = f"{config.id_column!r} for --id-column"
            raise SourceError(f"source {spec.name!r} has no metadata {wanted}; it has: {known}")


def _tell(index: Index, config: Config, named: Sequence[str], on_event: OnEvent) -> None:
    """Tell what is odd about the sources, such as a tar that is cut off, and where the index lies."""
    facts = [index.facts(number) for number in range(len(index.sources))]
    notes = [note for each in facts for note in each.notes]
    known = {SIDECAR, "txt", *(key for each in facts for key in each.meta_keys)}
    notes += [f"no source has a column {name!r}: see --caption-column" for name in named if name not in known]
    for note in notes[:_MOST_NOTES]:
        on_event(Notice(level="warning", text=note))
    if len(notes) > _MOST_NOTES:
        on_event(Notice(level="warning", text=f"and {len(notes) - _MOST_NOTES} notes more: plan --json has all"))
    size = _size(sum(os.path.getsize(unit.file) for unit in index.units))
    on_event(Notice(level="info", text=f"index of {index.rows} images: {cache_folder(config) / 'index'} ({size})"))


def _size(size_bytes: int) -> str:
    """Return a size for people, in decimal units."""
    for unit, width in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size_bytes >= width:
            return f"{size_bytes / width:.1f} {unit}"
    return f"{size_bytes} bytes"


__all__ = ["build_index", "cache_folder", "decoders", "index_of"]
