"""Pull a small and a large export from a loopback Hub: peak memory and speed of each, beside the Hub's own client.

    python scripts/bench_pull.py --megabytes 50 2000

Memory is the largest resident set of the pulling process; it must not grow with the export. Speed is a ratio of runs
that take turns in the same minutes: `hfbucket pull` against `snapshot_download` with as many workers, which checks no
hash. Server and client share one machine, so neither says what a network gives.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.bench_push import make
from tests.hub.client import client_environment
from tests.hub.loopback import LoopbackHub, serving

REPO = "me/bench"
PEAK = "\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
PULL = f"import sys, hfbucket; hfbucket.pull('{REPO}', sys.argv[1], workers=4)"
VERIFY = f"import sys, hfbucket; assert hfbucket.verify('{REPO}', depth='quick', workers=1).ok"
CLIENT = (
    "import sys, huggingface_hub as hub; "
    f"hub.snapshot_download('{REPO}', repo_type='dataset', local_dir=sys.argv[1], max_workers=4)"
)


def run(hub: LoopbackHub, code: str, home: Path, *arguments: str) -> tuple[float, int]:
    """Run code in a process that uses this Hub; return its seconds and its largest resident set in bytes."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code + PEAK, *arguments],
        env={**client_environment(hub, home), "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return time.perf_counter() - started, int(done.stdout.split()[-1]) * 1024


def measure(folder: Path, megabytes: int, repeats: int) -> int:
    """Print what pulls of an export of this size take; return the largest resident set in bytes."""
    export = folder / "export"
    make(export, megabytes)
    size_bytes = sum(path.stat().st_size for path in export.glob("buckets/*/*.tar"))
    pulled: list[float] = []
    peaks: list[int] = []
    ratios: list[float] = []
    with serving(folder / "hub") as hub:
        hub.commit_folder(REPO, export)
        for number in range(repeats):
            home = folder / f"home-{number}"
            seconds, peak = run(hub, PULL, home, str(folder / f"pulled-{number}"))
            client_s, _ = run(hub, CLIENT, home, str(folder / f"client-{number}"))
            pulled.append(seconds)
            peaks.append(peak)
            ratios.append(seconds / client_s)
        again_s, _ = run(hub, PULL, home, str(folder / "pulled-0"))
        deep_s, deep_peak = run(hub, VERIFY, home)
    print(
        f"{size_bytes / 1e6:.0f} MB: peak {max(peaks) / 1e6:.0f} MB, {statistics.median(pulled):.1f} s, "
        f"{statistics.median(ratios):.2f} of the client's time; unchanged {again_s:.1f} s; "
        f"verify --deep {deep_s:.1f} s, peak {deep_peak / 1e6:.0f} MB with one shard mapped"
    )
    return max(peaks)


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[50, 2000])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    peaks = []
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            peaks.append(measure(Path(folder), megabytes, options.repeats))
    print(f"largest peak / smallest peak: {max(peaks) / min(peaks):.2f}")


if __name__ == "__main__":
    main()
