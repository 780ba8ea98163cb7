"""Taking samples out of a finished export: what goes, what stays to the byte, what nobody can find any more."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hfbucket
from hfbucket.core.key_sets import keys_of
from hfbucket.core.keys import digest_of, key_of
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.errors import ChangeError, ConfigError
from hfbucket.io.manifest_file import read_manifest
from hfbucket.stages.change.find import Named
from hfbucket.stages.remove import remove
from hfbucket.stages.verify.run import verify
from hfbucket.stages.why import why
from hfbucket.stages.write.build import build
from tests.stages.pictures import caption, draw_folder, picture, tree
from tests.stages.write.test_build import SETTINGS, ledger, samples, shard_times

COUNT = 20


@pytest.fixture(autouse=True)
def _no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # most of the time of a small change


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of pictures with its work folder, for every image mode."""
    folder = tmp_path_factory.mktemp("built")
    photos = draw_folder(folder / "photos", COUNT)
    for mode in ("reencode_jpeg", "passthrough_jpeg"):
        build([str(photos)], folder / mode, hfbucket.Config(**SETTINGS, image_mode=mode))
    return folder


@pytest.fixture
def export(built: Path, tmp_path: Path) -> Path:
    return copy(built, tmp_path, "reencode_jpeg")


def copy(built: Path, to: Path, mode: str) -> Path:
    shutil.copytree(built / mode, to / "export")
    shutil.copytree(built / f"{mode}.work", to / "export.work")
    return to / "export"


def check(export: Path) -> None:
    found = verify(export)
    assert found.ok, found.problems


def everything(folder: Path) -> bytes:
    """All that stands in a folder, tables as text."""
    parts = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            parts.append(path.read_bytes())
            if path.suffix == ".parquet":
                parts.append(json.dumps(pq.read_table(path).to_pylist(), default=str, ensure_ascii=False).encode())
    return b"\n".join(parts)


@pytest.mark.parametrize("mode", ["reencode_jpeg", "passthrough_jpeg"])
def test_only_what_is_meant_goes(built: Path, tmp_path: Path, mode: str) -> None:
    export = copy(built, tmp_path, mode)
    before, old, times = {row["image_id"]: row for row in samples(export)}, read_manifest(export), shard_times(export)
    gone = ["0000.jpg", "0006.jpg", "0008.jpg"]
    done = remove(export, ids=[*gone, "nowhere.jpg"])
    assert (done.images, done.unknown, done.left_out, done.already) == (3, 1, 0, 0)
    check(export)
    after = {row["image_id"]: row for row in samples(export)}
    assert list(after) == [name for name in before if name not in gone]
    hit = {before[name]["shard"] for name in gone}
    assert done.shards_rewritten + done.shards_gone == len(hit)
    now = shard_times(export)
    assert {file for file in times if now.get(file) != times[file]} == hit
    for name, row in after.items():
        assert members(export, row) == members(built / mode, before[name])
    manifest = read_manifest(export)
    assert manifest.summary == {**old.summary, "images_exported": 13, "removed": 3}
    assert [entry.what for entry in manifest.history] == ["build", "remove: 3 images"]
    assert manifest.history[-1].export_id == manifest.export_id == done.export_id != old.export_id
    assert sum(done.buckets.values()) == 3
    told = ledger(export)
    assert [told[key_of(digest_of(name))] for name in gone] == [("removed", None)] * 3
    assert not set(gone) & set(told)


def members(export: Path, row: dict[str, Any]) -> list[bytes]:
    data = (export / row["shard"]).read_bytes()
    return [data[row[f"{m}_offset"] :][: row[f"{m}_size"]] for m in ("jpg", "txt", "json")]


@pytest.mark.parametrize("mode", ["reencode_jpeg", "passthrough_jpeg"])
def test_nothing_of_it_stays(built: Path, tmp_path: Path, mode: str) -> None:
    export = copy(built, tmp_path, mode)
    row = next(row for row in samples(export) if row["image_id"] == "0006.jpg")
    jpg = members(export, row)[0]
    traces = [b"0006.jpg", caption(6).split("\n")[0].encode(), row["source_sha256"].encode(), jpg[-150:]]
    held = everything(tmp_path)
    assert all(trace in held for trace in traces)
    shutil.copytree(export / "buckets", tmp_path / "export.work" / "update" / "buckets")  # of a kill
    remove(export, sha256=[hashlib.sha256(picture(6)).hexdigest().upper()])
    held = everything(tmp_path)
    assert [trace for trace in traces if trace in held] == []
    check(export)
    assert [answer.outcome for answer in why(export, "0006.jpg")] == ["removed"]
    assert [answer.key for answer in why(export, key_of(digest_of("0006.jpg")))] == [key_of(digest_of("0006.jpg"))]


def test_by_key_and_by_condition(export: Path) -> None:
    done = remove(export, ids=[key_of(digest_of("0001.jpg"))], where="image_id like '000%' and width = 90")
    assert (done.images, done.unknown) == (3, 0)
    check(export)
    assert not {"0001.jpg", "0003.jpg", "0008.jpg"} & {row["image_id"] for row in samples(export)}


def test_a_shard_that_held_nothing_else_goes(export: Path) -> None:
    buckets = read_manifest(export).buckets
    bucket_id = next(name for name, entry in buckets.items() if entry.base_resolution == 64 and entry.count)
    shard = buckets[bucket_id].shards[0].file
    names = [row["image_id"] for row in samples(export) if row["shard"] == shard]
    done = remove(export, ids=names)
    assert (done.shards_gone, done.shards_rewritten) == (1, 0)
    assert not (export / shard).exists()
    check(export)
    numbers = [entry.file for entry in read_manifest(export).buckets[bucket_id].shards]
    assert numbers == [shard.replace("shard-00000", "shard-00001")]
    rest = [row["image_id"] for row in samples(export) if row["bucket_id"] == bucket_id]
    remove(export, ids=rest)
    check(export)
    assert not (export / "buckets" / bucket_id).exists()
    assert not (export / "assets/samples-64.jpg").exists()


def test_inputs_that_were_left_out_can_be_named_too(export: Path) -> None:
    old = read_manifest(export).summary
    done = remove(export, ids=["0004.jpg"])
    assert (done.images, done.left_out, done.unknown, done.shards_rewritten) == (0, 1, 0, 0)
    check(export)
    now = read_manifest(export).summary
    assert (now["skipped_too_small"], now["removed"]) == (old["skipped_too_small"] - 1, 1)
    again = remove(export, ids=["0004.jpg", key_of(digest_of("0004.jpg"))])
    assert (again.images, again.left_out, again.already, again.unknown) == (0, 0, 2, 0)


def test_a_dry_run_and_nothing_found_write_nothing(export: Path) -> None:
    old = tree(export), (export / "manifest.json").read_bytes()
    done = remove(export, ids=["0000.jpg"], dry_run=True)
    assert (done.images, done.shards_rewritten, done.dry_run) == (1, 1, True)
    assert remove(export, ids=["nowhere.jpg", "no\udcff.jpg"]).unknown == 2
    assert (tree(export), (export / "manifest.json").read_bytes()) == old


def test_a_file_name_that_is_no_utf8_means_its_image_id() -> None:
    named = Named(["caf\udce9.jpg", "caf%E9.jpg"])
    seen = np.zeros(len(named), dtype=bool)
    assert named.note_ids(keys_of(pa.array(["caf%E9.jpg", "a.jpg"])), seen).tolist() == [True, False]
    assert seen.tolist() == [True]


def test_what_makes_no_sense(export: Path) -> None:
    old = tree(export), (export / "manifest.json").read_bytes()
    for given, error, words in (
        ({}, ConfigError, "remove needs ids, hashes or a condition"),
        ({"sha256": ["abc"]}, ConfigError, "sha256 must be 64 hex digits, got 'abc'"),
        ({"where": "width >= 1"}, ChangeError, "all 16 images would go; delete the export instead"),
        ({"where": "nothing = 1"}, ConfigError, "nothing"),
    ):
        with pytest.raises(error, match=words):
            remove(export, **given)
    assert (tree(export), (export / "manifest.json").read_bytes()) == old


def test_an_export_without_hashes_or_ledger(tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", 5)
    build([str(photos)], tmp_path / "export", hfbucket.Config(**SETTINGS, source_hash=False))
    with pytest.raises(ConfigError, match="built without: --no-source-hash"):
        remove(tmp_path / "export", sha256=["0" * 64])
    shutil.rmtree(tmp_path / "export" / "ledger")
    shutil.rmtree(tmp_path / "export.work")
    assert remove(tmp_path / "export", ids=["0000.jpg", "0004.jpg"]).unknown == 1
    check(tmp_path / "export")
    summary = read_manifest(tmp_path / "export").summary
    assert summary["images_seen"] == sum(summary[name] for name in OUTCOMES) == 5


def test_contact_sheets_show_what_stays(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = read_manifest(export)
    small = next(asset for asset in old.assets if asset.file.endswith("samples-64.jpg"))
    remove(export, ids=["0000.jpg"])
    now = {asset.file: asset for asset in read_manifest(export).assets}
    assert now["assets/samples-64.jpg"] == small
    assert now["assets/samples-128.jpg"].sha256 != old.assets[1].sha256
    assert list(now) == [asset.file for asset in old.assets]
