"""Measure loading from a Hub: what the first sample costs by the number of shards, and how fast all samples come.

    python -m scripts.bench_hub_load

The Hub is one on the loopback (tests/hub): requests and bytes are what a real one would be asked for, seconds are not,
for nothing is far away. Exports of many shards hold the same shard again and again under other names.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from hfbucket.core.manifest.model import Manifest, SampleTable, Shard
from hfbucket.core.manifest.plain import seal
from hfbucket.io.cards import render_card
from hfbucket.io.manifest_file import manifest_bytes
from tests.factories import make_export
from tests.hub.client import run_python
from tests.hub.loopback import LoopbackHub, serving

SAMPLES_PER_SHARD: Final = 900
BUCKETS: Final = 40

FIRST: Final = {
    "hfbucket.load_dataset": "hfbucket.load_dataset(repo, streaming=True)",
    "the same again": "hfbucket.load_dataset(repo, streaming=True)",
    'load_dataset("bucketed_shards")': (
        'datasets.load_dataset("bucketed_shards", data_files=f"hf://datasets/{repo}/manifest.json", split="train", '
        "streaming=True)"
    ),
    "stock datasets": 'datasets.load_dataset(repo, split="train", streaming=True)',
}
"""Ways to load, by name."""

ALL: Final = {
    "plain GET": "by_get()",
    "hfbucket.load_dataset": "hfbucket.load_dataset(repo, streaming=True, decode=False)",
    "columns without the image": 'hfbucket.load_dataset(repo, streaming=True, columns=["key", "caption", "width"])',
    "stock datasets": 'datasets.load_dataset(repo, split="train", streaming=True).decode(False)',
    "webdataset": "webdataset.WebDataset(shards(), shardshuffle=False)",
}

CLIENT: Final = """
import json, sys, time
import datasets, huggingface_hub, webdataset
from huggingface_hub.utils import build_hf_headers, http_stream_backoff
import hfbucket
way, repo, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])

def shards():
    path = huggingface_hub.hf_hub_download(repo, "manifest.json", repo_type="dataset")
    buckets = json.load(open(path))["buckets"].values()
    return [f"hf://datasets/{repo}/{shard['file']}" for bucket in buckets for shard in bucket["shards"]]

def by_get():
    for shard in shards():
        url = huggingface_hub.hf_hub_url(repo, shard.split("/", 5)[5], repo_type="dataset")
        with http_stream_backoff("GET", url, headers=build_hf_headers()) as response:
            sum(map(len, response.iter_bytes()))
    return range(wanted)

start, count = time.perf_counter(), 0
for _ in eval(way):
    count += 1
    if count == wanted:
        break
assert count == wanted, count
print(time.perf_counter() - start)
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one load cost the client and the Hub."""

    seconds: float
    requests: int
    answer_bytes: int
    #: Requests by endpoint.
    endpoints: dict[str, int]


def run(hub: LoopbackHub, home: Path, way: str, repo_id: str, samples: int) -> Cost:
    """Return what it costs a fresh process to load so many samples; importing does not count."""
    hub.log.clear()
    done = run_python(hub, CLIENT, home, way, repo_id, str(samples), timeout_s=1000)
    requests = list(hub.log.requests)
    return Cost(
        seconds=round(float(done.stdout.split()[-1]), 3),
        requests=len(requests),
        answer_bytes=sum(request.answer_bytes for request in requests),
        endpoints=dict(Counter(request.endpoint for request in requests)),
    )


def commit_many(hub: LoopbackHub, folder: Path, shards: int) -> str:
    """Commit an export of so many shards in 40 buckets, which are all the same file, and return its repository."""
    drawn = make_export(folder, bases=(512,), shards_per_bucket=1, card=False)
    bucket = next(entry for entry in drawn.buckets.values() if entry.count)
    real = bucket.shards[0]
    counted = replace(real, count=SAMPLES_PER_SHARD)
    files: list[list[Shard]] = [
        [replace(counted, file=f"buckets/p1024x{512 + n}/shard-{s:05d}.tar") for s in range(n, shards, BUCKETS)]
        for n in range(BUCKETS)
    ]
    buckets = {
        f"p1024x{512 + number}": replace(bucket, count=SAMPLES_PER_SHARD * len(named), shards=tuple(named))
        for number, named in enumerate(files)
        if named
    }
    tables: tuple[SampleTable, ...] = ()
    manifest: Manifest = seal(replace(drawn, buckets=buckets, samples=tables))
    repo_id = f"me/shards-{shards}"
    content = {"manifest.json": manifest_bytes(manifest), "README.md": render_card(manifest).encode()}
    hub.create(repo_id)
    first = hub.commit(repo_id, {**content, files[0][0].file: folder / real.file})
    same = {shard.file: first.files[files[0][0].file] for named in files for shard in named}
    hub.repository(repo_id).commit("main", lambda kept: kept.update(same), title="all shards")
    return repo_id


def first_samples(hub: LoopbackHub, folder: Path, sizes: list[int]) -> dict[str, dict[str, Cost]]:
    """Return the cost of a first sample, by number of shards and way."""
    found: dict[str, dict[str, Cost]] = {}
    for shards in sizes:
        repo_id = commit_many(hub, folder / str(shards), shards)
        ways = {name: run(hub, folder / f"home-{shards}", way, repo_id, 1) for name, way in FIRST.items()}
        found[f"{shards:,} shards, {shards * SAMPLES_PER_SHARD:,} samples"] = ways
    return found


def all_samples(hub: LoopbackHub, folder: Path, per_shard: int, rounds: int) -> dict[str, list[Cost]]:
    """Return what it costs to read an export whole, by way, once for every round."""
    manifest = make_export(folder, bases=(512, 256), per_shard=per_shard)
    hub.commit_folder("me/whole", folder)
    samples = manifest.summary["images_exported"]
    found: dict[str, list[Cost]] = {name: [] for name in ALL}
    for number in range(rounds):
        for name, way in ALL.items():
            found[name].append(run(hub, folder / f"home-{name}-{number}", way, "me/whole", samples))
    return found


def show_first(found: dict[str, dict[str, Cost]]) -> None:
    """Print what first samples cost."""
    for size, ways in found.items():
        print(f"\nfirst of {size:<48}{'requests':>9}{'KB':>9}{'seconds':>9}")
        for name, cost in ways.items():
            print(
                f"  {name:<55}{cost.requests:>9}{cost.answer_bytes // 1000:>9,}{cost.seconds:>9.2f}  {cost.endpoints}"
            )


def show_all(found: dict[str, list[Cost]]) -> None:
    """Print what whole exports cost: medians of ratios, for seconds differ from minute to minute."""
    base = [cost.seconds for cost in found["plain GET"]]
    print(f"\n{'all samples':<57}{'requests':>9}{'KB':>9}{'seconds':>9}{'ratio':>9}")
    for name, costs in found.items():
        ratio = statistics.median(cost.seconds / limit for cost, limit in zip(costs, base, strict=True))
        seconds = statistics.median(cost.seconds for cost in costs)
        print(f"  {name:<55}{costs[0].requests:>9}{costs[0].answer_bytes // 1000:>9,}{seconds:>9.2f}{ratio:>9.2f}")


def main() -> None:
    """Serve, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="*", default=[40, 2000, 20_000], help="sizes of the first part")
    parser.add_argument("--per-shard", type=int, default=200, help="samples in each of 8 shards of the second part")
    parser.add_argument("--rounds", type=int, default=3, help="how often the second part is measured")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hfbucket-bench-") as name, serving(Path(name, "hub")) as hub:
        first = first_samples(hub, Path(name), options.shards)
        whole = all_samples(hub, Path(name, "whole"), options.per_shard, options.rounds)
    if options.json:
        told = {size: {way: asdict(cost) for way, cost in ways.items()} for size, ways in first.items()}
        print(json.dumps({"first": told, "all": {way: [asdict(c) for c in costs] for way, costs in whole.items()}}))
        return
    show_first(first)
    show_all(whole)


if __name__ == "__main__":
    main()
