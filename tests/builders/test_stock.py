"""What is exported loads without us: stock datasets by the card's YAML, webdataset by the manifest."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import datasets
import pytest
import webdataset

import hfbucket
from hfbucket.io.manifest_file import read_manifest
from tests.factories import make_export


@pytest.fixture(scope="module", params=["reencode_jpeg", "passthrough_jpeg"])
def export(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param)
    make_export(path, bases=(128, 64), image_mode=request.param)
    return path


def ours(export: Path, config: str) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in hfbucket.load_dataset(export, config, streaming=True, crop=False)}


@pytest.mark.parametrize("config", ["r128", "r64", None])
@pytest.mark.parametrize("streaming", [True, False])
def test_stock_datasets_gives_the_same_samples(export: Path, config: str | None, streaming: bool) -> None:
    loaded = datasets.load_dataset(str(export), config, split="train", streaming=streaming)
    expected = ours(export, config or "all")
    rows = {row["__key__"]: row for row in loaded}
    assert rows.keys() == expected.keys()
    for key, row in rows.items():
        assert row["jpg"].tobytes() == expected[key]["image"].tobytes()
        assert row["txt"] == expected[key]["caption"] + "\n"
        assert row["json"]["image_id"] == expected[key]["image_id"]
        assert row["json"]["meta"] == expected[key]["meta"]


def test_stock_datasets_lists_the_same_configs(export: Path) -> None:
    assert datasets.get_dataset_config_names(str(export)) == ["all", "r128", "r64"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves its shards open
def test_webdataset_gives_the_same_samples(export: Path) -> None:
    manifest = read_manifest(export)
    shards = [f"{export}/{shard.file}" for entry in manifest.buckets.values() for shard in entry.shards]
    expected = ours(export, "all")
    loaded = webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("__key__", "jpg", "txt", "json")
    rows = {key: (jpg, txt, metadata) for key, jpg, txt, metadata in loaded}
    assert rows.keys() == expected.keys()
    for key, (jpg, txt, metadata) in rows.items():
        assert jpg.tobytes() == expected[key]["image"].tobytes()
        assert txt == expected[key]["caption"] + "\n"
        assert metadata["image_id"] == expected[key]["image_id"]
    del loaded
    gc.collect()
