"""How long a card takes for a manifest of 20,000 shards and 18 million samples: `python -m scripts.bench_card`.

Prints the median seconds of reading the manifest, rendering README.md, checking it, and writing croissant.json, and the
size of each file. `--shards`, `--samples` and `--rounds` change the numbers.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hfbucket.core.card.croissant import croissant_bytes
from hfbucket.core.card.statistics import Measure, Statistics
from hfbucket.core.law.buckets import SDXL, scaled_buckets
from hfbucket.core.manifest.model import BucketEntry, Manifest, Shard, Size
from hfbucket.core.manifest.plain import seal
from hfbucket.core.manifest.settings import manifest_fields
from hfbucket.core.settings import content_settings
from hfbucket.io.cards import card_problems, render_card
from hfbucket.io.manifest_file import manifest_bytes, read_manifest
from tests.io.card_manifest import CONFIG, FULL

BASES = (1024, 512, 256)


def large_manifest(shards: int, samples: int) -> Manifest:
    """Return a manifest of every bucket at three bases with these shards and samples, spread evenly."""
    every = scaled_buckets(BASES, SDXL, 32)
    entries: dict[str, BucketEntry] = {}
    for place, bucket in enumerate(every):
        numbers = range(place * shards // len(every), (place + 1) * shards // len(every))
        counts = [(n + 1) * samples // shards - n * samples // shards for n in numbers]
        files = [f"buckets/{bucket.bucket_id}/shard-{n:05d}.tar" for n in range(len(numbers))]
        entries[bucket.bucket_id] = BucketEntry(
            base_resolution=bucket.base,
            proto=Size(w=bucket.proto_w, h=bucket.proto_h),
            scaled=Size(w=bucket.w, h=bucket.h),
            count=sum(counts),
            bytes=sum(counts) * 100_000,
            shards=tuple(
                Shard(file=file, count=count, bytes=count * 100_000, sha256=f"{n:064x}")
                for n, (file, count) in enumerate(zip(files, counts, strict=True))
            ),
        )
    losses = {name: Measure(images=e.count, sum=e.count * 20_000, max=300_000) for name, e in entries.items()}
    known = replace(Statistics.from_dict(FULL.statistics), crop_loss_ppm_by_bucket=losses)
    settings = manifest_fields(content_settings(replace(CONFIG, base=BASES), SDXL))
    exported = {**FULL.summary, "images_exported": samples}
    return seal(replace(FULL, **settings, buckets=entries, statistics=known.to_dict(), summary=exported))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("shards", 20_000), ("samples", 18_000_000), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    manifest = large_manifest(given.shards, given.samples)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "manifest.json")
        path.write_bytes(manifest_bytes(manifest))
        card = render_card(manifest)
        print(f"{given.shards:,} shards, {given.samples:,} samples, {len(manifest.buckets)} buckets")
        _report("read manifest.json", given.rounds, lambda: read_manifest(folder), path.stat().st_size)
        _report("render README.md", given.rounds, lambda: render_card(manifest), len(card.encode("utf-8")))
        _report("check README.md", given.rounds, lambda: card_problems(card, manifest))
        _report("write croissant.json", given.rounds, lambda: croissant_bytes(manifest), len(croissant_bytes(manifest)))


def _report(what: str, rounds: int, work: Callable[[], object], size_bytes: int | None = None) -> None:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    size = "" if size_bytes is None else f"  {size_bytes / 1e6:.2f} MB"
    print(f"{what:20}  {statistics.median(seconds):6.3f} s{size}")


if __name__ == "__main__":
    main()
