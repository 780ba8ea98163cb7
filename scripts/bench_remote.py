"""Sources that are far away: bytes/s of scanning, copying and reading images, against one sequential reader.

    python -m scripts.bench_remote [PHOTOS] [--images 1000] [--repeats 3] [--late-ms 0 20] [--rate-mb 0] [--json]

PHOTOS is a folder of JPEG photos (without it those of scikit-image), copied into two tars with captions and into a
folder of single files. A file server and a Hub, both on the loopback, give them from processes of their own; every
answer of theirs is late by so many milliseconds, and a connection of the file server gives at most --rate-mb megabytes
a second (0: what it can). One sequential reader is a streaming GET of the same bytes and nothing else: by the standard
library over http, by the Hub's client over hf; of single files one GET after another on one connection. Ways take
turns in one process; medians count. Images of shards are read as eight shards would, each eighth image in turn.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from hfbucket.config import Config
from hfbucket.core.units import Unit
from hfbucket.sources import SOURCES
from hfbucket.sources.detect import resolve
from hfbucket.stages.copies import fetched
from hfbucket.stages.write.read import SourceReader
from hfbucket.stages.write.work import Work
from scripts.bench_scan import _peak_mib, make_tars
from tests.file_server import serving_files
from tests.hub.loopback import serving

_CONFIG: Final = Config()
_SHARDS: Final = 8
_BLOCK_BYTES: Final = 1 << 17
_REPO: Final = "me/photos"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the photos are: here, and at a server."""

    here: Path
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What one way took; bytes are those of images or tars that it was after, the peak is on top of what was held."""

    size_bytes: int
    wall_s: float
    cpu_s: float
    peak_mib: float


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
    return sum(_get(unit.url) for unit in _units(place, "tars"))


def _get(url: str) -> int:
    size = 0
    if url.startswith("hf://"):
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, http_stream_backoff  # type: ignore[attr-defined]

        path = url.split("/", 5)[5]
        at = hf_hub_url(_REPO, path, repo_type="dataset")
        with http_stream_backoff("GET", at, headers=build_hf_headers()) as response:
            return sum(map(len, response.iter_bytes()))
    with urllib.request.urlopen(url) as file:
        while data := file.read(_BLOCK_BYTES):
            size += len(data)
    return size


def get_files(place: Place) -> int:
    """GET every single file, one after another."""
    names = sorted(path.name for path in (place.here / "files").glob("*.jpg"))
    if place.url.startswith("hf://"):
        return sum(_get(f"{place.url}/files/{name}") for name in names)
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


def read_images(place: Place, *, kind: str) -> int:
    """Read all images in the order of shards."""
    units = _units(place, kind)
    rows = []
    for number, unit in enumerate(_units(place, kind, local=True)):
        table, _ = SOURCES[unit.kind].scan_unit(unit, _CONFIG)
        found = table.select(["member", "path", "offset", "size_bytes", "mtime_ns"]).to_pylist()
        rows += [{**row, "unit": number} for row in found]
    places = tuple(
        {name: getattr(unit, name) for name in ("kind", "name", "url", "size_bytes", "version")} for unit in units
    )
    size = 0
    for shard in range(_SHARDS):
        with SourceReader(places, Work(folder=Path("/nowhere"))) as reader:
            size += sum(len(data) for _, data in reader.read_all(rows[shard::_SHARDS]))
    return size


Way = tuple[Callable[..., int], Mapping[str, str]]
WAYS: Final[Mapping[str, Mapping[str, Way]]] = {
    "tars": {
        "one sequential reader": (stream_tars, {}),
        "scan": (scan, {"kind": "tars"}),
        "copy to disk": (copy, {}),
        "images of shards": (read_images, {"kind": "tars"}),
    },
    "single files": {
        "one sequential reader": (get_files, {}),
        "listing of these and the tars": (list_all, {}),
        "scan, headers only": (scan, {"kind": "files"}),
        "images of shards": (read_images, {"kind": "files"}),
    },
}
"""What is measured; the first of each job is what the others are held against."""


def timed(job: str, way: str, place: Place) -> Spent:
    """Run one way, in this process."""
    function, options = WAYS[job][way]
    before = _forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    size_bytes = function(place, **options)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Spent(size_bytes=size_bytes, wall_s=wall, cpu_s=cpu, peak_mib=_peak_mib() - before)


def _forget_peak() -> float:
    """Let the system begin anew to watch this process's peak memory; return what it holds, in MiB."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    return _peak_mib()


def _serve_files(ends: Connection, folder: Path, late_s: float, rate: float) -> None:
    with serving_files(folder) as server:
        server.late_s, server.rate = late_s, rate
        ends.send(server.url)
        while ends.poll(None) and ends.recv() == "log":
            ends.send((len(server.requests()), server.sent_bytes()))
            server.forget()


def _serve_hub(ends: Connection, folder: Path, late_s: float, rate: float) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-hub-") as root, serving(Path(root)) as hub:
        hub.commit_folder(_REPO, folder)
        if late_s:
            hub.faults.add("*", "late", calls=range(1, 1 << 40), pause_s=late_s)
        ends.send(hub.endpoint)
        while ends.poll(None) and ends.recv() == "log":
            ends.send((len(hub.log.requests), sum(request.answer_bytes for request in hub.log.requests)))
            hub.log.clear()


@contextmanager
def _served(serve: Callable[..., None], *arguments: object) -> Iterator[tuple[str, Connection]]:
    """Yield the URL of a server in a process of its own, and the line to it."""
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=serve, args=(there, *arguments), daemon=True)
    process.start()
    there.close()
    try:
        yield here.recv(), here
    finally:
        here.send("end")
        process.join()


def in_turns(here: Path, late_s: float, rate: float, repeats: int) -> Iterator[dict[str, Any]]:
    """Yield what each way took, once for every repeat, over http and from the Hub."""
    for protocol, serve in (("http", _serve_files), ("hf", _serve_hub)):
        with ExitStack() as stack:
            endpoint, line = stack.enter_context(_served(serve, here, late_s, rate))
            os.environ |= {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
            place = Place(here=here, url=endpoint if protocol == "http" else f"hf://datasets/{_REPO}")
            reader = stack.enter_context(get_context("spawn").Pool(1))
            for number in range(-1, repeats):
                for job, way in ((job, way) for job, ways in WAYS.items() for way in ways):
                    spent = reader.apply(timed, (job, way, place))
                    line.send("log")
                    requests, sent_bytes = line.recv()
                    if number >= 0:
                        yield {"protocol": protocol, "job": job, "way": way, "late_s": late_s, "rate": rate,
                               "requests": requests, "sent_bytes": sent_bytes, **asdict(spent)}  # fmt: skip


def measure(
    photos: Path | None, *, images: int, repeats: int, lates_s: Sequence[float], rates: Sequence[float]
) -> list[dict[str, Any]]:
    """Return what was measured."""
    with tempfile.TemporaryDirectory(prefix="bench-remote-") as temporary:
        folder = Path(temporary)
        make_tars(photos, folder, images)
        for name in ("tars", "files"):
            (folder / name).mkdir()
        for path in sorted(folder.glob("*.tar")):
            path.rename(folder / "tars" / path.name)
        for path in sorted(folder.glob("photos/*.jpg"))[: images // 4]:
            path.rename(folder / "files" / path.name)
        return [found for late in lates_s for rate in rates for found in in_turns(folder, late, rate, repeats)]


def show(found: Sequence[Mapping[str, Any]]) -> None:
    """Print tables; `x one` is the median of the repeats' ratios on the clock to one sequential reader."""
    groups: dict[tuple[Any, ...], dict[str, list[Mapping[str, Any]]]] = {}
    for each in found:
        key = (each["protocol"], each["late_s"], each["rate"], each["job"])
        groups.setdefault(key, {}).setdefault(each["way"], []).append(each)
    for (protocol, late_s, rate, job), ways in groups.items():
        at_most = f", {rate / 1e6:g} MB/s a connection" if rate and protocol == "http" else ""
        title = f"{protocol}, {job}, answers {late_s * 1000:g} ms late{at_most}"
        print(f"{title:64}{'MB/s':>7}{'x one':>7}{'CPU s/GB':>10}{'requests':>10}{'sent':>7}{'peak MiB':>10}")
        first = next(iter(ways.values()))
        for way, all_ in ways.items():
            pace, first_pace = ([each["wall_s"] / each["size_bytes"] for each in group] for group in (all_, first))
            ratio = statistics.median(other / own for other, own in zip(first_pace, pace, strict=True))
            speed = 1e-6 / statistics.median(pace)
            cost = statistics.median(each["cpu_s"] / each["size_bytes"] * 1e9 for each in all_)
            sent = statistics.median(each["sent_bytes"] / each["size_bytes"] for each in all_)
            requests = statistics.median(each["requests"] for each in all_)
            peak = max(each["peak_mib"] for each in all_)
            print(f"  {way:62}{speed:7.0f}{ratio:7.2f}{cost:10.2f}{requests:10.0f}{sent:7.2f}{peak:10.0f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--late-ms", type=float, nargs="+", default=[0, 20])
    parser.add_argument("--rate-mb", type=float, nargs="+", default=[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(
        options.photos, images=options.images, repeats=options.repeats,
        lates_s=[late / 1000 for late in options.late_ms], rates=[rate * 1e6 for rate in options.rate_mb],
    )  # fmt: skip
    print(json.dumps(found, indent=1)) if options.json else show(found)


if __name__ == "__main__":
    main()
