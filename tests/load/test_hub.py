"""Loading from the Hub, through the real clients against a Hub on the loopback: what comes, and what was asked for it.

The log is cut into pieces by `mark(name)`: requests to a path that no Hub has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from hfbucket.core.manifest.model import Manifest
from hfbucket.io.manifest_file import manifest_bytes
from tests.factories import make_export
from tests.hub.client import run_python
from tests.hub.faults import Request
from tests.hub.loopback import TOKEN, LoopbackHub

START = """
import sys, urllib.error, urllib.request
import datasets, huggingface_hub, hfbucket
from hfbucket.errors import HfBucketError, SourceError
from hfbucket.load.samples import COLUMNS
here, *more = sys.argv[1:]
others = [name for name in COLUMNS if name != "image"]

def mark(name):
    try:
        urllib.request.urlopen(f"{huggingface_hub.constants.ENDPOINT}/mark/{name}")
    except urllib.error.HTTPError:
        pass

def load(name=None, repo="me/name", streaming=True, **options):
    return hfbucket.load_dataset(repo, name, streaming=streaming, **options)

def keys(dataset):
    rows = list(dataset)
    assert all("image" not in row or row["image"].size == (row["width"], row["height"]) for row in rows)
    return [row["key"] for row in rows]

expected = keys(load("r64", here))
assert len(expected) == 12
"""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export")
    make_export(path, bases=(128, 64), image_mode="passthrough_jpeg")
    return path


@pytest.fixture
def commit(hub: LoopbackHub, export: Path) -> str:
    """The commit of a private repository `me/name` that holds the export."""
    hub.create("me/name", private=True)
    return hub.commit_folder("me/name", export).oid


def pieces(requests: Sequence[Request]) -> dict[str, list[Request]]:
    """Return the requests after each mark."""
    found: dict[str, list[Request]] = {}
    for request in requests:
        if request.path.startswith("/mark/"):
            found[request.path.removeprefix("/mark/")] = []
        elif found:
            found[list(found)[-1]].append(request)
    return found


def asked(requests: Sequence[Request]) -> list[str]:
    """Return what was asked for: method and path in the repository; of what is no file, the endpoint."""
    return [
        f"{request.method} {request.path.split('/', 6)[6]}" if request.endpoint == "resolve" else request.endpoint
        for request in requests
    ]


def test_streams_ask_for_the_manifest_once_and_for_each_shard_once(
    hub: LoopbackHub, commit: str, export: Path, tmp_path: Path
) -> None:
    hub.commit("me/name", {"buckets/r64_p1024x1024/shard-00000.tar": b"of a later commit"})
    run_python(hub, START + """
mark("loading")
dataset = load("r64", revision=more[0])
mark("reading")
assert keys(dataset) == expected
mark("again")
assert keys(load("r64", revision=more[0])) == expected
assert load("r64", revision=more[0]).reshard().num_shards == 12
mark("branch")
load()
mark("resharded")
assert keys(load("r64", revision=more[0]).reshard()) == expected
""", tmp_path / "home", str(export), commit)  # fmt: skip
    found = pieces(hub.log.requests)
    shards = [f"GET buckets/r64_{b}/shard-0000{n}.tar" for b in ("p1024x1024", "p1152x832") for n in (0, 1)]
    assert sorted(asked(found["loading"])) == ["GET manifest.json", "HEAD manifest.json"]
    assert asked(found["reading"]) == shards
    assert [(request.range, request.status) for request in found["reading"]] == [(None, 200)] * 4
    assert asked(found["again"])[:4] == shards  # the manifest of a commit is kept
    assert {line for line in asked(found["again"])[4:]} == {"GET samples/part-00000.parquet"}
    assert asked(found["branch"])[0] == "HEAD manifest.json"
    tars = [request for request in found["resharded"] if request.path.endswith(".tar")]
    assert [request.range is None for request in tars] == [True, False, False] * 4
    read = [request for request in hub.log.requests if request.endpoint == "resolve"]
    assert all(f"/resolve/{commit}/" in r.path for name in ("loading", "reading", "again") for r in found[name])
    assert all(request.token for request in read)


def test_columns_without_images_read_no_image(hub: LoopbackHub, commit: str, export: Path, tmp_path: Path) -> None:
    hub.commit_folder("me/store", export, kind="bucket")
    run_python(hub, START + """
plain = list(load(None, here, columns=others))
assert len(plain) == 24 and plain[0]["meta"]["url"] and plain[0]["caption"].startswith("Picture 0")
mark("rows")
assert list(load(columns=others)) == plain
mark("few")
assert list(load("r64", columns=["caption"])) == [{"caption": row["caption"]} for row in plain[12:]]
mark("kept")
assert list(load(columns=others, streaming=False)) == plain
mark("split")
assert list(load(columns=others).reshard()) == plain
mark("bucket")
assert list(load(None, "buckets/me/store", columns=others)) == plain
mark("images")
assert keys(load("r64", "buckets/me/store")) == expected
""", tmp_path / "home", str(export))  # fmt: skip
    found = pieces(hub.log.requests)
    table = "GET samples/part-00000.parquet"
    for name in ("rows", "few", "kept", "split", "bucket"):
        assert not any(request.path.endswith(".tar") for request in found[name]), name
    assert Counter(asked(found["rows"]))[table] <= 3  # its end, where its columns are told, and the columns
    assert {request.range is None for request in found["rows"] if "parquet" in request.path} == {False}
    size = (export / "samples" / "part-00000.parquet").stat().st_size
    assert sum(request.answer_bytes for request in found["few"] if "parquet" in request.path) <= 2 * size
    assert {request.endpoint for request in [*found["bucket"], *found["images"]]} == {"bucket-resolve"}
    assert len(found["images"]) == 5


def test_ranks_and_workers_get_shards_of_their_own(hub: LoopbackHub, commit: str, export: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    run_python(hub, START + """
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader
everything = sorted(keys(load(None, here)))
dataset = load(revision=more[0])

def read(rank, ranks, workers, **strategy):
    part = split_dataset_by_node(dataset, rank=rank, world_size=ranks, **strategy)
    return [row["key"] for row in DataLoader(part, batch_size=None, num_workers=workers, collate_fn=None)]

mark("even")
parts = [read(rank, 2, 2) for rank in range(2)]
assert [len(part) for part in parts] == [12, 12] and sorted(sum(parts, [])) == everything
mark("odd")
parts = [read(rank, 3, 2, strategy="shards") for rank in range(3)]
assert min(map(len, parts)) >= 6 and sorted(sum(parts, [])) == everything
""", tmp_path / "home", str(export), commit)  # fmt: skip
    every = [f"GET {path.relative_to(export).as_posix()}" for path in sorted(export.glob("buckets/*/*.tar"))]
    assert len(every) == 8
    for name, requests in pieces(hub.log.requests).items():
        assert sorted(asked(requests)) == every, name  # each shard once, and nothing else


@pytest.mark.parametrize("step", ["resolve", "cdn"])
def test_faults_are_waited_out(hub: LoopbackHub, commit: str, export: Path, tmp_path: Path, step: str) -> None:
    hub.redirects = step == "cdn"
    hub.faults.add("resolve", "status", status=429, retry_after="1", match="manifest.json")
    hub.faults.add(step, "cut", match="r64_p1024x1024/shard-00000.tar", calls={1, 2, 3})
    hub.faults.add(step, "status", status=503, match="r64_p1024x1024/shard-00001.tar")
    hub.faults.add(step, "drop", match="r64_p1152x832/shard-00000.tar")
    hub.faults.add(step, "cut", match="samples/", calls={2})
    run_python(hub, START + """
import time
time.sleep = lambda seconds: None
assert keys(load("r64", revision=more[0])) == expected
assert keys(load("r64", revision=more[0], columns=["key"])) == expected
""", tmp_path / "home", str(export), commit)  # fmt: skip
    gave = [request for request in hub.log.requests if request.endpoint == step]
    first = [request for request in gave if "r64_p1024x1024/shard-00000" in unquote(request.path + request.query)]
    size = (export / "buckets" / "r64_p1024x1024" / "shard-00000.tar").stat().st_size
    sent = 0
    for request in first:
        assert request.range == (f"bytes={sent}-{size - 1}" if sent else None)
        sent += (size - sent) // 2
    assert len(first) == 4


def test_without_the_hub_what_is_here_loads(hub: LoopbackHub, commit: str, export: Path, tmp_path: Path) -> None:
    run_python(hub, START + """
assert keys(load("r64", streaming=False)) == expected
huggingface_hub.snapshot_download("me/name", repo_type="dataset", allow_patterns=["*/r128_p1152x832/*", "samples/*"])
""", tmp_path / "home", str(export))  # fmt: skip
    hub.log.clear()
    done = run_python(hub, START + """
assert keys(load("r64", streaming=False)) == expected
for revision in (None, "main", more[0]):
    assert keys(load("r64", revision=revision)) == expected
fetched = {"buckets": ["r128_p1152x832"]}
assert keys(load("r128", streaming=False, **fetched)) == keys(load("r128", here, **fetched))
assert keys(load(columns=others)) == keys(load(None, here))
for name in ("r128", None):
    dataset = load(name)
    try:
        list(dataset)
    except SourceError as error:
        print(error)
for options in ({"repo": "me/other"}, {"revision": "v2"}):
    try:
        load(**options)
    except SourceError as error:
        print(error)
try:
    load("r128", streaming=False)
except (HfBucketError, OSError) as error:
    print(error)
""", tmp_path / "home", str(export), commit, HF_HUB_OFFLINE="1").stdout.splitlines()  # fmt: skip
    assert not hub.log.requests
    off = "the Hub is switched off (HF_HUB_OFFLINE), and its cache on this machine has no "
    shard = "buckets/r128_p1024x1024/shard-00000.tar"
    fetch = f"; go online, where `hf download --repo-type dataset me/name --revision {commit}` fetches all for later"
    assert done[:2] == [f"me/name@{commit}/{shard}: {off}{shard}{fetch}"] * 2
    assert done[2].startswith(f"me/other: {off}manifest.json; go online")
    assert done[3].startswith(f"me/name@v2: {off}manifest.json; go online")
    assert "offline mode is enabled" in done[4]


def test_what_the_hub_does_not_have(hub: LoopbackHub, commit: str, export: Path, tmp_path: Path) -> None:
    hub.create("me/empty")
    lacking = "buckets/r64_p1024x1024/shard-00001.tar"
    hub.repository("me/name").commit("main", lambda files: files.__delitem__(lacking), title="a shard less")
    done = run_python(hub, START + """
wrong = {"token": "hf_other"}, {"revision": "none"}, {"repo": "me/none"}, {"repo": "me/empty"}, {"name": "r64"}
for options in wrong:
    try:
        list(load(**options))
    except HfBucketError as error:
        print(type(error).__name__, *str(error).splitlines())
""", tmp_path / "home", str(export)).stdout.splitlines()  # fmt: skip
    assert len(done) == 5
    for line in done[:3]:
        assert line.startswith("SourceError me/n")
        assert "the Hub has no such dataset for you" in line
    assert done[3].startswith("FormatError me/empty/manifest.json: no such file: this is no export")
    assert done[4].startswith(f"FormatError {lacking}: no such file at hf://datasets/me/name@")
    assert TOKEN not in "".join(done)


def many_shards(export: Path, hub: LoopbackHub, repo_id: str, shards: int) -> None:
    """Commit an export of one bucket with so many shards, which are all the same file."""
    manifest: Manifest = make_export(export, bases=(64,), shards_per_bucket=1, card=False)
    bucket_id, entry = next((name, entry) for name, entry in manifest.buckets.items() if entry.count)
    content = (export / entry.shards[0].file).read_bytes()
    named = tuple(replace(entry.shards[0], file=f"buckets/{bucket_id}/shard-{n:05d}.tar") for n in range(shards))
    count = entry.count * shards
    manifest = replace(manifest, buckets={bucket_id: replace(entry, shards=named, count=count)}, samples=())
    hub.create(repo_id)
    commit = hub.commit(repo_id, {"manifest.json": manifest_bytes(manifest), named[0].file: content})
    same = dict.fromkeys((shard.file for shard in named), commit.files[named[0].file])
    hub.repository(repo_id).commit("main", lambda files: files.update(same), title="all shards")


def test_the_first_sample_of_20000_shards_takes_as_many_requests_as_of_two(
    hub: LoopbackHub, export: Path, tmp_path: Path
) -> None:
    for name, shards in (("few", 2), ("many", 20_000)):
        many_shards(tmp_path / name, hub, f"me/{name}", shards)
    run_python(hub, START + """
for name, shards in (("few", 2), ("many", 20000)):
    mark(f"ours-{name}")
    dataset = load("r64", f"me/{name}")
    assert dataset.num_shards == shards and next(iter(dataset))["image"].size == (64, 64)
    mark(f"named-{name}")
    url = f"hf://datasets/me/{name}/manifest.json"
    assert next(iter(datasets.load_dataset("bucketed_shards", "r64", data_files=url, split="train", streaming=True)))
""", tmp_path / "home", str(export))  # fmt: skip
    found = pieces(hub.log.requests)
    assert asked(found["ours-few"]) == asked(found["ours-many"])
    assert [line.split("/")[0] for line in asked(found["ours-many"])] == [
        "HEAD manifest.json", "GET manifest.json", "GET buckets",
    ]  # fmt: skip
    assert asked(found["named-few"]) == asked(found["named-many"])
    assert len(found["named-many"]) < 12
