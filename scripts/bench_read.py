"""Measure reading: samples a second of this loader, of webdataset and of stock datasets over the same shards.

    python -m scripts.bench_read [PHOTOS] [--images 3600] [--rounds 5] [--json]

The photos of a folder (without it those of scikit-image) are copied until there are enough for a steady state, and
built once in both image modes. All readers then run in turn, round after round, in one process with the page cache
warm; what counts is the median of a round's ratios, for seconds differ from machine to machine and from minute to
minute.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

os.environ.update(HF_HUB_OFFLINE="1", HF_UPDATE_DOWNLOAD_COUNTS="0", HF_DATASETS_DISABLE_PROGRESS_BARS="1")

import datasets
import webdataset

import hfbucket
from hfbucket.config import ImageMode
from hfbucket.io.manifest_file import read_manifest
from hfbucket.load.plan import ShardRef, shard_refs
from hfbucket.load.samples import COLUMNS, read_examples
from hfbucket.load.shards import read_samples
from hfbucket.load.tables import SampleTables, table_refs
from scripts.bench_write import make_photos

CONFIG: Final = hfbucket.Config(base=(512, 256), missing_caption="empty")

Reader = Callable[[], int]
"""Reads everything once and returns the number of samples."""


def count(rows: Iterable[Any]) -> int:
    """Return how many there are."""
    return sum(1 for _ in rows)


def streamed(export: Path, **options: Any) -> Reader:  # noqa: ANN401 (what load_dataset takes)
    """Return a reader of the whole export by our builder, ready to iterate."""
    rows = hfbucket.load_dataset(export, streaming=True, **options)
    return lambda: count(rows)


def stock(export: Path, *, decode: bool) -> Reader:
    """Return a reader by stock datasets, with the features the card declares."""
    loaded = datasets.load_dataset(str(export), split="train", streaming=True)
    rows = loaded if decode else loaded.decode(False)
    return lambda: count(rows)


def web(shards: list[str], *, decode: bool) -> Reader:
    """Return a reader by webdataset."""

    def read() -> int:
        rows = webdataset.WebDataset(shards, shardshuffle=False)
        return count(rows.decode("pil") if decode else rows)

    return read


def by_tarfile(shards: list[str]) -> Reader:
    """Return a reader by the standard library, members only."""

    def read() -> int:
        members = 0
        for shard in shards:
            with tarfile.open(shard, "r|") as archive:
                for member in archive:
                    file = archive.extractfile(member)
                    members += file is not None and len(file.read()) >= 0
        return members // 3

    return read


def by_tables(manifest: hfbucket.Manifest, export: Path, refs: list[ShardRef]) -> Reader:
    """Return a reader of all columns by what the sample tables say, as local exports are loaded."""

    def read() -> int:
        tables = SampleTables(table_refs(manifest, str(export)), _opened)
        return sum(count(tables.read_examples(ref, COLUMNS)) for ref in refs)

    return read


def by_file(shards: list[str], samples: int) -> Reader:
    """Return what only reads the bytes: the limit."""

    def read() -> int:
        for shard in shards:
            with open(shard, "rb") as file:
                while file.read(1 << 20):
                    pass
        return samples

    return read


def readers_of(reencoded: Path, passthrough: Path) -> dict[str, dict[str, Reader]]:
    """Return the readers by what they are compared in; the first of each is what the others are compared with."""
    manifest = read_manifest(reencoded)
    refs: list[ShardRef] = shard_refs(manifest, "all", base_url=str(reencoded), list_folder=os.listdir)
    shards, samples = [ref.url for ref in refs], manifest.summary["images_exported"]
    few = ["image", "caption", "key", "width", "height"]
    return {
        "bytes only": {
            "webdataset": web(shards, decode=False),
            "stock datasets": stock(reencoded, decode=False),
            "tarfile": by_tarfile(shards),
            "hfbucket.load_dataset, all columns": streamed(reencoded, decode=False),
            f"hfbucket.load_dataset, {len(few)} columns": streamed(reencoded, decode=False, columns=few),
            "hfbucket.load, by the sample tables": by_tables(manifest, reencoded, refs),
            "hfbucket.load, by tar headers": lambda: sum(count(read_examples(ref, _local)) for ref in refs),
            "hfbucket.load, raw samples": lambda: sum(count(read_samples(ref, _local)) for ref in refs),
            "reading the files": by_file(shards, samples),
        },
        "decoded to RGB": {
            "webdataset": web(shards, decode=True),
            "stock datasets": stock(reencoded, decode=True),
            "hfbucket.load_dataset": streamed(reencoded),
        },
        "source images": {
            "stock datasets, whole": stock(passthrough, decode=True),
            "hfbucket.load_dataset, whole": streamed(passthrough, crop=False),
            "hfbucket.load_dataset, cropped": streamed(passthrough),
        },
    }


def _opened(url: str, size_bytes: int) -> BinaryIO:
    return open(url, "rb")


def _local(url: str, start: int) -> Any:  # noqa: ANN401
    raise AssertionError(f"{url} is no local file")


def measure(readers: dict[str, Reader], rounds: int) -> dict[str, dict[str, float]]:
    """Return samples a second and the ratio to the first reader, each a median over the rounds."""
    rates: dict[str, list[float]] = {name: [] for name in readers}
    samples = {read() for read in readers.values()}  # also warms the page cache and what is imported late
    assert len(samples) == 1, f"the readers disagree on the number of samples: {samples}"
    for _ in range(rounds):
        for name, read in readers.items():
            gc.collect()
            start = time.perf_counter()
            read_samples_count = read()
            rates[name].append(read_samples_count / (time.perf_counter() - start))
    first = next(iter(rates.values()))
    return {
        name: {
            "samples_per_s": round(statistics.median(found)),
            "ratio": round(statistics.median(a / b for a, b in zip(found, first, strict=True)), 2),
        }
        for name, found in rates.items()
    }


def main() -> None:
    """Build, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=3600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hfbucket-bench-") as folder:
        photos = Path(folder, "photos")
        make_photos(arguments.photos, photos, arguments.images)
        exports = [Path(folder, mode) for mode in ("reencode_jpeg", "passthrough_jpeg")]
        for export in exports:
            hfbucket.build(str(photos), export, replace(CONFIG, image_mode=cast(ImageMode, export.name)))
        found = {what: measure(readers, arguments.rounds) for what, readers in readers_of(*exports).items()}
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for what, results in found.items():
        print(f"\n{what:<42}{'samples/s':>10}{'ratio':>8}")
        for name, result in results.items():
            print(f"  {name:<40}{result['samples_per_s']:>10,.0f}{result['ratio']:>8.2f}")


if __name__ == "__main__":
    main()
