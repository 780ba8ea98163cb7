"""What one waits for before anything happens: the help of a command, and the first sample of an export of many shards.

    python -m scripts.bench_start [--shards 20000] [--repeats 5] [--json]

The export is a real one, built of copies of a picture with a sample in each shard, so it takes some minutes to make; it
lies on the disk of this machine. Every way runs in a process of its own, in turns, and medians count. Of a command the
whole process counts, its start included, beside an interpreter that does nothing, the limit; of a load what comes after
the imports, which all ways share.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from PIL import Image

import hfbucket

COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "an interpreter that does nothing": ("-c", "pass"),
    "hfbucket --help": ("-c", "from hfbucket.cli.main import console; console()", "--help"),
    "hfbucket build --help": ("-c", "from hfbucket.cli.main import console; console()", "build", "--help"),
    "hf --help, of huggingface_hub": ("-c", "from huggingface_hub.cli.hf import main; main()", "--help"),
}
LOADS: Final[Mapping[str, str]] = {
    "hfbucket.load_dataset, streaming": "hfbucket.load_dataset(export, streaming=True)",
    "the same, undecoded": "hfbucket.load_dataset(export, streaming=True, decode=False)",
    "stock datasets, streaming": 'datasets.load_dataset(export, split="train", streaming=True)',
    "webdataset": "webdataset.WebDataset(sorted(map(str, Path(export).rglob('*.tar'))), shardshuffle=False)",
}
_CLIENT: Final = """
import sys, time
from pathlib import Path
import datasets, webdataset
import hfbucket
export = sys.argv[2]
hfbucket.load_dataset  # imported when it is first named
began = time.perf_counter()
next(iter(eval(sys.argv[1])))
seconds = time.perf_counter() - began
status = Path("/proc/self/status")  # where there is none, getrusage would tell the peak of who started this process
lines = status.read_text().splitlines() if status.exists() else ["VmHWM: 0 kB"]
print(seconds, next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")))
"""
_VERSIONS: Final = ("hfbucket", "datasets", "huggingface_hub", "webdataset", "pyarrow")


@dataclass(frozen=True, kw_only=True, slots=True)
class Waited:
    """What one way took; the peak of its process is 0 where that was not asked for."""

    seconds: float
    peak_mib: float = 0.0


def make_export(folder: Path, shards: int) -> Path:
    """Build an export of so many shards and return its folder."""
    pictures = folder / "pictures"
    pictures.mkdir()
    buffer = io.BytesIO()
    Image.effect_noise((320, 240), 20).convert("RGB").save(buffer, "JPEG", quality=50)
    for number in range(shards):
        (pictures / f"{number:06d}.jpg").write_bytes(buffer.getvalue())
    config = hfbucket.Config(
        base=(256,), max_shard_samples=1, missing_caption="empty", image_mode="passthrough_jpeg", source_hash=False
    )
    hfbucket.build(str(pictures), folder / "export", config)
    return folder / "export"


def command(words: tuple[str, ...]) -> Waited:
    """Run a command from its start to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Waited(seconds=time.perf_counter() - began)


def load(way: str, export: Path) -> Waited:
    """Load the first sample in a fresh process."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    told = subprocess.run(
        [sys.executable, "-c", _CLIENT, way, str(export)],
        check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **offline},
    ).stdout.split()  # fmt: skip
    return Waited(seconds=float(told[-2]), peak_mib=float(told[-1]))


def in_turns(ways: Mapping[str, Callable[[], Waited]], repeats: int) -> dict[str, list[Waited]]:
    """Return what every way took, once for every repeat; a first round only warms up."""
    waited: dict[str, list[Waited]] = {name: [] for name in ways}
    for number in range(repeats + 1):
        for name, way in ways.items():
            one = way()
            if number:
                waited[name].append(one)
    return waited


def measure(shards: int, repeats: int) -> dict[str, Any]:
    """Return what was measured, and on what."""
    commands = in_turns({name: partial(command, words) for name, words in COMMANDS.items()}, repeats)
    with tempfile.TemporaryDirectory(prefix="bench-start-") as temporary:
        os.environ["HF_HOME"] = os.environ["HFBUCKET_CACHE"] = str(Path(temporary, "cache"))
        export = make_export(Path(temporary), shards)
        loads = in_turns({name: partial(load, way, export) for name, way in LOADS.items()}, repeats)
    told = {name: [asdict(each) for each in all_] for name, all_ in {**commands, **loads}.items()}
    versions = {name: importlib.metadata.version(name) for name in _VERSIONS}
    return {
        "shards": shards, "repeats": repeats, "versions": {"python": platform.python_version(), **versions},
        "commands": {name: told[name] for name in commands}, "loads": {name: told[name] for name in loads},
    }  # fmt: skip


def show(result: Mapping[str, Any]) -> None:
    """Print a result as two tables."""
    print(", ".join(f"{name} {version}" for name, version in result["versions"].items()))
    titles = {"commands": "a command", "loads": f"the first sample of {result['shards']:,} shards, after imports"}
    for part, title in titles.items():
        print(f"\n{title:56}{'seconds':>9}{'peak MiB':>10}")
        for name, all_ in result[part].items():
            peak = max(each["peak_mib"] for each in all_)
            seconds = statistics.median(each["seconds"] for each in all_)
            print(f"  {name:54}{seconds:9.2f}" + (f"{peak:10.0f}" if peak else ""))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.shards, options.repeats)
    print(json.dumps(result, indent=1)) if options.json else show(result)


if __name__ == "__main__":
    main()
