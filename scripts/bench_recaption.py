"""Seconds of recaption as ratios to `cp -r` of the export plus the SHA-256 of the same bytes.

    python scripts/bench_recaption.py [PHOTOS] [--size 1GB] [--shard-size 100MB] [--workers 1 --workers 2] [--json]

PHOTOS is a folder of JPEG photos (without it those of scikit-image, encoded anew); they stand in the export under as
many names as it takes to reach the size. The runs of all kinds are interleaved, so that a busy machine slows all
alike; medians count. Every run ends with all bytes on the disk. `all` gives every image another caption, so every shard
is written anew; `a few` twenty neighbours; `dry run` only counts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hfbucket.config import Config
from hfbucket.config_values import read
from hfbucket.core.keys import digest_of, key_of
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.workspace.database import transaction, writing
from hfbucket.stages.recaption import recaption
from hfbucket.stages.write.build import build
from scripts.bench_write import cpu_seconds, scikit_photos

FEW = 20
"""Images that have a caption of the variant `few` and lose it again."""


def make_photos(photos: Path | None, folder: Path, size_bytes: int) -> list[str]:
    """Fill a folder with photos until they have as many bytes; return their names."""
    folder.mkdir()
    files = [path.read_bytes() for path in sorted(photos.rglob("*.[jJ][pP]*[gG]"))] if photos else scikit_photos()
    names: list[str] = []
    while size_bytes > 0:
        data = files[len(names) % len(files)]
        names.append(f"{len(names):07d}.jpg")
        (folder / names[-1]).write_bytes(data)
        size_bytes -= len(data)
    return names


def make_workspace(path: Path, names: list[str]) -> None:
    """Write captions of three models: `one` and `two` for every image, `few` for the last."""
    with writing(path, create=True) as connection, transaction(connection):
        connection.executemany(
            "INSERT INTO images (image_id, key, kind, path, member, offset, size_bytes) "
            "VALUES (?, ?, 'file', ?, ?, 0, 1)",
            ((name, key_of(digest_of(name)), name, name) for name in names),
        )
        texts = [(name, variant, f"The {variant} caption of {name}, " + "as long as captions are" + " and longer" * 16)
                 for name in names for variant in ("one", "two")]  # fmt: skip
        texts.append((names[-1], "few", "There is one always"))
        connection.executemany("INSERT INTO captions (image_id, variant, status, text) VALUES (?, ?, 'ok', ?)", texts)


def copy_and_hash(export: Path, root: Path) -> None:
    """Copy an export and hash all bytes of the copy, and see them on the disk."""
    copy = root / "copy"
    subprocess.run(["cp", "-r", str(export), str(copy)], check=True)
    for path in sorted(copy.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                hasher = hashlib.sha256()
                while block := file.read(1 << 20):
                    hasher.update(block)
    os.sync()


def select(export: Path, workspace: Path, priority: str, workers: int, dry_run: bool, _: Path) -> None:
    """Give the export another selection."""
    config = Config(captions=str(workspace), priority=(priority,), workers=workers)
    recaption(export, config, dry_run=dry_run)
    os.sync()


def select_few(export: Path, workspace: Path, names: list[str], there: bool, workers: int, root: Path) -> None:
    """Give some images a caption of their own, or take it away again."""
    with writing(workspace) as connection, transaction(connection):
        sql = "INSERT INTO captions (image_id, variant, status, text) VALUES (?, 'few', 'ok', 'One of the few')"
        gone = "DELETE FROM captions WHERE image_id = ? AND variant = 'few'"
        connection.executemany(sql if there else gone, ((name,) for name in names))
    select(export, workspace, "few,one", workers, False, root)


def measure(photos: Path | None, size_bytes: int, shard_bytes: int, workers: list[int], repeats: int) -> dict[str, Any]:
    """Return the size of the export and what every kind of run took in seconds."""
    with tempfile.TemporaryDirectory(prefix="bench-recaption-") as temporary:
        root = Path(temporary)
        os.environ["HFBUCKET_CACHE"] = str(root / "cache")
        names = make_photos(photos, root / "photos", size_bytes)
        workspace, export = root / "captions.sqlite", root / "export"
        make_workspace(workspace, names)
        config = Config(base=(512, 256, 128), image_mode="passthrough_jpeg", max_shard_size=shard_bytes,
                        captions=str(workspace), priority=("one",), max_pixels=178_000_000)  # fmt: skip
        build([str(root / "photos")], export, config)
        shutil.rmtree(root / "photos")
        runs: dict[str, Callable[[Path], None]] = {"cp -r + sha256": partial(copy_and_hash, export)}
        for number in workers:
            # Run one after the other, so that each has all to change again.
            runs[f"all, {number} workers"] = partial(select, export, workspace, "two", number, False)
            runs[f"all back, {number} workers"] = partial(select, export, workspace, "one", number, False)
        runs["dry run"] = partial(select, export, workspace, "two", 0, True)
        runs["all, then a few"] = partial(select, export, workspace, "few,one", workers[-1], False)
        for name, there in (("a few", True), ("a few back", False)):
            runs[name] = partial(select_few, export, workspace, names[:-1][:FEW], there, workers[-1])
        manifest = read_manifest(export)
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for _ in range(repeats):
            for name, run in runs.items():
                os.sync()
                began, cpu = time.perf_counter(), cpu_seconds()
                run(root)
                spent[name].append((time.perf_counter() - began, cpu_seconds() - cpu))
                shutil.rmtree(root / "copy", ignore_errors=True)
    return {
        "images": len(names),
        "bytes": sum(entry.bytes or 0 for entry in manifest.buckets.values()),
        "shards": sum(len(entry.shards) for entry in manifest.buckets.values()),
        "repeats": repeats,
        "seconds": {name: statistics.median(wall for wall, _ in times) for name, times in spent.items()},
        "cpu_seconds": {name: statistics.median(cpu for _, cpu in times) for name, times in spent.items()},
    }


def show(result: Mapping[str, Any]) -> None:
    """Print a result as a table."""
    seconds, cpu = result["seconds"], result["cpu_seconds"]
    base, cpu_base = (times["cp -r + sha256"] for times in (seconds, cpu))
    print(f"{result['images']} images, {result['bytes'] / 1e6:.1f} MB in {result['shards']} shards; medians of "
          f"{result['repeats']} interleaved runs\n")  # fmt: skip
    print(f"{'':24}{'seconds':>10}{'ratio':>9}{'CPU s':>10}{'ratio':>9}")
    for name, took in seconds.items():
        print(f"{name:24}{took:10.2f}{took / base:9.2f}{cpu[name]:10.2f}{cpu[name] / cpu_base:9.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    size = partial(read, "size", int, {"low": 1, "size_in_bytes": True})
    parser.add_argument("--size", type=size, default=size("1GB"))
    parser.add_argument("--shard-size", type=size, default=size("100MB"))
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.photos, options.size, options.shard_size, options.workers or [1, 2], options.repeats)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        show(result)


if __name__ == "__main__":
    main()
