"""Push a small and a large export of shards of one size to a loopback Hub: peak memory and speed of each.

    python scripts/bench_push.py --megabytes 50 2000

Memory is the largest resident set of any process of the push, as the kernel counts it; it must not grow with the
export. Speed is told beside a plain read of the same files, in the same minute.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.factories import Sample, make_export
from tests.hub.client import client_environment
from tests.hub.loopback import LoopbackHub, serving

PUSH = "import sys; from hfbucket.cli.main import console; sys.argv[1:] = ['push', *sys.argv[1:], '--yes']; console()"
SHARD_MB = 25
"""Two buckets with shards of this size each are the smallest export."""


def make(folder: Path, megabytes: int) -> None:
    """Write an export of about this size. Images are padded: bytes after a JPEG's end are legal."""

    def padded(sample: Sample) -> Sample:
        return replace(sample, jpg=sample.jpg + os.urandom(SHARD_MB * 1_000_000))

    shards = max(1, megabytes // SHARD_MB // 2)
    make_export(folder, bases=(64,), divisible=8, per_shard=1, shards_per_bucket=shards, change=padded)


def push(hub: LoopbackHub, export: Path, home: Path) -> tuple[float, int]:
    """Push once; return seconds, and the largest resident set of its processes in bytes."""
    command = [sys.executable, "-c", PUSH, str(export), "me/bench"]
    started = time.perf_counter()
    process = subprocess.Popen(command, env=client_environment(hub, home), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit("the push failed")
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def read(folder: Path) -> float:
    """Return the seconds that reading and hashing the shards takes, which any push has to do twice."""
    started = time.perf_counter()
    for path in folder.glob("buckets/*/*.tar"):
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
    return time.perf_counter() - started


def main() -> None:
    """Measure each size once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[50, 2000])
    parser.add_argument("--make", nargs=2, metavar=("FOLDER", "MEGABYTES"), help="only write such an export")
    options = parser.parse_args()
    if options.make:
        make(Path(options.make[0]), int(options.make[1]))
        return
    peaks = []
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory() as folder, serving(Path(folder, "hub")) as hub:
            export, home = Path(folder, "export"), Path(folder, "home")
            # In a process of its own: what a parent had in memory counts for its children, too.
            subprocess.run([sys.executable, __file__, "--make", str(export), str(megabytes)], check=True)
            size_bytes = sum(path.stat().st_size for path in export.glob("buckets/*/*.tar"))
            hashed_s = read(export)
            pushed_s, peak = push(hub, export, home)
            again_s, _ = push(hub, export, home)
            peaks.append(peak)
            print(
                f"{size_bytes / 1e6:.0f} MB: peak {peak / 1e6:.0f} MB, {pushed_s:.1f} s "
                f"(hashing alone {hashed_s:.1f} s), unchanged {again_s:.1f} s"
            )
    print(f"largest peak / smallest peak: {max(peaks) / min(peaks):.2f}")


if __name__ == "__main__":
    main()
