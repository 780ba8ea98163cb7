"""Source images by their task rows, from wherever they lie; nothing is decoded here."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import lru_cache, partial
from itertools import groupby, tee
from pathlib import Path
from typing import Any, Final

from hfbucket.errors import changed
from hfbucket.io.local_file import read_unchanged
from hfbucket.io.places import Place, open_random, present
from hfbucket.io.store import RandomFile, ahead, info, is_local, join, local_path, read_bytes
from hfbucket.stages.copied import copy_of
from hfbucket.stages.write.spooled import Spooled, open_spooled
from hfbucket.stages.write.work import Work

_OPEN_FILES: Final = 64
"""Containers held open: many more than are read at once, so that the one used longest ago is not in use."""

_GAP_BYTES: Final = 8 << 10
_RUN_BYTES: Final = 4 << 20
"""Images of a remote tar with no more than captions and metadata between them are fetched as one run, up to this long.

More would fetch images of other shards, and those fetch them again.
"""

_TURN_BYTES: Final = 1 << 20
"""Of images that are read one after the other: few enough to stay in a core's cache until they are written."""

UnitPlace = Mapping[str, Any]
Row = dict[str, Any]


@lru_cache(maxsize=2)
def read_units(path: Place, units_sha256: str) -> tuple[UnitPlace, ...]:
    """Return the units of a build's work folder: kind, name, url, size_bytes and version of each."""
    return tuple(json.loads(path.read_bytes()))


class SourceReader:
    """Reads source images; keeps the containers open that were used last.

    Args:
        units: as `read_units` gives them.
        work: folder of spooled and copied units.
    """

    def __init__(self, units: tuple[UnitPlace, ...], work: Work[Place]) -> None:
        self._units = units
        self._work = work
        self._is_spooled, self._is_copied = present(work.spool), present(work.copies)
        self._open: OrderedDict[int, RandomFile | Spooled] = OrderedDict()
        self._lock = threading.Lock()
        self._local: dict[int, bool] = {}  # units that lie on this machine, and others

    def __enter__(self) -> SourceReader:
        return self

    def __exit__(self, *exception: object) -> None:
        with ExitStack() as stack:
            for file in self._open.values():
                stack.callback(file.close)

    def read_all(self, rows: Iterable[Row]) -> Iterator[tuple[Row, bytes]]:
        """Yield every row of `schemas.TASKS` with the encoded bytes of its image, in order.

        Raises:
            SourceError: a source changed since it was scanned.
            OSError: it is gone, or cannot be read.
        """
        for is_here, some in groupby(rows, self._is_local):
            read = self._read_here if is_here else self._read_far
            yield from read(some)

    def _read_here(self, rows: Iterable[Row]) -> Iterator[tuple[Row, bytes]]:
        """Do as `read_all`, some images at a time: one step of work done many times over suits a processor."""
        for some in _turns(rows):
            yield from zip(some, list(map(self._read, some)), strict=True)

    def _read_far(self, rows: Iterable[Row]) -> Iterator[tuple[Row, bytes]]:
        """Do as `read_all`, ahead of what is taken."""
        runs, fetched = tee(self._runs(rows))
        for run, images in zip(runs, ahead(map(self._wanted, fetched)), strict=True):
            yield from zip(run, images, strict=True)

    def _wanted(self, run: list[Row]) -> tuple[Callable[[], list[bytes]], int]:
        """Return what reads a run, and how many bytes that are."""
        last = run[-1]
        return partial(self._read_run, run), last["offset"] + last["size_bytes"] - run[0]["offset"]

    def _runs(self, rows: Iterable[Row]) -> Iterator[list[Row]]:
        """Yield the rows in order, those together that follow each other closely in one remote container."""
        run: list[Row] = []
        for row in rows:
            if run and not self._follows(run, row):
                yield run
                run = []
            run.append(row)
        if run:
            yield run

    def _follows(self, run: list[Row], row: Row) -> bool:
        last = run[-1]
        if row["unit"] != last["unit"] or self._units[row["unit"]]["kind"] == "folder":
            return False
        is_near = 0 <= row["offset"] - last["offset"] - last["size_bytes"] <= _GAP_BYTES
        return bool(is_near and row["offset"] + row["size_bytes"] - run[0]["offset"] <= _RUN_BYTES)

    def _is_local(self, row: Row) -> bool:
        """Return whether to read at once what others would wait for: copies lie with the work folder."""
        number = row["unit"]
        if number not in self._local:
            unit = self._units[number]
            is_here = is_local(unit["url"]) or (unit["kind"] != "folder" and self._container(number).is_here)
            self._local[number] = isinstance(self._work.folder, Path) and is_here
        return self._local[number]

    def _read_run(self, run: list[Row]) -> list[bytes]:
        """Return the bytes of each image; of several with one read, where offsets are places in a file."""
        if len(run) == 1 or not isinstance(file := self._container(run[0]["unit"]), RandomFile):
            return [self._read(row) for row in run]
        start, last = run[0]["offset"], run[-1]
        data = file.pread(start, last["offset"] + last["size_bytes"] - start)
        images = [data[row["offset"] - start :][: row["size_bytes"]] for row in run]
        if len(images[-1]) != last["size_bytes"]:
            raise changed(file.url, last["member"])
        return images

    def _read(self, row: Row) -> bytes:
        unit = self._units[row["unit"]]
        if unit["kind"] == "folder":
            data = _read_file(unit, row)
        else:
            data = self._container(row["unit"]).pread(row["offset"], row["size_bytes"])
        if len(data) != row["size_bytes"]:
            raise changed(unit["url"], row["member"])
        return data

    def _container(self, number: int) -> RandomFile | Spooled:
        """Return a tar or Parquet file, or what stands for it, opened now or before."""
        with self._lock:
            if number not in self._open:
                self._make_room()
                self._open[number] = self._open_unit(number)
            self._open.move_to_end(number)
            return self._open[number]

    def _make_room(self) -> None:
        """Close the container that was used longest ago, where too many are open."""
        if len(self._open) >= _OPEN_FILES:
            self._open.popitem(last=False)[1].close()

    def _open_unit(self, number: int) -> RandomFile | Spooled:
        unit = self._units[number]
        spooled = open_spooled(self._work.spool, unit["url"], unit["version"], self._is_spooled)
        if spooled is not None:
            return spooled
        copy = copy_of(self._work.copies, unit["url"], unit["version"])
        if self._is_copied(copy.name):
            return open_random(copy)
        if is_local(unit["url"]) and info(unit["url"]).version != unit["version"]:
            raise changed(unit["url"])
        return RandomFile(unit["url"], size_bytes=unit["size_bytes"], version=unit["version"])


def _turns(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows in order, those together whose images have about `_TURN_BYTES`."""
    turn: list[Row] = []
    size = 0
    for row in rows:
        turn.append(row)
        size += row["size_bytes"]
        if size >= _TURN_BYTES:
            yield turn
            turn, size = [], 0
    if turn:
        yield turn


def _read_file(unit: UnitPlace, row: Row) -> bytes:
    if not is_local(unit["url"]):
        return read_bytes(join(unit["url"], row["path"]))
    path = join(_root(unit["url"]), row["path"])
    data = read_unchanged(path, row["size_bytes"], row["mtime_ns"])
    if data is None:
        raise changed(path)
    return data


@lru_cache(maxsize=64)
def _root(url: str) -> str:
    return local_path(url)
