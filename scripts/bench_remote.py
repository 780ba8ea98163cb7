"""Sources that are far away: bytes/s of scanning, copying and reading images, against one sequential reader.

    python -m scripts.bench_remote [PHOTOS] [--images 1000] [--repeats 3] [--late-ms 0 20] [--rate-mb 0] [--json]

PHOTOS is a folder of JPEG photos (without it those of scikit-image), copied into two tars with captions and into a
folder of single files. A file server and a Hub, both on the loopback, give them from processes of their own, the Hub
by sending to another host name, as the real one does for what is large; every answer is late by so many milliseconds,
and a connection of the file server gives at most --rate-mb megabytes a second (0: what it can). One sequential reader
is a streaming GET of the same bytes and nothing else: by the standard library over http, by the Hub's client over hf;
of single files one GET after another on one connection. What ends on the disk is held against such a reader that
writes and flushes. Ways take turns in one process; medians count. Images of shards are read as eight shards would,
each eighth image in turn: from the source, and, of tars, after they were spooled, as a build does it whose index is at
hand.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from scripts.bench_scan import _peak_mib, make_tars
from scripts.remote_ways import REPO, WAYS, Place
from tests.file_server import serving_files
from tests.hub.loopback import serving


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What one way took; bytes are those of images or tars that it was after, the peak is on top of what was held."""

    size_bytes: int
    wall_s: float
    cpu_s: float
    peak_mib: float


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
        hub.commit_folder(REPO, folder)
        hub.redirects = True
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
            place = Place(here=here, url=endpoint if protocol == "http" else f"hf://datasets/{REPO}")
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
