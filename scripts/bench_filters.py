"""Measure filters: a synthetic index with captions and metadata on disk, planned without filters and with several.

    python scripts/bench_filters.py --rows 2000000

Each runs in a process of its own, in turn; ratios to the plan without filters hold from machine to machine.
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
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hfbucket.config import Config
from hfbucket.core.outcomes import CODE
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.io.index_files import Index, IndexedUnit
from hfbucket.io.tables import table_writer
from hfbucket.schemas import INDEX
from hfbucket.stages.plan import make_plan

UNIT_ROWS = 500_000
PIECE_ROWS = 16_384
CASES = {
    "no filter": Config(),
    "size": Config(where="width >= 512 and width < 3 * height"),
    "caption": Config(where="caption_original not like '%http%' and length(caption_original) > 20"),
    "regexp": Config(where="not regexp_matches(caption_original, '\\b(stock|watermark)\\b', 'i')"),
    "metadata": Config(where="meta.aesthetic > 5.5 and meta.nsfw is not true"),
    "function": Config(filter="bench_filters:keep"),
}


def keep(frame: pd.DataFrame) -> pd.Series:
    """Return which images the function filter keeps."""
    return (frame["width"] >= 512) & ~frame["caption_original"].str.contains("http", regex=False)


def write_index(folder: Path, rows: int) -> None:
    """Write units of images with captions of some hundred characters and five keys of metadata."""
    random = np.random.default_rng(0)
    for number, start in enumerate(range(0, rows, UNIT_ROWS)):
        with table_writer(folder / f"{number:06d}.parquet", INDEX) as writer:
            for first in range(start, min(start + UNIT_ROWS, rows), PIECE_ROWS):
                writer.write_table(_piece(random, first, min(PIECE_ROWS, rows - first)))


def _piece(random: np.random.Generator, first: int, count: int) -> pa.Table:
    ids = [f"images/{number:09d}.jpg" for number in range(first, first + count)]
    texts = [f"{each}, a photo of {'something ' * (at % 30)}{'http' * (at % 7 == 0)}" for at, each in enumerate(ids)]
    scores = random.random(count) * 10
    meta = [
        f'{{"aesthetic":{score},"id":{at},"nsfw":false,"source":"crawl","url":"https://example.org/{each}"}}'
        for at, (each, score) in enumerate(zip(ids, scores.tolist(), strict=True))
    ]
    captions = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32)), pa.array(texts))
    side = random.integers(100, 3000, count)
    columns: dict[str, pa.Array] = {
        "image_id": pa.array(ids),
        "digest": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(32), count, [None, pa.py_buffer(random.bytes(32 * count))]
        ),
        "member": pa.array(ids),
        "format": pa.repeat("jpeg", count),
        "color": pa.repeat("rgb", count),
        "captions": captions,
        "meta": pa.array(meta),
        **{name: pa.array(side, pa.int64()) for name in ("width", "height", "size_bytes", "offset", "mtime_ns")},
    }
    return pa.table({field.name: columns.get(field.name, pa.nulls(count, field.type)) for field in INDEX}, INDEX)


def open_index(folder: Path) -> Index:
    """Return the index that `write_index` wrote."""
    units = []
    for file in sorted(folder.iterdir()):
        unit = Unit(source=0, kind="tars", url=str(file), name=file.name, prefix="", size_bytes=0, version="")
        rows = pq.read_metadata(file).num_rows
        units.append(IndexedUnit(unit=unit, file=str(file), rows=rows, index_sha256=file.name, facts=UnitFacts()))
    return Index(sources=(SourceSpec(name="synthetic", url=str(folder), kind="tars"),), units=tuple(units))


def measure(folder: Path, case: str) -> dict[str, object]:
    """Return seconds, peak memory and what was left out of one run in this process."""
    index = open_index(folder)
    start = time.perf_counter()
    plan = make_plan(index, CASES[case])
    seconds = time.perf_counter() - start
    peaks = (resource.getrusage(who).ru_maxrss >> 10 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    filtered = int(np.count_nonzero(plan.outcome == CODE["filtered"]))
    return {"seconds": seconds, "peak_mb": next(peaks), "child_peak_mb": next(peaks), "filtered": filtered}


def compare(rows: int, runs: int) -> dict[str, object]:
    """Return medians of interleaved runs over an index of this many rows."""
    with tempfile.TemporaryDirectory(prefix="hfbucket-bench-") as folder:
        write_index(Path(folder), rows)
        found: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
        for _ in range(runs):
            for case, results in found.items():
                command = [sys.executable, __file__, "--measure", case, folder]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parent)
                results.append(json.loads(done.stdout))
    median_s = {case: statistics.median(run["seconds"] for run in results) for case, results in found.items()}
    alone_s = median_s["no filter"]
    return {
        "rows": rows,
        "runs": runs,
        "cases": {
            case: {
                "seconds": round(median_s[case], 2),
                "over_no_filter": round(median_s[case] / alone_s, 2),
                "filter_rows_per_s": int(rows / max(median_s[case] - alone_s, 1e-9)) if case != "no filter" else None,
                **{name: int(max(run[name] for run in results)) for name in ("peak_mb", "child_peak_mb", "filtered")},
            }
            for case, results in found.items()
        },
    }


def main() -> None:
    """Run the benchmark, or one measurement of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("CASE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        case, folder = arguments.measure
        print(json.dumps(measure(Path(folder), case)))
    else:
        print(json.dumps(compare(arguments.rows, arguments.runs), indent=2))


if __name__ == "__main__":
    main()
