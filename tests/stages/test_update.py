"""Growing a finished export: what stands stays to the byte, what is new comes after it, and all adds up."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from hfbucket.config import Config
from hfbucket.core.card.words import Words
from hfbucket.core.events import Event, Notice
from hfbucket.core.keys import digest_of, key_of
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.errors import ChangeError, ConfigError, PlanMismatchError, SourceError
from hfbucket.io.manifest_file import read_manifest
from hfbucket.stages.build import build
from hfbucket.stages.card import update_card
from hfbucket.stages.remove import remove
from hfbucket.stages.verify.run import verify
from tests.stages.pictures import caption, draw_folder, draw_parquet, draw_tar, picture, tree
from tests.stages.write.test_build import SETTINGS, ledger, samples


@pytest.fixture(autouse=True)
def _no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # most of the time of a small build


def config(**changes: Any) -> Config:
    return Config(**{**SETTINGS, **changes})


def grow(photos: Path | list[str], export: Path, told: Any = None, **changes: Any) -> Manifest:
    sources = str(photos) if isinstance(photos, Path) else photos
    return build(sources, export, config(update=True, **changes), on_event=(told if told is not None else []).append)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "photos", 20)


@pytest.fixture
def export(photos: Path, tmp_path: Path) -> Path:
    build(str(photos), tmp_path / "export", config())
    return tmp_path / "export"


def check(export: Path) -> Manifest:
    """Verify an export; return its manifest, whose summary adds up."""
    found = verify(export)
    assert found.ok, found.problems
    manifest = read_manifest(export)
    summary = manifest.summary
    assert summary["images_seen"] == sum(summary[name] for name in OUTCOMES) == len(all_ledger(export))
    assert sum(source.images_seen or 0 for source in manifest.sources) == summary["images_seen"]
    return manifest


def all_ledger(export: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(export / "ledger").to_pylist()
    return rows


def texts(told: list[Event]) -> list[str]:
    return [event.text for event in told if isinstance(event, Notice)]


def whole(export: Path) -> dict[str, bytes]:
    return {path.relative_to(export).as_posix(): path.read_bytes() for path in export.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["reencode_jpeg", "passthrough_jpeg"])
@pytest.mark.parametrize("shuffle", [None, 3])
def test_what_is_new_comes_after_what_is_there(tmp_path: Path, mode: str, shuffle: int | None) -> None:
    photos, export = draw_folder(tmp_path / "photos", 20), tmp_path / "export"
    settings = {"image_mode": mode, "shuffle": shuffle}
    first = build(str(photos), export, config(**settings))
    shards, rows = whole(export / "buckets"), samples(export)
    for number in range(11):  # between the old ones, by name
        name = f"{number:04d}b"
        (photos / f"{name}.jpg").write_bytes(picture(number + 5))
        (photos / f"{name}.txt").write_text(caption(number), encoding="utf-8")
    grow(photos, export, **settings)
    manifest = check(export)
    now = whole(export / "buckets")
    assert {file: now[file] for file in shards} == shards
    new = sorted(now.keys() - shards.keys())
    for bucket_id, entry in manifest.buckets.items():
        numbers = [int(shard.file[-9:-4]) for shard in entry.shards]
        assert numbers == list(range(len(numbers)))
        assert entry.shards[: len(first.buckets[bucket_id].shards)] == first.buckets[bucket_id].shards
    by_id = {row["image_id"]: row for row in samples(export)}
    assert all(by_id[row["image_id"]] == row for row in rows)
    added = [row for row in by_id.values() if row["image_id"].endswith("b.jpg")]
    assert {row["shard"].removeprefix("buckets/") for row in added} == set(new)
    assert manifest.summary == {**first.summary, "images_seen": 31, "images_exported": 25, "skipped_too_small": 6}
    assert [entry.what for entry in manifest.history] == [
        "build",
        "update: generation 2, 9 images added, 2 new inputs left out, 0 gone from the sources, 0 changed there",
    ]
    assert list(ledger(export))[:20] == [f"{number:04d}.jpg" for number in range(20)]
    build(str(photos), tmp_path / "anew", config(**settings))
    fresh = {row["image_id"]: row for row in samples(tmp_path / "anew")}
    places = ("shard", "jpg_offset", "txt_offset", "json_offset")
    for name, row in by_id.items():
        assert {k: v for k, v in row.items() if k not in places} == {
            k: v for k, v in fresh[name].items() if k not in places
        }
    draw_folder(photos, 2, start=40)
    grow(photos, export, **settings)
    assert check(export).history[-1].what.startswith("update: generation 3, 2 images added")


def test_nothing_new_writes_nothing(photos: Path, export: Path) -> None:
    old = whole(export)
    told: list[Event] = []
    manifest = grow(photos, export, told)
    assert whole(export) == old
    assert manifest == read_manifest(export)
    assert texts(told)[-1] == f"nothing is new for {export}; nothing was written"
    draw_folder(photos, 1, start=20)
    grow(photos, export)
    old = whole(export)
    grow(photos, export)
    assert whole(export) == old
    assert not (export.parent / "export.work" / "update").exists()


def test_without_an_export_it_builds(photos: Path, tmp_path: Path) -> None:
    grow(photos, tmp_path / "a")
    build(str(photos), tmp_path / "b", config())
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert [entry.what for entry in check(tmp_path / "a").history] == ["build"]


def test_gone_and_changed_images_are_named_and_stay(photos: Path, export: Path) -> None:
    old = whole(export / "buckets")
    (photos / "0000.jpg").unlink()
    for number in range(5, 9):
        (photos / f"{number:04d}.jpg").write_bytes(picture(number + 1))
    told: list[Event] = []
    grow(photos, export, told)
    assert whole(export / "buckets") == old
    assert texts(told)[-3:-1] == [
        "gone from the sources, kept in the export as it is: 1 ('0000.jpg')",
        "changed in the sources, kept in the export as it is: 4 ('0005.jpg', '0006.jpg', '0007.jpg', …)",
    ]
    draw_folder(photos, 1, start=20)
    manifest = grow(photos, export)
    assert manifest.history[-1].what.endswith(
        "1 image added, 0 new inputs left out, 1 gone from the sources, 4 changed there"
    )
    check(export)


def test_bytes_tell_a_change_where_they_are_kept(photos: Path, tmp_path: Path) -> None:
    build(str(photos), tmp_path / "export", config(image_mode="passthrough_jpeg"))
    (photos / "0000.jpg").write_bytes(picture(0, quality=50))
    told: list[Event] = []
    grow(photos, tmp_path / "export", told, image_mode="passthrough_jpeg")
    assert texts(told)[-2] == "changed in the sources, kept in the export as it is: 1 ('0000.jpg')"


def test_what_was_left_out_is_looked_at_again(photos: Path, tmp_path: Path) -> None:
    (photos / "0001.jpg").write_bytes(b"\xff\xd8 broken")
    (photos / "0002.txt").unlink()
    (photos / "0003.jpg").write_bytes(picture(3)[:-200])  # its header is fine
    export = tmp_path / "export"
    first = build(str(photos), export, config(max_failure_ratio=1))
    assert (first.summary["decode_errors"], first.summary["skipped_no_caption"]) == (2, 1)
    old = whole(export)
    grow(photos, export, max_failure_ratio=1)
    assert whole(export) == old
    (photos / "0001.jpg").write_bytes(picture(1))
    (photos / "0002.txt").write_text("now there is one")
    (photos / "0003.jpg").write_bytes(picture(3))
    (photos / "0004.jpg").write_bytes(b"nothing")
    manifest = grow(photos, export, max_failure_ratio=1)
    check(export)
    assert manifest.summary["images_seen"] == 20
    assert (manifest.summary["images_exported"], manifest.summary["decode_errors"]) == (16, 1)
    told = ledger(export)
    assert [told[f"000{n}.jpg"][0] for n in (1, 2, 3, 4)] == ["images_exported"] * 3 + ["decode_errors"]


def test_what_was_removed_does_not_come_back(photos: Path, export: Path) -> None:
    remove(export, ids=["0000.jpg", "0004.jpg"])
    (photos / "0004.jpg").write_bytes(picture(0))
    draw_folder(photos, 2, start=20)
    manifest = grow(photos, export)
    check(export)
    assert (manifest.summary["removed"], manifest.summary["images_exported"]) == (2, 17)
    assert not {"0000.jpg", "0004.jpg"} & {row["image_id"] for row in samples(export)}
    with pytest.raises(PlanMismatchError, match="has grown by 1 update and had 2 images removed: give --update"):
        build(str(photos), export, config())
    anew = build(str(photos), export, config(overwrite=True))
    check(export)
    assert (anew.summary["removed"], anew.summary["images_exported"]) == (0, 19)


def test_duplicates_of_what_is_there_or_was_removed(tmp_path: Path) -> None:
    photos, export = draw_folder(tmp_path / "photos", 20), tmp_path / "export"
    build(str(photos), export, config(dedupe="sha256"))
    remove(export, ids=["0001.jpg"])
    for name, number in (("copy of 0", 0), ("0000 copy", 0), ("copy of 1", 1), ("new", 21), ("newer", 21)):
        (photos / f"{name}.jpg").write_bytes(picture(number))
        (photos / f"{name}.txt").write_text("a copy")
    grow(photos, export, dedupe="sha256")
    manifest = check(export)
    told = ledger(export)
    assert {name: told[f"{name}.jpg"] for name in ("copy of 0", "0000 copy", "copy of 1", "new", "newer")} == {
        "copy of 0": ("duplicates_removed", "same bytes as 0000.jpg"),
        "0000 copy": ("duplicates_removed", "same bytes as 0000.jpg"),
        "copy of 1": ("duplicates_removed", "like an image that was removed"),
        "new": ("images_exported", None),
        "newer": ("duplicates_removed", "same bytes as new.jpg"),
    }
    assert manifest.statistics["duplicates"] == {"image_id": 0, "bytes": 4}
    remove(export, ids=["0000.jpg"])
    check(export)
    assert ledger(export)["copy of 0.jpg"] == ("duplicates_removed", "like an image that was removed")
    old = whole(export)
    grow(photos, export, dedupe="sha256")
    assert whole(export) == old


def test_rare_buckets_count_what_is_there(photos: Path, tmp_path: Path) -> None:
    export = tmp_path / "export"
    settings = {"min_bucket": 5, "rare": "drop"}
    draw_folder(photos, 3, start=20)
    first = build(str(photos), export, config(**settings))
    assert (first.summary["skipped_rare_bucket"], first.summary["images_exported"]) == (4, 15)
    draw_folder(photos, 1, start=23)  # the fifth of its kind; of the others there are five
    manifest = grow(photos, export, **settings)
    check(export)
    assert (manifest.summary["skipped_rare_bucket"], manifest.summary["images_exported"]) == (0, 20)
    draw_folder(photos, 1, start=25)
    assert grow(photos, export, **settings).summary["images_exported"] == 21


def test_an_update_that_fails_goes_on(photos: Path, export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_folder(photos, 9, start=20)
    old = whole(export)

    def full(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hfbucket.stages.update.run.end_change", full)
        with pytest.raises(ChangeError, match="the disk is full"):
            grow(photos, export)
    assert whole(export) == old
    aside = export.parent / "export.work" / "update"
    written = {path.relative_to(aside): path.stat().st_ino for path in aside.rglob("*.tar")}
    grow(photos, export)
    check(export)
    assert len(written) == 4
    assert {path: (export / path).stat().st_ino for path in written} == written
    assert not aside.exists()


def test_further_sources(photos: Path, export: Path, tmp_path: Path) -> None:
    more = draw_tar(tmp_path / "more.tar", 5)
    others = draw_folder(tmp_path / "others", 0)
    for number in range(5):
        (others / f"{number:04d}.jpg").write_bytes(picture(number + 1))
    words = r"source 'others' is new .* another image .*'0000.jpg' \(4 in all\); put a name"
    with pytest.raises(SourceError, match=words):
        grow(others, export)
    told: list[Event] = []
    manifest = grow([f"more={more}"], export, told)
    check(export)
    assert "gone from the sources, kept in the export as it is: 16" in "\n".join(texts(told))
    assert [(source.name, source.images_seen) for source in manifest.sources] == [("photos", 20), ("more", 5)]
    told.clear()
    grow([str(shutil.copytree(photos, tmp_path / "moved"))], export, told)
    assert any("16 of its images are there by id and size, and are taken for the same" in text for text in texts(told))


def test_parquet_with_spool(tmp_path: Path) -> None:
    export = tmp_path / "export"
    draw_parquet(tmp_path / "data" / "a.parquet", 10)
    build(str(tmp_path / "data"), export, config(image_mode="passthrough_jpeg"))
    draw_parquet(tmp_path / "data" / "b.parquet", 7)
    grow(tmp_path / "data", export, image_mode="passthrough_jpeg")
    assert check(export).summary["images_seen"] == 17
    assert sorted(path.name for path in (tmp_path / "export.work").iterdir() if path.is_dir()) == ["receipts", "tasks"]


def test_metadata_keeps_its_keys(tmp_path: Path) -> None:
    photos, export = draw_folder(tmp_path / "photos", 3), tmp_path / "export"
    for number in range(3):
        (photos / f"{number:04d}.json").write_text('{"a": 1, "b": 2}')
    build(str(photos), export, config())
    draw_folder(photos, 2, start=5)
    (photos / "0005.json").write_text('{"b": 3, "c": 4}')
    told: list[Event] = []
    grow(photos, export, told)
    check(export)
    rows = {row["image_id"]: row["meta"] for row in samples(export)}
    assert (rows["0005.jpg"], rows["0006.jpg"]) == ('{"a":null,"b":3}', '{"a":null,"b":null}')
    assert "metadata that the export has not got is left out of new samples, too: c" in texts(told)


def test_words_of_the_card_stay_or_change(photos: Path, export: Path) -> None:
    update_card(export, Words(title="A title", license="cc0-1.0"))
    draw_folder(photos, 1, start=20)
    assert grow(photos, export).title == "A title"
    assert grow(photos, export, title="Another").title == "Another"
    manifest = check(export)
    assert (manifest.title, manifest.license.id) == ("Another", "cc0-1.0")


def test_what_is_refused(photos: Path, export: Path, tmp_path: Path) -> None:
    old = whole(export)
    draw_folder(photos, 1, start=20)
    with pytest.raises(PlanMismatchError, match="was built with other settings: quality"):
        grow(photos, export, quality=80)
    with pytest.raises(ConfigError, match="update adds to what is there, overwrite starts anew"):
        grow(photos, export, overwrite=True)
    with pytest.raises(ConfigError, match="expect_plan is of all that the sources hold"):
        grow(photos, export, expect_plan="0123456789abcdef")
    shutil.move(export / "ledger", tmp_path / "ledger")
    with pytest.raises(ChangeError, match="has no ledger, so nobody knows what it left out"):
        grow(photos, export)
    shutil.move(tmp_path / "ledger", export / "ledger")
    assert whole(export) == old
    shutil.rmtree(tmp_path / "export.work")
    grow(photos, export, work_dir=str(tmp_path / "elsewhere"))
    check(export)


def test_two_inputs_of_one_id(tmp_path: Path) -> None:
    photos, more, export = draw_folder(tmp_path / "a", 10), draw_folder(tmp_path / "b", 12), tmp_path / "export"
    both, first = [str(photos), str(more)], {"duplicate_ids": "first"}
    assert build(both, export, config(**first)).summary["duplicates_removed"] == 8
    old = whole(export)
    grow(both, export, **first)
    assert whole(export) == old
    draw_folder(more, 1, start=20)
    grow(both, export, **first)
    assert check(export).summary["images_seen"] == 23
    remove(export, ids=["0000.jpg"])
    check(export)
    assert [row["outcome"] for row in all_ledger(export) if row["image_id"] == key_of(digest_of("0000.jpg"))] == [
        "removed"
    ] * 2
