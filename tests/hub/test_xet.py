"""Xet and Storage Buckets of the loopback Hub, against the unmodified clients."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest
from huggingface_hub import HfApi
from huggingface_hub.hf_api import RepoFile

from tests.factories import make_export
from tests.hub.client import assert_copied, at_every_commit, client_here
from tests.hub.loopback import LoopbackHub


@pytest.fixture
def api(xet_hub: LoopbackHub, tmp_path: Path) -> Iterator[HfApi]:
    with client_here(xet_hub, tmp_path / "home"):
        yield HfApi()


@pytest.fixture
def export(tmp_path: Path) -> Path:
    make_export(tmp_path / "export", bases=(64,))
    return tmp_path / "export"


def test_an_export_goes_up_and_down(xet_hub: LoopbackHub, api: HfApi, export: Path) -> None:
    api.create_repo("me/name", repo_type="dataset")
    api.upload_folder(repo_id="me/name", folder_path=export, repo_type="dataset")
    for file in api.list_repo_tree("me/name", recursive=True, repo_type="dataset"):
        if file.path.endswith(".tar"):
            assert isinstance(file, RepoFile)
            assert file.xet_hash
            assert file.lfs
            assert file.lfs.sha256 == hashlib.sha256((export / file.path).read_bytes()).hexdigest()
    assert_copied(export, Path(api.snapshot_download("me/name", repo_type="dataset")))
    assert len(list(datasets.load_dataset("me/name", "r64", split="train", streaming=True))) > 5
    assert xet_hub.log.puts == []  # nothing went past Xet


def test_storage_buckets(xet_hub: LoopbackHub, api: HfApi, export: Path, tmp_path: Path) -> None:
    api.create_bucket("me/store", private=True)
    api.create_bucket("me/store", exist_ok=True)
    api.batch_bucket_files("me/store", add=[(b"late", "late.txt"), (b"", "empty")])
    api.sync_bucket(str(export), "hf://buckets/me/store/pre")
    listed = {file.path for file in api.list_bucket_tree("me/store", recursive=True) if file.type == "file"}
    files = {f"pre/{path.relative_to(export).as_posix()}" for path in export.rglob("*") if path.is_file()}
    assert listed == {"late.txt", "empty", *files}
    assert {file.path for file in api.list_bucket_tree("me/store")} == {"late.txt", "empty", "pre"}
    api.sync_bucket("hf://buckets/me/store/pre", str(tmp_path / "back"))
    assert_copied(export, tmp_path / "back")
    assert len(list(datasets.load_dataset("buckets/me/store/pre", "r64", split="train", streaming=True))) > 5
    api.batch_bucket_files("me/store", delete=["late.txt", "empty"])
    assert api.bucket_info("me/store").total_files == len(files)
    counts = [len(files) for _, files in at_every_commit(xet_hub, "me/store", kind="bucket")]
    assert counts[:2] == [0, 2]
    assert counts[-2] - counts[-1] == 2
