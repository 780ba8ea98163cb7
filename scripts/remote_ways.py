"""What `bench_remote` measures: ways to list, scan, copy and read sources that are far away."""

from __future__ import annotations

import http.client
import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.units import Unit
from hfbucket.sources import SOURCES
from hfbucket.sources.detect import resolve
from hfbucket.stages.copies import fetched
from hfbucket.stages.write.read import SourceReader
from hfbucket.stages.write.spool import SpoolTask, spool_unit
from hfbucket.stages.write.work import Work

_CONFIG: Final = Config()
_SHARDS: Final = 8
_BLOCK_BYTES: Final = 1 << 17
REPO: Final = "me/photos"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the photos are: here, and at a server."""

    here: Path
    url: str


@cache  # the round that warms up makes the listing
def _units(place: Place, kind: str, *, local: bool = False) -> tuple[Unit, ...]:
    pattern = "tars/*.tar" if kind == "tars" else "files"
    spec = resolve(f"{place.here if local else place.url}/{pattern}", _CONFIG)
    return SOURCES[spec.kind].list_units(spec, 0, _CONFIG).units


def list_all(place: Place) -> int:
    """List both sources anew."""
    _units.cache_clear()
    return sum(unit.size_bytes for kind in ("tars", "files") for unit in _units(place, kind))


def stream_tars(place: Place) -> int:
    """GET every tar, by the client of its kind of URL."""
    return sum(len(data) for unit in _units(place, "tars") for data in _get(unit.url))


def stream_to_disk(place: Place) -> int:
    """Do the same and write the bytes to a file each, flushed: the least that a copy has to do."""
    size = 0
    with tempfile.TemporaryDirectory() as folder:
        for unit in _units(place, "tars"):
            with Path(folder, "copy").open("wb") as file:
                size += sum(map(file.write, _get(unit.url)))
                file.flush()
                os.fsync(file.fileno())
    return size


def _get(url: str) -> Iterator[bytes]:
    if url.startswith("hf://"):
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, http_stream_backoff  # type: ignore[attr-defined]

        path = url.split("/", 5)[5]
        at = hf_hub_url(REPO, path, repo_type="dataset")
        with http_stream_backoff("GET", at, headers=build_hf_headers()) as response:
            yield from response.iter_bytes()
        return
    with urllib.request.urlopen(url) as file:
        while data := file.read(_BLOCK_BYTES):
            yield data


def get_files(place: Place) -> int:
    """GET every single file, one after another."""
    names = sorted(path.name for path in (place.here / "files").glob("*.jpg"))
    if place.url.startswith("hf://"):
        return sum(len(data) for name in names for data in _get(f"{place.url}/files/{name}"))
    connection = http.client.HTTPConnection(urlsplit(place.url).netloc)
    size = 0
    for name in names:
        connection.request("GET", f"/files/{name}")
        size += len(connection.getresponse().read())
    connection.close()
    return size


def scan(place: Place, *, kind: str) -> int:
    """Make the index of all units; returns the bytes of their images' containers."""
    units = _units(place, kind)
    for unit in units:
        SOURCES[unit.kind].scan_unit(unit, _CONFIG)
    return sum(unit.size_bytes for unit in units)


def copy(place: Place) -> int:
    """Copy all tars to the disk, as a build does before it scans them."""
    size = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, unit in enumerate(_units(place, "tars")):
            copied = Path(folder, str(number))
            with fetched(unit, copied):
                size += copied.stat().st_size
            copied.unlink()
    return size


def read_images(place: Place, *, kind: str, work: Path = Path("/nowhere")) -> int:
    """Read all images in the order of shards."""
    units = _units(place, kind)
    rows = []
    for number, table in enumerate(_tables(place, kind)):
        found = table.select(["member", "path", "offset", "size_bytes", "mtime_ns"]).to_pylist()
        rows += [{**row, "unit": number} for row in found]
    places = tuple(
        {name: getattr(unit, name) for name in ("kind", "name", "url", "size_bytes", "version")} for unit in units
    )
    size = 0
    for shard in range(_SHARDS):
        with SourceReader(places, Work(folder=work)) as reader:
            size += sum(len(data) for _, data in reader.read_all(rows[shard::_SHARDS]))
    return size


@cache
def _tables(place: Place, kind: str) -> tuple[pa.Table, ...]:
    return tuple(SOURCES[unit.kind].scan_unit(unit, _CONFIG)[0].read() for unit in _units(place, kind, local=True))


def spool(place: Place, *, then_read: str = "") -> int:
    """Copy all images of the tars to the disk, in one run through each; then read them in the order of shards."""
    size = 0
    with tempfile.TemporaryDirectory() as folder:
        work: Work[Any] = Work(folder=Path(folder))
        for unit, table in zip(_units(place, "tars"), _tables(place, "tars"), strict=True):
            rows = table.select(["path", "offset", "size_bytes"])
            failure = spool_unit(SpoolTask(unit=unit, config=_CONFIG, rows=rows, work=work))
            assert failure is None, failure
            size += sum(rows["size_bytes"].to_pylist())
        return read_images(place, kind="tars", work=work.folder) if then_read else size


Way = tuple[Callable[..., int], Mapping[str, str]]
WAYS: Final[Mapping[str, Mapping[str, Way]]] = {
    "tars": {
        "one sequential reader": (stream_tars, {}),
        "scan": (scan, {"kind": "tars"}),
        "images of shards, by ranges": (read_images, {"kind": "tars"}),
    },
    "tars, to disk": {
        "one sequential reader that writes": (stream_to_disk, {}),
        "copy": (copy, {}),
        "spool all images": (spool, {}),
        "images of shards, spooled first": (spool, {"then_read": "yes"}),
    },
    "single files": {
        "one sequential reader": (get_files, {}),
        "listing of these and the tars": (list_all, {}),
        "scan, headers only": (scan, {"kind": "files"}),
        "images of shards": (read_images, {"kind": "files"}),
    },
}
"""What is measured; the first of each job is what the others are held against."""
