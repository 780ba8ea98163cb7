"""The builder under everything datasets does with one: streams, caches, shards, workers, states."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import datasets
import fsspec
import pytest
from datasets.distributed import split_dataset_by_node
from hfbucket.builders.bucketed_shards import BucketedShards

import hfbucket
from hfbucket.errors import ConfigError, FormatError, SourceError
from hfbucket.io.manifest_file import read_manifest
from hfbucket.load.features import CroppedImage
from hfbucket.load.samples import COLUMNS
from tests.factories import make_export, make_foreign_export


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bases, two buckets each with two shards of three samples: 24 samples."""
    path = tmp_path_factory.mktemp("reencoded") / "export [v1] a::b #?%20"
    make_export(path, bases=(128, 64), card=False)
    return path


@pytest.fixture(scope="module")
def passthrough(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("passthrough")
    make_export(path, bases=(64,), image_mode="passthrough_jpeg", card=False)
    return path


def stream(export: Path, name: str | None = None, **options: Any) -> datasets.IterableDataset:
    return hfbucket.load_dataset(export, name, streaming=True, **options)


def keys(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [row["key"] for row in rows]


def all_keys(export: Path) -> list[str]:
    return keys(stream(export, columns=["key"]))


# What comes out


def test_a_stream_gives_every_sample_in_order(export: Path) -> None:
    rows = list(stream(export))
    manifest = read_manifest(export)
    assert [b for b, _ in groupby(rows, key=lambda row: row["bucket_id"])] == [
        bucket_id for bucket_id, entry in manifest.buckets.items() if entry.count
    ]
    assert len({row["key"] for row in rows}) == len(rows) == manifest.summary["images_exported"]
    for row in rows:
        assert tuple(row) == COLUMNS
        assert row["image"].size == (row["width"], row["height"])
        assert row["image"].mode == "RGB"
        assert row["meta"]["url"].startswith("https://example.org/")
        assert row["caption"].startswith("Picture ")
        assert row["caption_variant"] == "caption"
        assert row["crop_left"] + row["width"] <= row["resized_width"] <= row["original_width"]


def same_rows(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        a[name].tobytes() == b[name].tobytes() if name == "image" else a[name] == b[name] for name in a
    )


@pytest.mark.parametrize("config", ["all", "r64"])
def test_the_cached_dataset_equals_the_stream(export: Path, config: str) -> None:
    cached, streamed = hfbucket.load_dataset(export, config), list(stream(export, config))
    assert isinstance(cached, datasets.Dataset)
    assert cached.features == stream(export, config).features
    assert cached.num_rows == len(streamed)
    assert all(same_rows(a, b) for a, b in zip(cached, streamed, strict=True))


def test_one_config_for_each_base_and_all_by_default(export: Path) -> None:
    assert {row["bucket_id"][:4] for row in stream(export, "r128", columns=["bucket_id"])} == {"r128"}
    assert {row["width"] for row in stream(export, "r64", columns=["width"])} == {64}
    assert Counter(keys(stream(export))) == Counter(keys(stream(export, "r128")) + keys(stream(export, "r64")))
    with pytest.raises(ConfigError, match="config must be one of all, r128, r64, got 'r1024'"):
        stream(export, "r1024")


def test_buckets_and_columns_narrow_what_is_read(export: Path) -> None:
    rows = list(stream(export, "r64", buckets=("r64_p1152x832",), columns=("caption", "height")))
    assert [tuple(row) for row in rows] == [("caption", "height")] * 6
    assert {row["height"] for row in rows} == {32}
    with pytest.raises(ConfigError, match="config r64 has r64_p1024x1024, r64_p1152x832, got 'r128_p1024x1024'"):
        stream(export, "r64", buckets=["r128_p1024x1024"])
    with pytest.raises(ConfigError, match=r"columns must be among image, .* got 'picture'"):
        stream(export, columns=["picture"])


def test_without_decode_the_bytes_come_as_they_are(export: Path) -> None:
    row = next(iter(stream(export, decode=False)))
    assert row["image"]["bytes"][:3] == b"\xff\xd8\xff"
    assert row["image"]["path"] is None


def test_passthrough_is_cropped_unless_asked_not_to(passthrough: Path) -> None:
    for row in stream(passthrough):
        assert row["image"].size == (row["width"], row["height"])
    for row in stream(passthrough, crop=False):
        assert row["image"].size == (row["original_width"], row["original_height"])
    assert stream(passthrough).features["image"] == CroppedImage()
    assert stream(passthrough, crop=False).features["image"] == datasets.Image()
    cached = hfbucket.load_dataset(passthrough)
    assert all(same_rows(a, b) for a, b in zip(cached, stream(passthrough), strict=True))
    again = hfbucket.load_dataset(passthrough)  # its features come from the cache's own file
    assert again.features == cached.features
    assert again[0]["image"].size == (64, 64)


def test_a_foreign_export_loads_and_says_that_it_cannot_be_cropped(tmp_path: Path) -> None:
    make_foreign_export(tmp_path, names=False)
    with pytest.raises(FormatError, match=r"does not say how to crop it \(resized_w is missing\); .* crop=False"):
        next(iter(stream(tmp_path)))
    rows = list(stream(tmp_path, "r64", crop=False))
    assert len(rows) == 12
    assert rows[0]["image_id"] is None
    assert hfbucket.load_dataset(tmp_path, crop=False).num_rows == 12
    assert stream(tmp_path, crop=False).reshard().num_shards == 4  # no tables say where its samples begin


# Ways to reach it


@pytest.mark.parametrize("streaming", [True, False])
def test_by_name(export: Path, tmp_path: Path, streaming: bool) -> None:
    plain = shutil.copytree(export, tmp_path / "export")
    loaded = datasets.load_dataset(
        "bucketed_shards", "r64", data_files=str(plain / "manifest.json"), split="train", streaming=streaming
    )
    assert keys(loaded) == keys(stream(export, "r64"))
    loaded = datasets.load_dataset(
        "bucketed_shards", data_dir=str(plain), split="train", streaming=streaming, columns=["key"], decode=False
    )
    assert list(loaded) == list(stream(export, columns=["key"]))


def test_by_name_with_other_files(export: Path) -> None:
    shards = [str(path) for path in sorted(export.glob("buckets/*/*.tar"))]
    with pytest.raises(ConfigError, match=r"data_files must be the manifest.json of one export, got 0 of that name"):
        BucketedShards(data_files=datasets.data_files.DataFilesDict({"train": shards}))


def test_any_fsspec_url(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)  # it stands for every store but the disk
    files = {f"/there/{path.relative_to(export)}": path.read_bytes() for path in export.rglob("*") if path.is_file()}
    fsspec.filesystem("memory").pipe(files)
    try:
        streamed = hfbucket.load_dataset("memory://there", "r64", streaming=True)
        assert keys(streamed) == keys(stream(export, "r64"))
        assert keys(streamed.reshard()) == keys(streamed)
        words = ["key", "caption", "meta", "crop_left"]
        assert list(hfbucket.load_dataset("memory://there", streaming=True, columns=words)) == list(
            stream(export, columns=words)
        )
        assert keys(hfbucket.load_dataset("memory://there", "r64")) == keys(streamed)
    finally:
        fsspec.filesystem("memory").rm("/there", recursive=True)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"manifest\.json: no such file: this is no export"):
        stream(tmp_path)
    with pytest.raises(SourceError, match="no such folder, and not the name of a dataset on the Hub"):
        stream(tmp_path / "none")
    with pytest.raises(SourceError, match=r"user/name: the Hub is switched off \(HF_HUB_OFFLINE\)"):
        hfbucket.load_dataset("user/name", streaming=True)


def test_a_missing_or_short_shard_is_named(export: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(export, tmp_path / "export")
    shard = sorted(broken.glob("buckets/r64_p1152x832/*.tar"))[1]
    shard.write_bytes(shard.read_bytes()[:3000])
    place = "buckets/r64_p1152x832/shard-00001.tar"
    with pytest.raises(FormatError, match=place):
        list(stream(broken, "r64"))
    with pytest.raises(datasets.exceptions.DatasetGenerationError) as error:
        hfbucket.load_dataset(broken, "r64")
    assert place in str(error.value.__cause__)
    shard.unlink()
    with pytest.raises(FormatError, match=f"{place}: no such file"):
        list(stream(broken, "r64"))


def test_num_proc_is_for_the_cache(export: Path) -> None:
    cached = hfbucket.load_dataset(export, "r64", num_proc=2, download_mode="force_redownload")
    assert keys(cached) == keys(stream(export, "r64"))
    with pytest.raises(ConfigError, match="num_proc must be left out when streaming"):
        stream(export, num_proc=2)


def test_a_cache_is_reused_until_the_content_changes(tmp_path: Path) -> None:
    make_export(tmp_path / "export", bases=(64,), per_shard=1, card=False)
    first = hfbucket.load_dataset(tmp_path / "export", cache_dir=tmp_path / "cache")
    make_export(tmp_path / "export", bases=(64,), per_shard=1, card=False, title="Other words")
    (tmp_path / "export" / "buckets").rename(tmp_path / "away")  # a reused cache needs no shards
    again = hfbucket.load_dataset(tmp_path / "export", cache_dir=tmp_path / "cache")
    assert again.cache_files == first.cache_files
    make_export(tmp_path / "export", bases=(64,), per_shard=2, card=False)
    assert hfbucket.load_dataset(tmp_path / "export", cache_dir=tmp_path / "cache").num_rows == 2 * first.num_rows


def test_the_splits_are_train_alone(export: Path) -> None:
    assert set(stream(export, split=None)) == {"train"}
    assert set(hfbucket.load_dataset(export, "r64", split=None)) == {"train"}
    with pytest.raises(ValueError, match="Bad split: test"):
        stream(export, split="test")


# Order, states, workers


def test_every_shard_of_the_manifest_is_a_shard(export: Path) -> None:
    assert stream(export).num_shards == 8


def test_reshard_cuts_shards_and_changes_nothing_else(export: Path, passthrough: Path) -> None:
    cut = stream(export).reshard()
    assert cut.num_shards == 24  # three samples in each of eight shards: no more pieces than samples
    assert all(same_rows(a, b) for a, b in zip(cut, stream(export), strict=True))
    assert cut.reshard().num_shards == 24
    assert keys(stream(passthrough).reshard()) == all_keys(passthrough)
    assert stream(export, "r64", buckets=["r64_p1152x832"]).reshard().num_shards == 6


@pytest.mark.parametrize("resharded", [False, True])
def test_a_state_resumes_at_any_sample(export: Path, resharded: bool) -> None:
    dataset = stream(export, columns=["key"])
    dataset = dataset.reshard() if resharded else dataset
    expected = all_keys(export)
    for stop in (0, 1, 2, 3, 11, 23, 24):
        rows = iter(dataset)
        seen = [next(rows)["key"] for _ in range(stop)]
        state = pickle.loads(pickle.dumps(dataset.state_dict())) if stop else None
        fresh = stream(export, columns=["key"])
        fresh = fresh.reshard() if resharded else fresh
        if state is not None:
            fresh.load_state_dict(state)
        assert seen + keys(fresh) == expected


def test_shuffling_by_shards_keeps_buckets_together(export: Path) -> None:
    shuffled = stream(export).shuffle(seed=7, buffer_size=1, max_buffer_input_shards=1)
    rows = list(shuffled)
    assert keys(rows) != all_keys(export)
    assert sorted(keys(rows)) == sorted(all_keys(export))
    assert keys(shuffled) == keys(rows)
    shards = [key for key, _ in groupby(rows, key=lambda row: row["bucket_id"])]
    assert len(shards) <= 8
    shuffled.set_epoch(1)
    assert keys(shuffled) != keys(rows)


def test_batches_of_one_size(export: Path) -> None:
    buckets = [bucket_id for bucket_id, entry in read_manifest(export).buckets.items() if entry.count]
    streams = [
        stream(export, buckets=[bucket_id]).shuffle(seed=1, buffer_size=4).batch(2, drop_last_batch=True)
        for bucket_id in buckets
    ]
    mixed = datasets.interleave_datasets(
        streams,
        probabilities=[0.25] * 4,
        seed=3,
        stopping_strategy="all_exhausted_without_replacement",
    )
    batches = list(mixed)
    assert [len({image.size for image in batch["image"]}) for batch in batches] == [1] * 12
    assert sorted(key for batch in batches for key in batch["key"]) == sorted(all_keys(export))


@pytest.mark.parametrize(("nodes", "strategy"), [(2, "auto"), (3, "auto"), (3, "shards"), (5, "examples")])
def test_nodes_share_every_sample_once(export: Path, nodes: int, strategy: str) -> None:
    parts = [
        keys(split_dataset_by_node(stream(export), rank=rank, world_size=nodes, strategy=strategy))
        for rank in range(nodes)
    ]
    assert sorted(key for part in parts for key in part) == sorted(all_keys(export))
    assert all(parts)


def _keys_of(dataset: datasets.IterableDataset) -> list[str]:
    return keys(dataset)


@pytest.mark.parametrize("kind", ["stream", "resharded", "cached"])
def test_datasets_travel_to_spawned_processes(passthrough: Path, kind: str) -> None:
    dataset: Any = hfbucket.load_dataset(passthrough) if kind == "cached" else stream(passthrough)
    dataset = dataset.reshard() if kind == "resharded" else dataset
    if kind != "stream":
        assert len(pickle.dumps(dataset)) < 100_000
        assert keys(pickle.loads(pickle.dumps(dataset))) == all_keys(passthrough)
        return
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_keys_of, (dataset,)) == all_keys(passthrough)


def loader(dataset: Any, **options: Any) -> Iterator[Any]:
    data = pytest.importorskip("torch.utils.data", reason="needs torch")
    return iter(data.DataLoader(dataset, **options))


def _as_list(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows


@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader_workers_share_every_sample_once(passthrough: Path, workers: int) -> None:
    batches = list(loader(stream(passthrough), batch_size=3, num_workers=workers, collate_fn=_as_list))
    assert sorted(row["key"] for batch in batches for row in batch) == sorted(all_keys(passthrough))
    # Shards hold three samples, so that every batch is of one bucket and its images of one size.
    assert [len({row["image"].size for row in batch}) for batch in batches] == [1] * 4


def test_data_loader_over_tensors(passthrough: Path) -> None:
    pytest.importorskip("torch", reason="needs torch")
    dataset = stream(passthrough, buckets=["p1152x832"], columns=["image", "crop_top"])
    batches = list(loader(dataset.with_format("torch"), batch_size=3, num_workers=2))
    assert [tuple(batch["image"].shape) for batch in batches] == [(3, 3, 32, 64)] * 2
    assert [tuple(batch["crop_top"].shape) for batch in batches] == [(3,)] * 2


def test_data_loader_over_the_cache(passthrough: Path) -> None:
    cached = hfbucket.load_dataset(passthrough, columns=["image", "key"])
    rows = [row for batch in loader(cached, batch_size=4, num_workers=2, collate_fn=_as_list) for row in batch]
    assert keys(rows) == all_keys(passthrough)
    assert {row["image"].size for row in rows} == {(64, 64), (64, 32)}
