"""Measure the search for duplicates: what it finds among photos and twins made of them, and how long hashes take.

    python scripts/bench_dedupe.py PHOTOS [--images 400] [--hashes 1000000] [--json]

Of every photo there is a byte-for-byte copy, and twins saved anew at several qualities and sizes; all of them stand
after all photos, so that whatever goes should be a twin. A photo that goes is either like another one, or a mistake:
these are named. Hashes are random, one of twenty near to another; each measurement has a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from hfbucket.config import Config
from hfbucket.core.duplicates.near import near_repeats
from hfbucket.core.events import ignore
from hfbucket.core.plan.model import Plan
from hfbucket.errors import SampleError
from hfbucket.io.images.decode import decode_rgb
from hfbucket.stages.index import build_index
from hfbucket.stages.plan import make_plan

THRESHOLDS = (0, 1, 2, 3, 4, 5, 6, 8)
LIMIT = 10**9


def _saved(image: Image.Image, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def _sized(image: Image.Image, percent: int, quality: int) -> bytes:
    size = (max(1, image.width * percent // 100), max(1, image.height * percent // 100))
    return _saved(image.resize(size, Image.Resampling.LANCZOS), quality=quality)


TWINS: dict[str, Callable[[Image.Image], bytes]] = {
    "quality 95": lambda image: _saved(image, quality=95),
    "quality 70": lambda image: _saved(image, quality=70),
    "quality 50": lambda image: _saved(image, quality=50),
    "quality 30": lambda image: _saved(image, quality=30),
    "75% size": lambda image: _sized(image, 75, 85),
    "50% size": lambda image: _sized(image, 50, 85),
    "33% size": lambda image: _sized(image, 33, 85),
    "50% size, quality 30": lambda image: _sized(image, 50, 30),
}


def write_photos(photos: Path, folder: Path, images: int) -> dict[str, str]:
    """Write photos, copies and twins; return the photo that each name is a twin of, and for photos themselves."""
    of: dict[str, str] = {}
    for number, source in enumerate(_chosen(photos, images)):
        data = source.read_bytes()
        try:
            image = decode_rgb(data, max_pixels=LIMIT).image
        except SampleError:
            continue
        files = {"0": data, "1 copy": data, **{f"2 {kind}": make(image) for kind, make in TWINS.items()}}
        for kind, content in files.items():
            name = f"{kind}/{number:06d}{source.suffix.lower()}"
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            of[name] = f"0/{number:06d}{source.suffix.lower()}"
    return of


def _chosen(photos: Path, images: int) -> list[Path]:
    """Return photos spread evenly over all, each of other bytes."""
    seen: dict[str, Path] = {}
    for path in sorted(photos.rglob("*")):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
            seen.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    found = list(seen.values())
    return [found[at * len(found) // images] for at in range(images)] if images < len(found) else found


def find(
    folder: Path, cache: Path, dedupe: Literal["sha256", "pixels", "near"], threshold: int
) -> tuple[list[tuple[str, str, int]], float]:
    """Return (name, name of its twin, distance) of all that go, and the seconds of planning."""
    config = Config(
        base=(16,), divisible=1, missing_caption="empty", workers=0, dedupe=dedupe, near_threshold=threshold,
        cache_dir=str(cache),
    )  # fmt: skip
    index = build_index([str(folder)], config)
    start = time.perf_counter()
    made: Plan = make_plan(index, config, on_event=ignore)
    seconds = time.perf_counter() - start
    ids = index.columns("image_id")["image_id"].to_pylist()
    twins = zip(made.twins.rows.tolist(), made.twins.twin.tolist(), made.twins.distance.tolist(), strict=True)
    return [(ids[row], ids[twin], distance) for row, twin, distance in twins], seconds


def measure_photos(photos: Path, images: int) -> dict[str, Any]:
    """Return what each kind of search finds, and how fast fingerprints are taken."""
    with tempfile.TemporaryDirectory(prefix="hfbucket-bench-") as name:
        folder, cache = Path(name, "photos"), Path(name, "cache")
        of = write_photos(photos, folder, images)
        result: dict[str, Any] = {"photos": sum(name.startswith("0/") for name in of), "images": len(of)}
        exact: tuple[Literal["sha256", "pixels"], ...] = ("sha256", "pixels")
        for dedupe in exact:
            gone, seconds = find(folder, cache, dedupe, 4)
            copies = {name for name in of if name.startswith("1 copy/")}
            found = {name for name, twin, _ in gone if of[name] == twin}
            result[dedupe] = {
                "images_per_s": int(len(of) / seconds), "copies": len(copies), "copies_gone": len(found & copies),
                "others_gone": len(gone) - len(found & copies),
            }  # fmt: skip
        _, seconds = find(folder, cache, "near", 0)
        result["near"] = {"images_per_s": int(len(of) / seconds), "by_threshold": {}}
        for threshold in THRESHOLDS:
            gone, _ = find(folder, cache, "near", threshold)
            result["near"]["by_threshold"][threshold] = judge(gone, of)
        return result


def judge(gone: list[tuple[str, str, int]], of: dict[str, str]) -> dict[str, Any]:
    """Return precision and recall of what went, and which photos went for others."""
    right = {name for name, twin, _ in gone if of[name] == of[twin] and not name.startswith("0/")}
    twins = [name for name in of if not name.startswith("0/")]
    kinds = sorted({name.partition("/")[0] for name in twins})
    return {
        "gone": len(gone),
        "precision": round(len(right) / max(1, len(gone)), 5),
        "recall": round(len(right) / max(1, len(twins)), 5),
        "recall_by_kind": {kind[2:]: _share(kind, right, twins) for kind in kinds},
        "photos_gone": [f"{name} for {twin}, {distance}" for name, twin, distance in gone if name.startswith("0/")],
    }


def _share(kind: str, right: set[str], twins: list[str]) -> float:
    names = [name for name in twins if name.startswith(f"{kind}/")]
    return round(sum(name in right for name in names) / max(1, len(names)), 4)


def measure_hashes(rows: int, threshold: int) -> dict[str, Any]:
    """Return seconds and peak memory of one search among random hashes, in this process."""
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, rows, dtype=np.uint64)
    twins = rows // 20
    near = hashes[random.integers(0, rows, twins)]
    for _ in range(4):
        near = near ^ (np.uint64(1) << random.integers(0, 64, twins, dtype=np.uint64))
    hashes[random.integers(0, rows, twins)] = near
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    start, start_cpu = time.perf_counter(), time.process_time()
    gone, _ = near_repeats(hashes, threshold)
    return {
        "rows": rows, "threshold": threshold, "gone": len(gone), "seconds": round(time.perf_counter() - start, 1),
        "cpu_s": round(time.process_time() - start_cpu, 1), "before_mb": before_mb,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }  # fmt: skip


def hash_runs(rows: int) -> Iterator[dict[str, Any]]:
    """Yield one measurement for some thresholds."""
    for threshold in (0, 2, 4, 6, 8):
        command = [sys.executable, __file__, "--measure", str(rows), str(threshold)]
        yield json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def show(result: dict[str, Any]) -> None:
    """Print results as tables."""
    if "photos" in result:
        print(f"{result['photos']} photos, {result['images']} images with their copies and twins\n")
        for dedupe in ("sha256", "pixels"):
            told = result[dedupe]
            print(f"{dedupe}: {told['copies_gone']} of {told['copies']} copies gone, {told['others_gone']} others; "
                  f"{told['images_per_s']} images/s")  # fmt: skip
        print(f"near: {result['near']['images_per_s']} images/s\n\n  N  precision  recall    photos gone")
        for threshold, told in result["near"]["by_threshold"].items():
            photos = "; ".join(told["photos_gone"]) or "none"
            print(f"  {threshold}  {told['precision']:9.5f}  {told['recall']:7.5f}  {photos}")
            print("     " + ", ".join(f"{kind} {share:.3f}" for kind, share in told["recall_by_kind"].items()))
    for run in result.get("hashes", ()):
        print(f"{run['rows']:,} hashes, N={run['threshold']}: {run['gone']:,} gone, {run['seconds']} s "
              f"({run['cpu_s']} s of one core), peak {run['peak_mb']} MB, {run['before_mb']} MB before")  # fmt: skip


def main() -> None:
    """Run the benchmark, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--hashes", type=int, default=1_000_000, help="0 for none")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, type=int, metavar=("ROWS", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure_hashes(*options.measure)))
        return
    result = measure_photos(options.photos, options.images) if options.photos else {}
    if options.hashes:
        result["hashes"] = list(hash_runs(options.hashes))
    print(json.dumps(result, indent=2)) if options.json else show(result)


if __name__ == "__main__":
    main()
