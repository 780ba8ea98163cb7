"""Xet and Storage Buckets of the loopback Hub, against the unmodified clients."""

from __future__ import annotations

from pathlib import Path

from tests.factories import make_export
from tests.hub.client import at_every_commit, run_python
from tests.hub.loopback import LoopbackHub

IMPORTS = """
import hashlib, os, sys
from pathlib import Path
import datasets
from huggingface_hub import HfApi
api, home, export = HfApi(), Path(os.environ["HF_HOME"]), Path(sys.argv[1])
files = {path.relative_to(export).as_posix(): path.read_bytes() for path in export.rglob("*") if path.is_file()}

def check(folder):
    for name, data in files.items():
        assert (folder / name).read_bytes() == data, name
"""


def test_an_export_goes_up_and_down(xet_hub: LoopbackHub, tmp_path: Path) -> None:
    export = tmp_path / "export"
    make_export(export, bases=(64,))
    code = """
repo = dict(repo_id="me/name", repo_type="dataset")
api.create_repo(**repo)
api.upload_folder(**repo, folder_path=export)
for file in api.list_repo_tree(**repo, recursive=True):
    if file.path.endswith(".tar"):
        assert file.xet_hash and file.lfs.sha256 == hashlib.sha256(files[file.path]).hexdigest()
check(Path(api.snapshot_download(**repo)))
assert len(list(datasets.load_dataset("me/name", "r64", split="train", streaming=True))) > 5
"""
    run_python(xet_hub, IMPORTS + code, tmp_path / "home", str(export))
    read = {request.path.rsplit(".", 1)[-1] for request in xet_hub.log.requests if request.endpoint == "resolve"}
    assert read >= {"md", "tar"}
    assert xet_hub.log.puts == []  # nothing went past Xet


def test_storage_buckets(xet_hub: LoopbackHub, tmp_path: Path) -> None:
    export = tmp_path / "export"
    make_export(export, bases=(64,))
    code = """
api.create_bucket("me/store", private=True)
api.create_bucket("me/store", exist_ok=True)
api.batch_bucket_files("me/store", add=[(b"late", "late.txt"), (b"", "empty")])
api.sync_bucket(str(export), "hf://buckets/me/store/pre")
assert {file.path for file in api.list_bucket_tree("me/store", recursive=True) if file.type == "file"} == {
    "late.txt", "empty", *(f"pre/{name}" for name in files)}
assert {file.path for file in api.list_bucket_tree("me/store")} == {"late.txt", "empty", "pre"}
api.sync_bucket("hf://buckets/me/store/pre", str(home / "back"))
check(home / "back")
rows = datasets.load_dataset("buckets/me/store/pre", "r64", split="train", streaming=True)
assert len(list(rows)) > 5
api.batch_bucket_files("me/store", delete=["late.txt", "empty"])
assert api.bucket_info("me/store").total_files == len(files)
"""
    run_python(xet_hub, IMPORTS + code, tmp_path / "home", str(export))
    counts = [len(files) for _, files in at_every_commit(xet_hub, "me/store", kind="bucket")]
    assert counts[:2] == [0, 2]
    assert counts[-2] - counts[-1] == 2
