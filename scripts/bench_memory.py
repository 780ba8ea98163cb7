"""Measure the memory of every command, process by process, and hold it against the bound that is documented.

    python -m scripts.bench_memory [PHOTOS] [--images 300 1200] [--rows 20000 100000] [--caption-bytes 120]
        [--rows-a-tar 20000] [--max-shard-size 100MB] [--only COMMAND]... [--json FILE]

Two kinds of sources at two sizes each: photos (of the folder PHOTOS, without it those of scikit-image, under other
names; one of fifty enlarged to 16 megapixels), where single images and shards weigh, and rows (tars of tiny images
with captions), where the number of images does. Every command is a process of the command line with two workers. Of
each of its processes the kernel keeps the most memory that was resident (VmHWM), files that it maps included; it is
read fifty times a second. The bounds are `LIMITS` of memory_limits.py; exit code 1 where one is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import hfbucket
from scripts.memory_limits import LIMITS, Limit
from scripts.memory_sources import Corpus, enlarged_photos, tiny_rows
from tests.hub.client import client_environment
from tests.hub.loopback import LoopbackHub, serving

_EVERY_S: Final = 0.02
_ADDED_UP_EVERY: Final = 25
"""Adding up what processes share takes the kernel some time, so it is done at every so manieth look."""

_CONSOLE: Final = "from hfbucket.cli.main import console; console()"
_LOAD: Final = """
import sys, hfbucket
for sample in hfbucket.load_dataset(sys.argv[1], "all", split="train", streaming=True): pass
import os; os._exit(0)
"""
_REPO: Final = "me/memory"
_NEEDS: Final = {
    "pull from the Hub": ("push to the Hub",),
    "workspace stats": ("workspace init",),
    "workspace todo": ("workspace init",),
    "workspace export": ("workspace init",),
    "workspace import": ("workspace init",),
    "recaption": ("workspace init", "workspace import"),
}
"""What else runs before a command; all but these need the export that the first build makes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """The most memory of one command, in bytes."""

    parent: int
    #: Of the largest other process, 0 where there was none.
    worker: int
    #: Of all processes at one moment; what they share counts once.
    together: int
    seconds: float


def measured(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Peak:
    """Run a command and return its peaks.

    Raises:
        SystemExit: it failed.
    """
    started = time.perf_counter()
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said, cwd=log.parent)
    peaks: dict[int, int] = {}
    together = looks = 0
    while process.poll() is None:
        there = list(_tree(process.pid))
        for pid in there:
            # The last word counts: until a new process executes its program it is, and tells of, its parent's memory.
            peaks[pid] = _kilobytes(pid, "status", "VmHWM") or peaks.get(pid, 0)
        if looks % _ADDED_UP_EVERY == 0:
            together = max(together, sum(_kilobytes(pid, "smaps_rollup", "Pss") for pid in there))
        looks += 1
        time.sleep(_EVERY_S)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[2:])[-300:]}: ended with {process.returncode}: {log.read_text()[-2000:]}")
    parent = peaks.pop(process.pid, 0)
    worker = max(peaks.values(), default=0)
    took = time.perf_counter() - started
    return Peak(parent=parent << 10, worker=worker << 10, together=together << 10, seconds=round(took, 2))


def _tree(pid: int) -> Iterator[int]:
    """Yield a process and all below it."""
    yield pid
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
        below = [child for task in tasks for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except (OSError, ValueError):  # it has ended
        return
    for child in below:
        yield from _tree(int(child))


def _kilobytes(pid: int, file: str, name: str) -> int:
    """Return a line of a file of the kernel about a process; 0 where that has ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


class Bench:
    """Every command, one after another, on one corpus."""

    def __init__(self, root: Path, corpus: Corpus, only: Sequence[str], max_shard_size: str, hub: LoopbackHub) -> None:
        self._root, self._corpus, self._only, self._max_shard_size = root, corpus, only, max_shard_size
        self._environment = {
            **client_environment(hub, root / "home"), "HFBUCKET_CACHE": str(root / "cache"), "SOURCE_DATE_EPOCH": "1"
        }  # fmt: skip
        self.peaks: dict[str, Peak] = {}
        #: Of the largest image.
        self.pixels = corpus.pixels

    def run(self) -> dict[str, Peak]:
        """Run what is asked for, or all, and what that needs."""
        wanted = set(self._only) or set(LIMITS)
        needed = {"build, passthrough", *wanted, *(need for name in wanted for need in _NEEDS.get(name, ()))}
        for name, words in self._commands():
            if name not in needed:
                continue
            peak = measured([sys.executable, "-c", *words], self._environment, self._root / "log")
            if name in wanted:
                self.peaks[name] = peak
                memory = f"{peak.parent >> 20:>6} MB {peak.worker >> 20:>6} MB {peak.seconds:>7.1f} s"
                print(f"  {name:<28} {memory}", file=sys.stderr, flush=True)
        return self.peaks

    def _commands(self) -> Iterator[tuple[str, list[str]]]:
        corpus, root = self._corpus, self._root
        source, more = str(corpus.source), str(corpus.grown)
        bases = [word for base in corpus.bases for word in ("--base", base)]
        yield from self._builds(source, more, [*bases, "--max-shard-size", self._max_shard_size, "--workers", "2"])
        export = str(root / "export")
        for depth in ("structure", "quick", "full"):
            yield f"verify --{depth}", self._console("verify", export, f"--{depth}", "--workers", "2")
        yield "why", self._console("why", export, corpus.some_id)
        yield "load, streaming", [_LOAD, export]
        yield "card", self._console("card", export, "--title", "Memory")
        yield from self._transfers(export)
        yield from self._captions(source, export)
        yield "extract", self._console("extract", export, "-o", "files", "--workers", "2")
        yield (
            "extract --max-short-edge",
            self._console("extract", export, "-o", "small", "--workers", "2", "--max-short-edge", "64"),
        )
        (root / "ids").write_text("\n".join(corpus.third_of_ids), encoding="utf-8")
        yield "remove", self._console("remove", export, "--ids", "ids")

    def _builds(self, source: str, more: str, settings: list[str]) -> Iterator[tuple[str, list[str]]]:
        passthrough = [*settings, "--image-mode", "passthrough_jpeg"]
        yield "plan", self._console("plan", source, *passthrough)
        licensed = [*passthrough, "--license", "cc0-1.0"]
        yield "build, passthrough", self._console("build", source, "-o", "export", *licensed)
        yield "build, re-encode", self._console("build", source, "-o", "reencoded", *settings)
        yield "build, --dedupe near", self._console("build", source, "-o", "deduped", *passthrough, "--dedupe", "near")
        yield "build --update", self._console("build", source, more, "-o", "updated", *passthrough, "--update")
        # Without an export --update builds; with one it adds the second source.
        self._corpus.grow()
        yield "build --update", self._console("build", source, more, "-o", "updated", *passthrough, "--update")

    def _transfers(self, export: str) -> Iterator[tuple[str, list[str]]]:
        yield "push to a folder", self._console("push", export, "./target", "--yes", "--workers", "2")
        yield "push to the Hub", self._console("push", export, _REPO, "--yes", "--workers", "2")
        yield "pull from a folder", self._console("pull", export, "-o", "pulled")
        yield "pull from the Hub", self._console("pull", _REPO, "-o", "pulled-again")

    def _captions(self, source: str, export: str) -> Iterator[tuple[str, list[str]]]:
        yield "workspace init", self._console("workspace", "init", source, "-o", "w.sqlite", "--workers", "2")
        self._corpus.write_captions(self._root / "captions.jsonl")
        yield "workspace import", self._console("workspace", "import", "w.sqlite", "captions.jsonl", "--variant", "new")
        yield "workspace stats", self._console("workspace", "stats", "w.sqlite")
        yield "workspace todo", self._console("workspace", "todo", "w.sqlite", "--variant", "other")
        yield "workspace export", self._console("workspace", "export", "w.sqlite", "out.parquet")
        choice = ["--captions", "w.sqlite", "--priority", "new,original", "--workers", "2"]
        yield "recaption", self._console("recaption", export, *choice)

    @staticmethod
    def _console(*words: str) -> list[str]:
        return [_CONSOLE, *words]


@contextmanager
def _bench(make: Callable[[Path], Corpus], only: Sequence[str], max_shard_size: str) -> Iterator[Bench]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-memory-") as temporary,
        serving(Path(temporary) / "hub") as hub,
    ):
        root = Path(temporary)
        yield Bench(root, make(root), only, max_shard_size, hub)


def judged(kind: str, sizes: Sequence[int], peaks: Sequence[Mapping[str, Peak]], pixels: int) -> list[dict[str, Any]]:
    """Return a row per command and process: peaks at both sizes, growth, and the larger one's share of its bound."""
    rows = []
    for name in peaks[-1]:
        limit: Limit = LIMITS[name]
        for process in ("parent", "worker"):
            found = [getattr(peak[name], process) for peak in peaks]
            bound = getattr(limit, process)(sizes[-1], pixels)
            if not found[-1] or bound is None:
                continue
            growth = (found[-1] - found[0]) / max(1, sizes[-1] - sizes[0])
            rows.append(
                {"source": kind, "command": name, "process": process, "images": list(sizes), "peak_bytes": found,
                 "bytes_per_image": round(growth, 1), "bound_bytes": bound, "ratio": round(found[-1] / bound, 2),
                 "together_bytes": peaks[-1][name].together, "seconds": peaks[-1][name].seconds}
            )  # fmt: skip
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table."""
    numbers = f"{'peak MB':>12} {'B/image':>8} {'bound':>6} {'ratio':>5}"
    yield f"{'source':<7} {'command':<25} {'process':<7} {'images':>15} {numbers}"
    for row in rows:
        images = " ".join(f"{count:,}" for count in row["images"])
        peaks = " ".join(f"{peak >> 20}" for peak in row["peak_bytes"])
        yield (
            f"{row['source']:<7} {row['command']:<25} {row['process']:<7} {images:>15} {peaks:>12} "
            f"{row['bytes_per_image']:>8.0f} {row['bound_bytes'] >> 20:>6} {row['ratio']:>5.2f}"
            f"{'  BROKEN' if row['ratio'] > 1 else ''}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--images", type=int, nargs="*", default=[300, 1200])
    parser.add_argument("--rows", type=int, nargs="*", default=[20_000, 100_000])
    parser.add_argument("--caption-bytes", type=int, default=120, help="of the tiny images (default: %(default)s)")
    parser.add_argument("--rows-a-tar", type=int, default=20_000, help="(default: %(default)s)")
    parser.add_argument("--max-shard-size", default="100MB", help="(default: %(default)s)")
    parser.add_argument("--only", action="append", choices=list(LIMITS), default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    makers: dict[str, tuple[list[int], Callable[[int, Path], Corpus]]] = {
        "photos": (options.images, lambda count, root: enlarged_photos(options.photos, root, count)),
        "rows": (options.rows, lambda count, root: tiny_rows(root, count, options.caption_bytes, options.rows_a_tar)),
    }
    for kind, (sizes, make) in makers.items():
        peaks, pixels = [], 0
        for size in sizes:
            print(f"{kind}, {size:,} images", file=sys.stderr, flush=True)
            corpus = partial(make, size)
            with _bench(corpus, options.only, options.max_shard_size) as bench:
                peaks.append(bench.run())
                pixels = bench.pixels
        rows += judged(kind, sizes, peaks, pixels) if peaks else []
    print(*table(rows), sep="\n")
    if options.json:
        versions = {"hfbucket": hfbucket.__version__, "python": platform.python_version()}
        options.json.write_text(json.dumps({"rows": rows, "versions": versions, "cpus": os.cpu_count()}, indent=1))
    if any(row["ratio"] > 1 for row in rows):
        raise SystemExit("a bound is broken")


if __name__ == "__main__":
    main()
