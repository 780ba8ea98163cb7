"""Measure a caption workspace: one of synthetic images, filled from files, counted, asked what is to do, planned with.

    python scripts/bench_workspace.py --images 1000000 [--json]

Every step runs in a process of its own; beside it stands how many rows it read or wrote, and the most memory it took.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from hfbucket.config import Config
from hfbucket.core.outcomes import EXPORTED
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.io.index_files import Index, IndexedUnit, write_unit
from hfbucket.io.workspace import Workspace
from hfbucket.schemas import INDEX
from hfbucket.stages.captions import with_captions
from hfbucket.stages.plan import make_plan
from hfbucket.stages.workspace.bring import bring
from hfbucket.stages.workspace.export import export
from hfbucket.stages.workspace.init import from_index
from hfbucket.stages.workspace.stats import stats
from hfbucket.stages.workspace.todo import todo

UNIT_IMAGES = 100_000
VARIANTS = {"gemini": ".parquet", "ministral": ".jsonl", "florence": ".csv"}
IN_NO_ORDER = "florence"
"""The variant whose captions do not come in the order of the images."""

WORDS = np.array(["a", "photo", "of", "the", "old", "harbour", "at", "dawn", "with", "boats", "and", "gulls", "猫"])


def texts(random: np.random.Generator, count: int, words: int) -> list[str]:
    """Return captions of up to twice so many words."""
    return [" ".join(WORDS[random.integers(0, len(WORDS), random.integers(4, 2 * words))]) for _ in range(count)]


def image_ids(start: int, count: int) -> list[str]:
    """Return the image_ids of some images of webdataset tars."""
    return [f"{number // 10_000:05d}.tar/{number:09d}" for number in range(start, start + count)]


def make(folder: Path, images: int) -> None:
    """Write the index units of `images` images with captions of their own, and a file of captions for each variant."""
    random = np.random.default_rng(0)
    pool = texts(random, 5_000, 12)
    (folder / "index").mkdir()
    for start in range(0, images, UNIT_IMAGES):
        count = min(UNIT_IMAGES, images - start)
        unit = _unit(start)
        write_unit(folder / "index" / unit.name, unit, _rows(random, pool, start, count), UnitFacts())
    long = texts(random, 5_000, 60)
    for variant, ending in VARIANTS.items():
        _write(folder / f"{variant}{ending}", _captions(random, variant, long, images))


def _unit(start: int) -> Unit:
    name = f"{start:09d}.parquet"
    return Unit(source=0, kind="parquet", url=f"/photos/{name}", name=name, prefix="", size_bytes=0, version="")


def _rows(random: np.random.Generator, pool: list[str], start: int, count: int) -> pa.Table:
    ids = image_ids(start, count)
    picked = pa.array(pool).take(pa.array(random.integers(0, len(pool), count)))
    # the first of three places has a caption, the others have none
    entries = picked.take(pa.array(np.repeat(np.arange(count), 3), mask=np.tile([False, True, True], count)))
    captions = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32) * 3), entries)
    columns: dict[str, pa.Array] = {
        "image_id": pa.array(ids),
        "digest": pa.array([hashlib.sha256(name.encode()).digest() for name in ids], pa.binary(32)),
        "archive": pa.array([name.partition("/")[0] for name in ids]),
        "member": pa.array([name.partition("/")[2] + ".jpg" for name in ids]),
        "path": pa.nulls(count, pa.binary()),
        "offset": pa.array(np.arange(count, dtype=np.int64) * 100_000),
        "size_bytes": pa.array(random.integers(20_000, 90_000, count)),
        "mtime_ns": pa.array(np.zeros(count, dtype=np.int64)),
        "format": pa.repeat("jpeg", count),
        "width": pa.array(random.integers(500, 2000, count)),
        "height": pa.array(random.integers(500, 2000, count)),
        "orientation": pa.array(np.ones(count, dtype=np.int8)),
        "color": pa.repeat("rgb", count),
        "gps": pa.repeat(False, count),
        "outcome": pa.nulls(count, pa.string()),
        "detail": pa.nulls(count, pa.string()),
        "captions": captions,
        "caption_repaired": pa.repeat(False, count),
        "meta": pa.repeat('{"similarity":0.31,"url":"https://example.org/0.jpg"}', count),
    }
    return pa.table([columns[name] for name in INDEX.names], schema=INDEX)


def _captions(random: np.random.Generator, variant: str, pool: list[str], images: int) -> Iterator[pa.Table]:
    """Yield captions of nine images of ten; some refused, some empty."""
    order = random.permutation(images)[: images * 9 // 10]
    order = order if variant == IN_NO_ORDER else np.sort(order)
    for start in range(0, len(order), UNIT_IMAGES):
        some = order[start : start + UNIT_IMAGES]
        picked = pa.array(pool).take(pa.array(random.integers(0, len(pool), len(some))))
        status = pa.array(["ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok", "refused", "empty"])
        ids = [f"{number // 10_000:05d}.tar/{number:09d}" for number in some.tolist()]
        statuses = status.take(pa.array(random.integers(0, 10, len(some))))
        yield pa.table({"image_id": ids, "status": statuses, "text": picked})


def _write(file: Path, tables: Iterator[pa.Table]) -> None:
    first = next(tables)
    if file.suffix == ".jsonl":
        with file.open("w") as lines:
            for table in (first, *tables):
                lines.writelines(json.dumps(row) + "\n" for row in table.to_pylist())
        return
    writer = pq.ParquetWriter if file.suffix == ".parquet" else pyarrow.csv.CSVWriter
    with writer(file, first.schema) as opened:
        for table in (first, *tables):
            opened.write_table(table)


def open_index(folder: Path) -> Index:
    """Return the index that `make` wrote."""
    units = []
    for number, file in enumerate(sorted((folder / "index").iterdir())):
        metadata = pq.read_metadata(file)
        sha256 = metadata.metadata[b"hfbucket.index_sha256"].decode()
        unit = _unit(number * UNIT_IMAGES)
        units.append(
            IndexedUnit(unit=unit, file=str(file), rows=metadata.num_rows, index_sha256=sha256, facts=UnitFacts())
        )
    return Index(sources=(SourceSpec(name="photos", url="/photos", kind="parquet"),), units=tuple(units))


def _import(variant: str) -> Callable[[Path], int]:
    return lambda folder: bring(folder / "w.sqlite", variant, str(folder / f"{variant}{VARIANTS[variant]}")).counts.rows


def _init(folder: Path) -> int:
    return from_index(open_index(folder), str(folder / "w.sqlite"), Config()).images


def _stats(folder: Path) -> int:
    found = stats(folder / "w.sqlite")
    return sum(each.ok + each.empty + each.refused + each.error for each in found.variants)


def _todo(folder: Path) -> int:
    left = sum(1 for _ in todo(folder / "w.sqlite", "gemini"))
    images = open_index(folder).rows
    assert left == images - images * 9 // 10, left
    return images


def _export(folder: Path) -> int:
    return export(folder / "w.sqlite", str(folder / "all.parquet")).captions


def _sha256(folder: Path) -> int:
    with Workspace(folder / "w.sqlite") as workspace:
        workspace.sha256(workspace.variants())
    return open_index(folder).rows * len(VARIANTS)


def _captions_of(folder: Path) -> int:
    with Workspace(folder / "w.sqlite") as workspace:
        for _, piece in open_index(folder).groups("image_id"):
            for _ in workspace.captions_of(piece["image_id"], list(VARIANTS)):
                pass
    return open_index(folder).rows * len(VARIANTS)


def _plan(folder: Path, workspace: str | None) -> int:
    config = Config(
        base=(1024, 512, 256), cache_dir=str(folder / "cache"), captions=workspace,
        priority=("gemini", "ministral", "florence", "original") if workspace else (),
    )  # fmt: skip
    index = open_index(folder)
    plan = make_plan(with_captions(index, config), config)
    assert np.any(plan.outcome == EXPORTED)
    return index.rows


STEPS: dict[str, tuple[str, Callable[[Path], int]]] = {
    "init": ("images", _init),
    **{
        f"import {ending}{', in no order' * (variant == IN_NO_ORDER)}": ("rows", _import(variant))
        for variant, ending in VARIANTS.items()
    },
    "import .parquet again": ("rows", _import("gemini")),
    "stats": ("captions", _stats),
    "todo": ("images", _todo),
    "export .parquet": ("captions", _export),
    "Workspace.sha256": ("captions", _sha256),
    "Workspace.captions_of": ("captions", _captions_of),
    "plan without workspace": ("images", lambda folder: _plan(folder, None)),
    "plan with selection": ("images", lambda folder: _plan(folder, str(folder / "w.sqlite"))),
    "plan with selection, again": ("images", lambda folder: _plan(folder, str(folder / "w.sqlite"))),
}
"""What is measured, in this order: what its rows are, and what runs."""


def measure(folder: Path, step: str) -> dict[str, object]:
    """Return seconds, rows and peak memory of one step in this process."""
    start, start_cpu = time.perf_counter(), time.process_time()
    rows = STEPS[step][1](folder)
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    return {
        "step": step,
        "rows": rows,
        "of": STEPS[step][0],
        "seconds": round(seconds, 2),
        "cpu_s": round(cpu, 2),
        "rows_per_s": int(rows / seconds),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def run(images: int, folder: Path) -> dict[str, object]:
    """Return the measurements of all steps over a workspace of so many images."""
    # in a process of its own: what starts others hands its own peak of memory down to them
    subprocess.run([sys.executable, __file__, "--images", str(images), "--make", str(folder)], check=True)
    steps = []
    for step in STEPS:
        command = [sys.executable, __file__, "--measure", step, str(folder)]
        steps.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    size_mb = (folder / "w.sqlite").stat().st_size >> 20
    return {"images": images, "variants": len(VARIANTS), "workspace_mb": size_mb, "steps": steps}


def table(found: dict[str, object]) -> str:
    """Return the measurements for people."""
    lines = [f"{found['images']} images, {found['variants']} variants, workspace of {found['workspace_mb']} MB", ""]
    lines.append(f"{'step':<28} {'rows':>10} {'':<9} {'seconds':>8} {'CPU s':>7} {'rows/s':>10} {'peak MB':>8}")
    steps = found["steps"]
    assert isinstance(steps, list)
    lines += [
        f"{s['step']:<28} {s['rows']:>10,} {s['of']:<9} {s['seconds']:>8.2f} {s['cpu_s']:>7.2f} "
        f"{s['rows_per_s']:>10,} {s['peak_mb']:>8,}"
        for s in steps
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, metavar=("STEP", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--make", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make(Path(arguments.make), arguments.images)
        return
    if arguments.measure:
        step, folder = arguments.measure
        print(json.dumps(measure(Path(folder), step)))
        return
    with tempfile.TemporaryDirectory(prefix="hfbucket-bench-") as temporary:
        found = run(arguments.images, Path(temporary))
    print(json.dumps(found, indent=2) if arguments.json else table(found))


if __name__ == "__main__":
    main()
