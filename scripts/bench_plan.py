"""Measure planning: an index of synthetic rows on disk, then the plan stage over it, beside reading the index alone.

    python scripts/bench_plan.py --rows 18000000

The two are run in turn, each in a process of its own; ratios hold from machine to machine, seconds do not.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from hfbucket.config import Config
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.core.plan.rows import columns_for
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.io.index_files import Index, IndexedUnit
from hfbucket.io.tables import write_table
from hfbucket.schemas import INDEX
from hfbucket.stages.plan import make_plan

UNIT_ROWS = 500_000
CAPTIONS = 50_000
CONFIG = Config(base=(1024, 512, 256), shuffle=1, min_bucket=1000, rare="merge")


def write_index(folder: Path, rows: int) -> None:
    """Write units of photos as a crawl of the web gives them: sides from some tens of pixels to some thousands."""
    random = np.random.default_rng(0)
    texts = pa.array([f"{number:x}, a photo of {'x' * (number % 150)}" for number in range(CAPTIONS)])
    for number, start in enumerate(range(0, rows, UNIT_ROWS)):
        count = min(UNIT_ROWS, rows - start)
        write_table(folder / f"{number:06d}.parquet", _unit_table(random, texts, count))


def _unit_table(random: np.random.Generator, texts: pa.Array, count: int) -> pa.Table:
    longer = np.exp(random.normal(6.6, 0.6, count)).astype(np.int64) + 1
    shorter = (longer * random.choice([1.0, 3 / 4, 2 / 3, 9 / 16, 0.9, 0.5], count)).astype(np.int64) + 1
    shorter += random.integers(0, 9, count)
    wide = random.random(count) < 0.6
    picked = texts.take(pa.array(random.integers(0, CAPTIONS, count)))
    captions = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32)), picked)
    outcome = pa.array(np.where(random.random(count) < 0.01, 0, -1))
    columns: dict[str, pa.Array] = {
        "digest": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(32), count, [None, pa.py_buffer(random.bytes(32 * count))]
        ),
        "size_bytes": pa.array(longer * shorter // 5),
        "format": pa.repeat("jpeg", count),
        "width": pa.array(np.where(wide, longer, shorter)),
        "height": pa.array(np.where(wide, shorter, longer)),
        "orientation": pa.array(np.ones(count, dtype=np.int8)),
        "color": pa.repeat("rgb", count),
        "outcome": pa.array(["decode_errors"]).take(pa.compute.if_else(pa.compute.equal(outcome, 0), outcome, None)),
        "captions": captions,
    }
    return pa.table(columns, schema=pa.schema([INDEX.field(name) for name in columns]))


def open_index(folder: Path) -> Index:
    """Return the index that `write_index` wrote."""
    units = []
    for file in sorted(folder.iterdir()):
        unit = Unit(source=0, kind="tars", url=str(file), name=file.name, prefix="", size_bytes=0, version="")
        rows = pa.parquet.read_metadata(file).num_rows
        units.append(IndexedUnit(unit=unit, file=str(file), rows=rows, index_sha256=file.name, facts=UnitFacts()))
    return Index(sources=(SourceSpec(name="synthetic", url=str(folder), kind="tars"),), units=tuple(units))


def measure(folder: Path, what: str) -> dict[str, object]:
    """Return seconds and peak memory of one run in this process."""
    index = open_index(folder)
    start = time.perf_counter()
    result: dict[str, object] = {"what": what, "rows": index.rows}
    if what == "read":
        for _ in index.groups(*columns_for(CONFIG)):
            pass
    else:
        plan = make_plan(index, CONFIG)
        result["shards"] = sum(1 for _ in plan.shard_rows())
        counts = np.bincount(plan.outcome, minlength=len(OUTCOMES)).tolist()
        result["outcomes"] = {name: count for name, count in zip(OUTCOMES, counts, strict=True) if count}
    result["seconds"] = time.perf_counter() - start
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result


def compare(rows: int, runs: int) -> dict[str, object]:
    """Return medians of interleaved runs over an index of this many rows."""
    with tempfile.TemporaryDirectory(prefix="hfbucket-bench-") as folder:
        write_index(Path(folder), rows)
        found: dict[str, list[dict[str, object]]] = {"read": [], "plan": []}
        for _ in range(runs):
            for what, results in found.items():
                command = [sys.executable, __file__, "--measure", what, folder]
                results.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
    last = found["plan"][-1]
    read_s, plan_s = (statistics.median(float(str(run["seconds"])) for run in found[what]) for what in found)
    peak_mb = {what: max(int(str(run["peak_mb"])) for run in found[what]) for what in found}
    return {
        "rows": rows,
        "runs": runs,
        "read_index_s": round(read_s, 2),
        "plan_s": round(plan_s, 2),
        "plan_over_read": round(plan_s / read_s, 2),
        "plan_rows_per_s": int(rows / plan_s),
        "peak_mb": peak_mb,
        "peak_bytes_per_row": (peak_mb["plan"] << 20) // rows,
        "shards": last["shards"],
        "outcomes": last["outcomes"],
    }


def main() -> None:
    """Run the benchmark, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=18_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, folder = arguments.measure
        print(json.dumps(measure(Path(folder), what)))
    else:
        print(json.dumps(compare(arguments.rows, arguments.runs), indent=2))


if __name__ == "__main__":
    main()
