"""Source images by their task rows, one at a time, from wherever they lie; nothing is decoded here."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from hfbucket.errors import SourceError
from hfbucket.io.store import RandomFile, info, is_local, join, read_bytes
from hfbucket.stages.spool import Spooled, open_spooled

_OPEN_FILES: Final = 64

UnitPlace = Mapping[str, Any]


@lru_cache(maxsize=2)
def read_units(path: Path, units_sha256: str) -> tuple[UnitPlace, ...]:
    """Return the units of a build's work folder: kind, name, url, size_bytes and version of each."""
    return tuple(json.loads(path.read_bytes()))


class SourceReader:
    """Reads source images; keeps the containers open that were used last.

    Args:
        units: as `read_units` gives them.
        spool: folder of spooled units.
    """

    def __init__(self, units: tuple[UnitPlace, ...], spool: Path) -> None:
        self._units = units
        self._spool = spool
        self._open: OrderedDict[int, RandomFile | Spooled] = OrderedDict()

    def __enter__(self) -> SourceReader:
        return self

    def __exit__(self, *exception: object) -> None:
        with ExitStack() as stack:
            for file in self._open.values():
                stack.callback(file.close)

    def read(self, row: Mapping[str, Any]) -> bytes:
        """Return the encoded bytes of one source image.

        Args:
            row: a row of `schemas.TASKS`.

        Raises:
            SourceError: it changed since it was scanned.
            OSError: it is gone, or cannot be read.
        """
        unit = self._units[row["unit"]]
        data = _read_file(unit, row) if unit["kind"] == "folder" else self._read_member(row)
        if len(data) != row["size_bytes"]:
            raise changed(unit["url"], row["member"])
        return data

    def _read_member(self, row: Mapping[str, Any]) -> bytes:
        number = row["unit"]
        if number not in self._open:
            if len(self._open) >= _OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            self._open[number] = self._open_unit(number)
        self._open.move_to_end(number)
        return self._open[number].pread(row["offset"], row["size_bytes"])

    def _open_unit(self, number: int) -> RandomFile | Spooled:
        unit = self._units[number]
        spooled = open_spooled(self._spool, unit["url"], unit["version"])
        if spooled is not None:
            return spooled
        if is_local(unit["url"]) and info(unit["url"]).version != unit["version"]:
            raise changed(unit["url"], "")
        return RandomFile(unit["url"])


def _read_file(unit: UnitPlace, row: Mapping[str, Any]) -> bytes:
    url = join(unit["url"], row["path"])
    if is_local(url) and info(url).mtime_ns != row["mtime_ns"]:
        raise changed(url, "")
    return read_bytes(url)


def changed(url: str, member: str) -> SourceError:
    """Return the error of a source that is not what was scanned."""
    place = f"{url}: {member}" if member else url
    return SourceError(f"{place} changed after it was planned; run the same command again, and it is planned anew")
