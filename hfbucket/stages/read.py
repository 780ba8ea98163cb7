"""Source images by their task rows, from wherever they lie; nothing is decoded here."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from hfbucket.errors import SourceError
from hfbucket.io.store import RandomFile, info, is_local, join, read_bytes
from hfbucket.stages.copies import copy_of
from hfbucket.stages.spool import Spooled, open_spooled
from hfbucket.stages.work import Work

_OPEN_FILES: Final = 64
"""Containers held open: many more than are read at once, so that the one used longest ago is not in use."""

_FETCHES: Final = 16
"""Images of remote sources that are fetched at once: their time is waiting."""

UnitPlace = Mapping[str, Any]
Row = dict[str, Any]


@lru_cache(maxsize=2)
def read_units(path: Path, units_sha256: str) -> tuple[UnitPlace, ...]:
    """Return the units of a build's work folder: kind, name, url, size_bytes and version of each."""
    return tuple(json.loads(path.read_bytes()))


class SourceReader:
    """Reads source images; keeps the containers open that were used last.

    Args:
        units: as `read_units` gives them.
        work: folder of spooled and copied units.
    """

    def __init__(self, units: tuple[UnitPlace, ...], work: Work) -> None:
        self._units = units
        self._work = work
        self._open: OrderedDict[int, RandomFile | Spooled] = OrderedDict()
        self._lock = threading.Lock()

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
        threads = ThreadPoolExecutor(_FETCHES)  # starts none before the first remote image
        ahead: deque[tuple[Row, Future[bytes] | None]] = deque()
        try:
            for row in rows:
                ahead.append((row, None if self._is_local(row) else threads.submit(self._read, row)))
                if len(ahead) == _FETCHES:
                    yield self._taken(*ahead.popleft())
            while ahead:
                yield self._taken(*ahead.popleft())
        finally:
            threads.shutdown(wait=True, cancel_futures=True)

    def _taken(self, row: Row, fetched: Future[bytes] | None) -> tuple[Row, bytes]:
        return row, self._read(row) if fetched is None else fetched.result()

    def _is_local(self, row: Row) -> bool:
        return is_local(self._units[row["unit"]]["url"])

    def _read(self, row: Row) -> bytes:
        unit = self._units[row["unit"]]
        data = _read_file(unit, row) if unit["kind"] == "folder" else self._read_member(row)
        if len(data) != row["size_bytes"]:
            raise changed(unit["url"], row["member"])
        return data

    def _read_member(self, row: Row) -> bytes:
        number = row["unit"]
        with self._lock:
            if number not in self._open:
                self._make_room()
                self._open[number] = self._open_unit(number)
            self._open.move_to_end(number)
            file = self._open[number]
        return file.pread(row["offset"], row["size_bytes"])

    def _make_room(self) -> None:
        """Close the container that was used longest ago, where too many are open."""
        if len(self._open) >= _OPEN_FILES:
            self._open.popitem(last=False)[1].close()

    def _open_unit(self, number: int) -> RandomFile | Spooled:
        unit = self._units[number]
        spooled = open_spooled(self._work.spool, unit["url"], unit["version"])
        if spooled is not None:
            return spooled
        copy = copy_of(self._work.copies, unit["url"], unit["version"])
        if copy.exists():
            return RandomFile(str(copy))
        if is_local(unit["url"]) and info(unit["url"]).version != unit["version"]:
            raise changed(unit["url"], "")
        return RandomFile(unit["url"])


def _read_file(unit: UnitPlace, row: Row) -> bytes:
    url = join(unit["url"], row["path"])
    if is_local(url) and info(url).mtime_ns != row["mtime_ns"]:
        raise changed(url, "")
    return read_bytes(url)


def changed(url: str, member: str) -> SourceError:
    """Return the error of a source that is not what was scanned."""
    place = f"{url}: {member}" if member else url
    return SourceError(f"{place} changed after it was planned; run the same command again, and it is planned anew")
