"""A private repository of the Hub, through the real clients against a Hub on the loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories import make_export
from tests.load.hub_server import COMMITS, REPO, TOKEN, Hub, serving

LOAD = """
import os, sys
import datasets, hfbucket
from hfbucket.errors import SourceError
repo, token, endpoint, here = sys.argv[1:]
expected = [row["key"] for row in hfbucket.load_dataset(here, "r64", streaming=True)]

def keys(dataset):
    rows = list(dataset)
    assert all(row["image"].size == (row["width"], row["height"]) for row in rows)
    return [row["key"] for row in rows]
"""


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {commit: tmp_path_factory.mktemp(branch) for branch, commit in COMMITS.items()}
    make_export(folders[COMMITS["main"]], bases=(128, 64), image_mode="passthrough_jpeg")
    make_export(folders[COMMITS["old"]], bases=(64,), per_shard=1)
    return folders


@pytest.fixture
def hub(exports: dict[str, Path]) -> Iterator[Hub]:
    with serving(exports) as hub:
        yield hub


def run(hub: Hub, code: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "no_proxy": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    here = str(hub.folders[COMMITS["main"]])
    command = [sys.executable, "-c", LOAD + code, REPO, TOKEN, hub.endpoint, here]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr


def test_streams_a_private_repository(hub: Hub, tmp_path: Path) -> None:
    run(
        hub,
        """
dataset = hfbucket.load_dataset(repo, "r64", streaming=True, token=token)
assert keys(dataset) == expected
without = hfbucket.load_dataset(repo, "r64", streaming=True, token=token, columns=["key", "caption"])
assert [row["key"] for row in without] == expected
""",
        tmp_path,
    )
    shards = [(method, path, bytes_) for method, path, bytes_ in hub.requests if path.endswith(".tar")]
    # Each shard is one response, read from its start to its end, of the commit the branch stood at.
    assert [bytes_ for _, _, bytes_ in shards] == [None] * 8
    assert all(method == "GET" and COMMITS["main"] in path and "/buckets/r64_" in path for method, path, _ in shards)


def test_everything_else_a_repository_is_asked(hub: Hub, tmp_path: Path) -> None:
    run(
        hub,
        """
stream = hfbucket.load_dataset(repo, "r64", streaming=True, token=token)
assert stream.reshard().num_shards == 12
assert keys(stream.reshard()) == expected
cached = hfbucket.load_dataset(repo, "r64", token=token)
assert keys(cached) == expected
assert "user___bucketed_shards" in cached.cache_files[0]["filename"], cached.cache_files
assert hfbucket.load_dataset(repo, streaming=True, token=token, revision="old").num_shards == 4
assert len(keys(hfbucket.load_dataset(f"hf://datasets/{repo}@old", streaming=True, token=token))) == 4
os.environ["HF_TOKEN"] = token
named = datasets.load_dataset(
    "bucketed_shards", "r64", data_files=f"hf://datasets/{repo}/manifest.json", split="train", streaming=True
)
assert keys(named) == expected
stock = datasets.load_dataset(repo, "r64", split="train", streaming=True)
assert [row["__key__"] for row in stock] == expected
bucket = hfbucket.load_dataset("buckets/user/bucket", "r64", streaming=True, token=token)
assert keys(bucket) == expected
assert keys(bucket.reshard()) == expected
for wrong in ({"token": "hf_other"}, {"revision": "none", "token": token}):
    try:
        hfbucket.load_dataset(repo, streaming=True, **wrong)
    except SourceError as error:
        assert "the Hub has no such dataset for you" in str(error), error
    else:
        raise AssertionError(wrong)
""",
        tmp_path,
    )
