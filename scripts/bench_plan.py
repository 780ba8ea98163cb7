"""Measure the table at scale: planning, and with --through fold what a build does with every row beside its images.

    python scripts/bench_plan.py --rows 1000000 18600000
    python scripts/bench_plan.py --rows 200000000
    python scripts/bench_plan.py --rows 2000000 18600000 --through fold [--json]

An index of synthetic rows is written to disk, a unit at a time, 50 to 60 bytes a row. Reading it
is measured for comparison, then `plan`, and with --through fold also `tasks` (the table of what every shard holds), and
`finish`: sample tables, ledger, card and manifest, folded from the receipts of shards. No image is there to be written:
`receipts` stands in for that, with rows as writing makes them, and is no part of hfbucket. Every count of rows is
measured in processes of their own; each step's peak is the most memory the process held during it. Seconds differ from
machine to machine; that seconds and bytes a row do not grow with the rows is what is to be seen.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import hfbucket
from hfbucket.config import Config
from hfbucket.core.card.words import Words
from hfbucket.core.events import ignore
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.core.plan.model import Plan
from hfbucket.core.plan.rows import columns_for
from hfbucket.core.settings import content_settings
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.io.index_files import Index, IndexedUnit
from hfbucket.io.receipts import Receipt, receipt_writer
from hfbucket.io.tables import write_table
from hfbucket.schemas import INDEX, SAMPLES
from hfbucket.stages.captions import choice_for
from hfbucket.stages.plan import make_plan, read_protos
from hfbucket.stages.write.finish import Built, finish
from hfbucket.stages.write.task import Job, ShardTask
from hfbucket.stages.write.tasks import make_job, write_tasks
from hfbucket.stages.write.work import work_beside

UNIT_ROWS = 500_000
CAPTIONS = 50_000
CONFIG = Config(base=(1024, 512, 256), shuffle=1, min_bucket=1000, rare="merge")
FOLDED = ("image_id", "archive", "member", "offset", "mtime_ns", "gps", "caption_repaired", "detail", "path", "meta")
STEPS = ("read", "plan", "tasks", "receipts", "finish")


def write_index(folder: Path, rows: int, *, whole: bool) -> None:
    """Write units of photos as a crawl of the web gives them: sides from some tens of pixels to some thousands.

    Args:
        whole: all columns of an index, not only those that a plan reads.
    """
    random = np.random.default_rng(0)
    texts = pa.array([f"{number:x}, a photo of {'x' * (number % 150)}" for number in range(CAPTIONS)])
    for number, start in enumerate(range(0, rows, UNIT_ROWS)):
        count = min(UNIT_ROWS, rows - start)
        columns = _planned_columns(random, texts, count) | (_other_columns(number, count) if whole else {})
        schema = pa.schema([field for field in INDEX if field.name in columns])
        write_table(folder / f"{number:06d}.parquet", pa.table(columns, schema=schema), flush=False)


def _planned_columns(random: np.random.Generator, texts: pa.Array, count: int) -> dict[str, pa.Array]:
    longer = np.exp(random.normal(6.6, 0.6, count)).astype(np.int64) + 1
    shorter = (longer * random.choice([1.0, 3 / 4, 2 / 3, 9 / 16, 0.9, 0.5], count)).astype(np.int64) + 1
    shorter += random.integers(0, 9, count)
    wide = random.random(count) < 0.6
    picked = texts.take(pa.array(random.integers(0, CAPTIONS, count)))
    captions = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32)), picked)
    outcome = pa.array(np.where(random.random(count) < 0.01, 0, -1))
    digests = [None, pa.py_buffer(random.bytes(32 * count))]
    return {
        "digest": pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), count, digests),
        "size_bytes": pa.array(longer * shorter // 5),
        "format": pa.repeat("jpeg", count),
        "width": pa.array(np.where(wide, longer, shorter)),
        "height": pa.array(np.where(wide, shorter, longer)),
        "orientation": pa.array(np.ones(count, dtype=np.int8)),
        "color": pa.repeat("rgb", count),
        "outcome": pa.array(["decode_errors"]).take(pc.if_else(pc.equal(outcome, 0), outcome, None)),
        "captions": captions,
    }


def _other_columns(unit: int, count: int) -> dict[str, pa.Array]:
    numbers = pa.array(np.arange(count)).cast(pa.string())
    member = pc.binary_join_element_wise(pc.utf8_lpad(numbers, 9, "0"), "jpg", ".")
    meta = pc.binary_join_element_wise('{"class_id":', numbers, "}", "")
    archive = f"{unit:06d}.tar"
    return {
        "image_id": pc.binary_join_element_wise(archive, member, "/"),
        "archive": pa.repeat(archive, count),
        "member": member,
        "path": pa.nulls(count, pa.binary()),
        "offset": pa.array(np.arange(count) * 102_400),
        "mtime_ns": pa.array(np.zeros(count, dtype=np.int64)),
        "gps": pa.repeat(False, count),
        "detail": pa.nulls(count, pa.string()),
        "caption_repaired": pa.repeat(False, count),
        "meta": meta,
    }


def open_index(folder: Path) -> Index:
    """Return the index that `write_index` wrote."""
    units = []
    for file in sorted(folder.iterdir()):
        unit = Unit(source=0, kind="tars", url=str(file), name=file.name, prefix="", size_bytes=0, version="")
        rows = pq.read_metadata(file).num_rows
        facts = UnitFacts(meta_keys=("class_id",))
        units.append(IndexedUnit(unit=unit, file=str(file), rows=rows, index_sha256=file.name, facts=facts))
    return Index(sources=(SourceSpec(name="synthetic", url=str(folder), kind="tars"),), units=tuple(units))


class Measured:
    """Seconds and peak memory of the steps of one process."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, float]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        _forget_peak()
        start, cpu = time.perf_counter(), time.process_time()
        yield
        self.steps[name] = {
            "s": round(time.perf_counter() - start, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
            "peak_mb": _peak_mb(),
        }


def _forget_peak() -> None:
    """Let the kernel count the peak from now on, where it is Linux; elsewhere a step's peak holds the earlier ones."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mb() -> int:
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) >> 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20


def measure(what: str, folder: Path) -> dict[str, Any]:
    """Return what one process measures."""
    measured = Measured()
    result: dict[str, Any] = {"steps": measured.steps, "started_mb": _peak_mb()}
    if what == "read":
        with measured.step("read"):
            for _ in open_index(folder).groups(*columns_for(CONFIG)):
                pass
        return result
    with measured.step("plan"):
        index = open_index(folder)
        plan = make_plan(index, CONFIG)
    counts = zip(OUTCOMES, plan.images(), strict=True)
    result |= {"shards": len(plan.shards.bucket), "outcomes": {name: count for name, count in counts if count}}
    if what == "fold":
        with tempfile.TemporaryDirectory(prefix="bench-plan-", dir=folder.parent) as place:
            _fold(index, plan, Path(place) / "export", measured)
    return result


def _fold(index: Index, plan: Plan, export: Path, measured: Measured) -> None:
    export.mkdir()
    work = work_beside(export)
    work.folder.mkdir()
    settings = content_settings(CONFIG, read_protos(CONFIG))
    job = make_job(index, CONFIG, choice_for(index, CONFIG), export, work)
    with measured.step("tasks"):
        tasks = write_tasks(index, plan, job, settings)
    with measured.step("receipts"):
        receipts = [_stand_in(job, task) for task in tasks]
    with measured.step("finish"):
        finish(Built(index=index, plan=plan, job=job, settings=settings, receipts=receipts), Words(), {},
               on_event=ignore)  # fmt: skip


def _stand_in(job: Job, task: ShardTask) -> Receipt:
    """Write a receipt for a shard that is not there, as if every image had come to 100 kB."""
    with pq.ParquetFile(task.table) as file:
        rows = file.read_row_groups(task.row_groups)
    count, bucket = rows.num_rows, task.bucket
    first = np.arange(count) * 102_400
    one_each = pa.array(np.arange(count + 1, dtype=np.int32))
    variants = pa.StructArray.from_arrays(
        [pa.repeat("caption", count), rows["caption"].combine_chunks()], names=["variant", "text"]
    )
    constants: dict[str, object] = {
        "bucket_id": bucket.bucket_id, "base_resolution": bucket.base, "shard": task.file, "jpg_size": 100_000,
        "txt_size": 80, "json_size": 900, "w": bucket.w, "h": bucket.h, "image_mode": "reencode_jpeg",
        "jpeg": {"quality": 95, "subsampling": "4:2:0"}, "caption_variant": "caption", "caption_selector_index": 0,
        "source_sha256": "0" * 64, "source_split": None,
    }  # fmt: skip
    columns: dict[str, Any] = {name: rows[name] for name in rows.column_names if name in SAMPLES.names}
    columns |= {name: pa.repeat(pa.scalar(value, SAMPLES.field(name).type), count) for name, value in constants.items()}
    columns |= {f"{member}_offset": pa.array(first) for member in ("jpg", "txt", "json")}
    columns |= {
        "key": pa.array([digest[:16].hex() for digest in rows["digest"].to_pylist()]),
        "captions": pa.ListArray.from_arrays(one_each, variants),
        "source_archive": rows["archive"],
        "source_member": rows["member"],
    }
    receipt = Receipt(task_sha256=task.task_sha256, file=task.file, count=count, size_bytes=count * 102_400, sha256="0")
    samples = pa.table([columns[field.name] for field in SAMPLES], names=SAMPLES.names).cast(SAMPLES)
    with receipt_writer(job.work.receipts, task.file, flush=False) as writer:
        writer.add(samples)
        writer.end(receipt)
    return receipt


def bench(rows: int, through: str, place: str | None) -> dict[str, Any]:
    """Return what is measured with an index of this many rows."""
    with tempfile.TemporaryDirectory(prefix="bench-plan-", dir=place) as temporary:
        folder = Path(temporary) / "index"
        folder.mkdir()
        write_index(folder, rows, whole=through == "fold")
        size_bytes = sum(file.stat().st_size for file in folder.iterdir())
        runs = []
        for what in ("read", through):
            command = [sys.executable, __file__, "--measure", what, str(folder)]
            runs.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    steps = {**runs[0]["steps"], **runs[1]["steps"]}
    for step in steps.values():
        step["rows_per_s"] = int(rows / max(step["s"], 0.01))  # seconds are told to the hundredth
        step["bytes_per_row"] = round((int(step["peak_mb"]) << 20) / rows, 1)
    return {**runs[1], "rows": rows, "index_bytes": size_bytes, "steps": steps}


def table(found: list[dict[str, Any]]) -> str:
    """Return the results as text."""
    lines = [f"{'rows':>12} {'step':<9} {'seconds':>8} {'CPU s':>8} {'rows/s':>10} {'peak MB':>8} {'bytes/row':>9}"]
    shown: Callable[[int, str, dict[str, Any]], str] = lambda rows, name, step: (  # noqa: E731
        f"{rows:>12,} {name:<9} {step['s']:>8.1f} {step['cpu_s']:>8.1f} {step['rows_per_s']:>10,} "
        f"{step['peak_mb']:>8,} {step['bytes_per_row']:>9.1f}"
    )
    lines += [
        shown(each["rows"], name, each["steps"][name]) for each in found for name in STEPS if name in each["steps"]
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 4_000_000, 18_600_000])
    parser.add_argument("--through", choices=("plan", "fold"), default="plan")
    parser.add_argument("--folder", help="where the index and all else is put while this runs; else the usual place")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, folder = arguments.measure
        print(json.dumps(measure(what, Path(folder))))
        return
    found = [bench(rows, arguments.through, arguments.folder) for rows in arguments.rows]
    versions = {"hfbucket": hfbucket.__version__, "numpy": np.__version__, "pyarrow": pa.__version__}
    machine = {"python": platform.python_version(), "cpus": os.cpu_count(), "load": list(os.getloadavg())}
    if arguments.json:
        print(json.dumps({"results": found, "versions": versions, "machine": machine}, indent=2))
    else:
        print(table(found), "", ", ".join(f"{name} {value}" for name, value in (versions | machine).items()), sep="\n")


if __name__ == "__main__":
    main()
