"""Workers: how many times as fast several are as one, at re-encoding, for shards alone and for whole builds.

    python -m scripts.bench_workers [PHOTOS] [--images 12000] [--base 256] [--workers 2] [--repeats 3] [--json]

PHOTOS is a folder of JPEG photos (without it those of scikit-image), copied until there are enough. Every run includes
the start of its processes. Shards are of 100 samples; a build is the command as it is by default, with the index at
hand: it divides its large shards by itself. Runs take turns and medians count. The limit is what the machine gives so
many processes that only compute, measured in the same turns: where others use it too, or its cores are threads of one,
that is less than their number. `busy` is the processor time of all processes by what as many cores as workers had to
give.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from hfbucket.config import Config
from hfbucket.executors.local import map_tasks
from hfbucket.io.images.encode import versions
from hfbucket.stages.write.shard import write_shard
from hfbucket.stages.write.task import ShardTask
from scripts.bench_write import Spent, cpu_seconds, make_photos, planned, shard_tasks

COMPUTE: Final = "import hashlib, sys; [hashlib.sha256(bytes(1 << 20)) for _ in range(int(sys.argv[1]))]"
COMPUTED_MIB: Final = 4096
COMMAND: Final = (sys.executable, "-c", "from hfbucket.cli.main import console; console()")


def compute(workers: int) -> None:
    """Hash zeros, as many in all whatever the number of processes."""
    part = str(COMPUTED_MIB // workers)
    processes = [subprocess.Popen([sys.executable, "-c", COMPUTE, part]) for _ in range(workers)]
    if any(process.wait() for process in processes):
        raise SystemExit("computing alone failed")


def write_shards(tasks: Sequence[ShardTask], workers: int) -> None:
    """Write every shard, the longest first, as a build does."""
    for task, failure in map_tasks(write_shard, tasks, workers=workers):
        if failure is not None:
            raise SystemExit(f"{task.file}: {failure}")


def whole_build(photos: Path, config: Config, export: Path, workers: int) -> None:
    """Run the command in a process of its own."""
    words = [*COMMAND, "build", str(photos), "-o", str(export), *config.flags("content"), "--workers", str(workers)]
    subprocess.run(words, check=True, capture_output=True)
    for folder in (export, Path(f"{export}.work")):
        shutil.rmtree(folder)


def timed(run: Callable[[], None]) -> Spent:
    """Return what a run took, its processes included."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    run()
    return Spent(wall_s=time.perf_counter() - wall, cpu_s=cpu_seconds() - cpu)


def in_turns(
    runs: Mapping[str, Callable[[int], None]], counts: Sequence[int], repeats: int
) -> dict[str, list[dict[int, Spent]]]:
    """Return of every run what it took, by number of workers, once for every repeat."""
    spent: dict[str, list[dict[int, Spent]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            spent[name].append({count: timed(partial(run, count)) for count in counts})
    return spent


def measure(photos: Path | None, *, images: int, base: int, workers: int, repeats: int) -> dict[str, Any]:
    """Return what was measured, and on what."""
    usual = Config(base=(base,), workers=0, source_hash=False)
    config = replace(usual, max_shard_samples=100)
    with tempfile.TemporaryDirectory(prefix="bench-workers-") as temporary:
        root = Path(temporary)
        os.environ["HFBUCKET_CACHE"] = str(root / "cache")
        make_photos(photos, root / "photos", images)
        index, plan = planned(root / "photos", config)
        tasks = sorted(shard_tasks(index, plan, config, root / "export"), key=lambda task: -task.planned_bytes)
        runs: dict[str, Callable[[int], None]] = {
            "computing alone, the limit": compute,
            "shards": partial(write_shards, tasks),
            "whole build": partial(whole_build, root / "photos", usual, root / "built"),
        }
        spent = in_turns(runs, (1, workers), repeats)
    return {
        "images": sum(task.samples for task in tasks), "shards": len(tasks), "base": base, "workers": workers,
        "repeats": repeats, "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "versions": {"python": platform.python_version(), **versions()}, "runs": spent,
    }  # fmt: skip


def show(result: Mapping[str, Any]) -> None:
    """Print a result as a table; `x one` is the median of the ratios of the repeats."""
    workers = result["workers"]
    print(f"{result['images']} photos, base {result['base']}, {result['shards']} shards; {result['repeats']} repeats; "
          + ", ".join(f"{name} {version}" for name, version in result["versions"].items()))  # fmt: skip
    print(f"largest process {result['peak_mib']:.0f} MiB\n")
    several = f"{workers} workers"
    print(f"{'':28}{'one: s':>9}{'CPU s':>9}{'busy':>7}{several + ': s':>15}{'CPU s':>9}{'busy':>7}{'x one':>8}")
    for name, repeats in result["runs"].items():
        row = f"{name:28}"
        for count, width in ((1, 9), (workers, 15)):
            wall, cpu = (
                statistics.median(getattr(each[count], what) for each in repeats) for what in ("wall_s", "cpu_s")
            )
            row += f"{wall:{width}.2f}{cpu:9.2f}{cpu / count / wall:7.2f}"
        print(f"{row}{statistics.median(each[1].wall_s / each[workers].wall_s for each in repeats):8.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--base", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    o = parser.parse_args()
    result = measure(o.photos, images=o.images, base=o.base, workers=o.workers, repeats=o.repeats)
    print(json.dumps(result, indent=1, default=asdict)) if o.json else show(result)


if __name__ == "__main__":
    main()
