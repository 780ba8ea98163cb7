"""Builds from end to end: what comes out, what is done again, what is refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest

from hfbucket.config import Config
from hfbucket.core.card.words import Words
from hfbucket.core.events import Event, Notice, Progress
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.manifest.plain import content_sha256
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.errors import BuildError, ConfigError, PlanMismatchError, SourceError, TooManyFailuresError
from hfbucket.io.atomic import write_bytes
from hfbucket.io.hashed_file import HashedFile
from hfbucket.io.locks import locked
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.ustar import ShardWriter
from hfbucket.stages import rounds
from hfbucket.stages.card import update_card
from hfbucket.stages.verify.run import verify
from hfbucket.stages.write.build import build
from tests.stages.pictures import caption, draw_folder, draw_parquet, draw_tar, picture, tree

SETTINGS: dict[str, Any] = {"base": (128, 64), "max_shard_samples": 3, "workers": 0}
COUNT = 20


@pytest.fixture(autouse=True)
def _no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # most of the time of a small build


def config(**changes: Any) -> Config:
    return Config(**{**SETTINGS, **changes})


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("source") / "photos", COUNT)


def ledger(export: Path) -> dict[str, tuple[str, str | None]]:
    rows = pq.read_table(export / "ledger" / "part-00000.parquet").to_pylist()
    return {row["image_id"]: (row["outcome"], row["detail"]) for row in rows}


def samples(export: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(export / "samples" / "part-00000.parquet").to_pylist()
    return rows


def shard_times(export: Path) -> dict[str, int]:
    return {path.relative_to(export).as_posix(): path.stat().st_mtime_ns for path in export.glob("buckets/*/*.tar")}


def test_every_input_is_accounted_for(photos: Path, tmp_path: Path) -> None:
    manifest = build([str(photos)], tmp_path / "out", config())
    assert manifest.summary["images_seen"] == COUNT == sum(manifest.summary[name] for name in OUTCOMES)
    assert manifest.summary["skipped_too_small"] == COUNT // 5
    assert manifest == read_manifest(tmp_path / "out")
    told = ledger(tmp_path / "out")
    assert list(told) == [f"{number:04d}.jpg" for number in range(COUNT)]
    assert told["0004.jpg"] == ("skipped_too_small", "40x30")
    assert told["0000.jpg"] == ("images_exported", None)
    assert (manifest.title, [entry.what for entry in manifest.history]) == ("out", ["build"])
    assert not (tmp_path / "out.work" / "spool").exists()


def test_samples_lie_where_the_tables_say(photos: Path, tmp_path: Path) -> None:
    build([str(photos)], tmp_path / "out", config())
    rows = samples(tmp_path / "out")
    assert [(row["shard"], row["jpg_offset"]) for row in rows] == sorted((r["shard"], r["jpg_offset"]) for r in rows)
    for row in rows:
        data = (tmp_path / "out" / row["shard"]).read_bytes()
        part = {m: data[row[f"{m}_offset"] :][: row[f"{m}_size"]] for m in ("jpg", "txt", "json")}
        number = int(row["image_id"][:4])
        assert part["txt"].decode() == caption(number) + "\n"
        metadata = json.loads(part["json"])
        meta = metadata.pop("meta")
        assert {name: row[name] for name in metadata} == metadata
        assert json.loads(row["meta"]) == meta
        assert part["jpg"].startswith(b"\xff\xd8")
        assert row["image_mode"] == "reencode_jpeg"
    with tarfile.open(tmp_path / "out" / rows[0]["shard"]) as archive:
        assert len(archive.getnames()) % 3 == 0


def test_pictures_of_the_card(photos: Path, tmp_path: Path) -> None:
    kept, encoded = (
        build(str(photos), tmp_path / mode / "export", config(image_mode=mode))
        for mode in ("passthrough_jpeg", "reencode_jpeg")
    )
    export = tmp_path / "reencode_jpeg" / "export"
    assert [asset.file for asset in encoded.assets] == [
        "assets/buckets.png", "assets/samples-128.jpg", "assets/samples-64.jpg",
    ]  # fmt: skip
    assert {path.name for path in (export / "assets").iterdir()} == {a.file[7:] for a in encoded.assets}
    assert kept.assets == encoded.assets  # they show the sources, whatever the mode
    card = (export / "README.md").read_text(encoding="utf-8")
    assert [asset.file for asset in encoded.assets if f"]({asset.file})" not in card] == []
    assert (
        replace(encoded, assets=()).content_sha256
        == content_sha256(encoded)
        == content_sha256(replace(encoded, assets=()))
    )
    (export / "assets" / "samples-64.jpg").write_bytes(b"x" * encoded.assets[2].bytes)
    (export / "assets" / "buckets.png").unlink()
    found = [(found.code, found.file) for found in verify(export).problems]
    assert found == [("missing", "assets/buckets.png"), ("hash", "assets/samples-64.jpg")]
    build(str(photos), export, config())
    assert verify(export).ok


def test_contact_sheets_of_bases_that_are_no_more_are_deleted(tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", 5)
    build(str(photos), tmp_path / "export", config())
    assert (tmp_path / "export" / "assets" / "samples-64.jpg").exists()
    (photos / "0003.jpg").unlink()  # the only one at base 64
    build(str(photos), tmp_path / "export", config())
    assert not (tmp_path / "export" / "assets" / "samples-64.jpg").exists()


def test_passthrough_keeps_the_source_bytes(photos: Path, tmp_path: Path) -> None:
    manifest = build([str(photos)], tmp_path / "out", config(image_mode="passthrough_jpeg"))
    assert manifest.reencoded_in_passthrough == 0
    for row in samples(tmp_path / "out"):
        data = (tmp_path / "out" / row["shard"]).read_bytes()
        source = (photos / row["image_id"]).read_bytes()
        assert data[row["jpg_offset"] :][: row["jpg_size"]] == source
        assert row["jpeg"] is None


def test_what_cannot_pass_through_is_encoded_at_full_size(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", 5)
    (folder / "0000.jpg").unlink()
    (folder / "0000.png").write_bytes(picture(0, "PNG"))
    manifest = build([str(folder)], tmp_path / "out", config(image_mode="passthrough_jpeg"))
    assert manifest.reencoded_in_passthrough == 1
    row = next(row for row in samples(tmp_path / "out") if row["image_id"] == "0000.png")
    assert row["jpeg"] == {"quality": 95, "subsampling": "4:4:4"}
    assert row["image_mode"] == "reencode_jpeg"


@pytest.mark.parametrize("image_mode", ["reencode_jpeg", "passthrough_jpeg"])
def test_same_bytes_whatever_the_workers_the_place_and_the_cache(
    photos: Path, tmp_path: Path, image_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = build([str(photos)], tmp_path / "one", config(image_mode=image_mode))
    monkeypatch.setenv("HFBUCKET_CACHE", str(tmp_path / "cold"))
    elsewhere = tmp_path / "another place" / "photos"
    elsewhere.mkdir(parents=True)
    for path in sorted(photos.iterdir(), reverse=True):
        shutil.copyfile(path, elsewhere / path.name)
    two = build([str(elsewhere)], tmp_path / "two", config(image_mode=image_mode, workers=2))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert (one.content_sha256, one.buckets) == (two.content_sha256, two.buckets)


def test_a_rerun_writes_nothing(photos: Path, tmp_path: Path) -> None:
    first = build([str(photos)], tmp_path / "out", config())
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert build([str(photos)], tmp_path / "out", config()) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_one_more_image_rewrites_only_changed_shards(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", COUNT)
    build([str(folder)], tmp_path / "out", config())
    before = shard_times(tmp_path / "out")
    draw_folder(folder, 1, start=100)  # as large as 0000.jpg, last in source order
    manifest = build([str(folder)], tmp_path / "out", config())
    after = shard_times(tmp_path / "out")
    changed = {name for name in after if after[name] != before.get(name)}
    row = next(row for row in samples(tmp_path / "out") if row["image_id"] == "0100.jpg")
    assert changed == {row["shard"]}
    assert [entry.what for entry in manifest.history] == ["build", "rebuild"]
    fresh = build([str(folder)], tmp_path / "fresh", config())
    assert fresh.content_sha256 == manifest.content_sha256
    assert tree(tmp_path / "fresh") == tree(tmp_path / "out")


def test_shards_and_parts_that_are_no_more_are_deleted(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", COUNT)
    build([str(folder)], tmp_path / "out", config())
    for number in range(0, COUNT, 5):  # everything of one bucket
        (folder / f"{number:04d}.jpg").unlink()
    (tmp_path / "out" / "samples" / "part-00007.parquet").write_bytes(b"stale")
    build([str(folder)], tmp_path / "out", config())
    build([str(folder)], tmp_path / "fresh", config())
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_a_lost_or_cut_shard_is_written_again(photos: Path, tmp_path: Path) -> None:
    build([str(photos)], tmp_path / "out", config())
    whole = tree(tmp_path / "out")
    first, second = sorted((tmp_path / "out").glob("buckets/*/*.tar"))[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:1000])
    build([str(photos)], tmp_path / "out", config())
    assert tree(tmp_path / "out") == whole


def test_words_of_the_card_live_on(photos: Path, tmp_path: Path) -> None:
    build([str(photos)], tmp_path / "out", config(title="Photos of the sea"))
    (tmp_path / "out.work" / "finished.json").unlink()
    assert build([str(photos)], tmp_path / "out", config()).title == "Photos of the sea"
    manifest = build([str(photos)], tmp_path / "out", config(title="Other"))
    assert (manifest.title, manifest.history[-1].what) == ("Other", "words: title")
    assert "Other" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_words_that_the_card_command_gave_stay(photos: Path, tmp_path: Path) -> None:
    build(str(photos), tmp_path / "out", config(title="Before"))
    changed, _ = update_card(tmp_path / "out", Words(title="After"))
    card = (tmp_path / "out" / "README.md").read_bytes()
    assert build(str(photos), tmp_path / "out", config(title="Before")) == changed
    assert (tmp_path / "out" / "README.md").read_bytes() == card


def test_other_settings_are_refused_unless_overwriting(photos: Path, tmp_path: Path) -> None:
    build([str(photos)], tmp_path / "out", config())
    with pytest.raises(PlanMismatchError, match=r"quality: 80, not 95\. .*--overwrite"):
        build([str(photos)], tmp_path / "out", config(quality=80))
    (tmp_path / "out" / "manifest.json").unlink()  # the same for an unfinished one
    with pytest.raises(PlanMismatchError, match="quality"):
        build([str(photos)], tmp_path / "out", config(quality=80))
    manifest = build([str(photos)], tmp_path / "out", config(quality=80, overwrite=True))
    assert manifest.jpeg["quality"] == 80
    build([str(photos)], tmp_path / "fresh", config(quality=80))
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_folders_of_buckets_that_are_no_more_go(photos: Path, tmp_path: Path) -> None:
    build([str(photos)], tmp_path / "out", config())
    (tmp_path / "out" / "manifest.json").unlink()
    for shard in (tmp_path / "out").glob("buckets/*/*.tar"):  # as a kill before the first shard leaves it
        shard.unlink()
    (tmp_path / "out" / "buckets" / "mine").mkdir()
    (tmp_path / "out" / "buckets" / "mine" / "letter.txt").write_text("dear")
    (tmp_path / "out" / "buckets" / "link").symlink_to(tmp_path)
    build([str(photos)], tmp_path / "out", config(base=(64,)))
    build([str(photos)], tmp_path / "fresh", config(base=(64,)))
    folders = [sorted(path.name for path in (tmp_path / name / "buckets").iterdir()) for name in ("out", "fresh")]
    assert folders[0] == sorted([*folders[1], "link", "mine"])
    assert (tmp_path / "out" / "buckets" / "mine" / "letter.txt").read_text() == "dear"


def test_a_deleted_export_binds_nobody(photos: Path, tmp_path: Path) -> None:
    build([str(photos)], tmp_path / "out", config())
    shutil.rmtree(tmp_path / "out")
    build([str(photos)], tmp_path / "out", config(quality=80))
    build([str(photos)], tmp_path / "fresh", config(quality=80))
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_refusals_write_nothing(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    (tmp_path / "empty").mkdir()
    copied = tmp_path / "outer" / "photos"
    shutil.copytree(photos, copied)
    before = sorted(tmp_path.rglob("*"))
    refused: list[tuple[str, str, dict[str, Any], type[Exception], str]] = [
        (str(photos), "mine", {}, BuildError, "is no export"),
        (str(tmp_path / "empty"), "out", {}, SourceError, "no file"),
        (str(copied), "outer/photos/out", {}, SourceError, "lie inside one another"),
        (str(copied), "outer", {}, (BuildError, SourceError), "outer"),  # type: ignore[list-item]
        (str(photos), "out", {"base": 1024}, SourceError, "no image fits"),
        (str(photos), "out", {"expect_plan": "0" * 16}, PlanMismatchError, "expected plan"),
        (str(photos), "https://bucket/out", {}, ConfigError, "cannot be built at https://bucket/out"),
        (str(photos), "out", {"work_dir": str(tmp_path / "out" / "work")}, ConfigError, "must lie outside"),
        (str(photos), "out", {"sample_units": 1}, ConfigError, "sample_units"),
        (str(photos), "out", {"format": "bucketed_shards_v1"}, ConfigError, "one base"),
    ]
    for source, output, changes, error, words in refused:
        with pytest.raises(error, match=words):
            build([source], output if "://" in output else tmp_path / output, config(**changes))
        assert sorted(tmp_path.rglob("*")) == before


def test_an_export_made_elsewhere_is_not_touched(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text('{"format": "bucketed_shards_v1", "buckets": {}}')
    with pytest.raises(BuildError, match="not built here"):
        build([str(photos)], tmp_path / "out", config(overwrite=True))


def test_one_build_at_a_time(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfbucket.stages.write.work._LOCK_WAIT_S", 0.0)
    with locked(tmp_path / "out.work" / "lock", wait_s=0) as held:
        assert held
        with pytest.raises(BuildError, match="another build is at work"):
            build([str(photos)], tmp_path / "out", config())
    build([str(photos)], tmp_path / "out", config())


def broken(folder: Path) -> Path:
    """Add an image whose header is fine and whose data are not, and one that shows it in its header."""
    (folder / "1000.jpg").write_bytes(picture(0)[:-400])
    (folder / "1000.txt").write_text("cut")
    (folder / "1001.jpg").write_bytes(b"no image")
    (folder / "1001.txt").write_text("none")
    return folder


def test_broken_images_are_named_and_counted(tmp_path: Path) -> None:
    folder = broken(draw_folder(tmp_path / "photos", COUNT))
    manifest = build([str(folder)], tmp_path / "out", config(max_failure_ratio=0.5, missing_caption="drop"))
    assert manifest.summary["decode_errors"] == 2
    told = ledger(tmp_path / "out")
    assert told["1000.jpg"][0] == told["1001.jpg"][0] == "decode_errors"
    assert "truncated" in (told["1000.jpg"][1] or "")
    assert sum(manifest.summary[name] for name in OUTCOMES) == COUNT + 2


def test_too_many_broken_images_stop_a_build_that_a_higher_limit_continues(tmp_path: Path) -> None:
    folder = broken(draw_folder(tmp_path / "photos", COUNT))
    with pytest.raises(TooManyFailuresError, match=r"1 of 22 images .*'1001.jpg'"):
        build([str(folder)], tmp_path / "out", config(max_failure_ratio=0))
    assert not (tmp_path / "out").exists()
    with pytest.raises(TooManyFailuresError, match=r"2 of 22 images .*'1000.jpg'"):
        build([str(folder)], tmp_path / "out", config())
    assert not (tmp_path / "out" / "manifest.json").exists()
    before = shard_times(tmp_path / "out")
    build([str(folder)], tmp_path / "out", config(max_failure_ratio=0.1))
    assert shard_times(tmp_path / "out") == before


def test_a_shard_without_samples_has_no_file(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", 1)
    for number in range(3):
        (folder / f"a{number}.jpg").write_bytes(picture(1)[:-400])
        (folder / f"a{number}.txt").write_text("cut")
    manifest = build([str(folder)], tmp_path / "out", config(max_failure_ratio=1))
    assert manifest.summary["decode_errors"] == 3
    assert len(list((tmp_path / "out").glob("buckets/*/*.tar"))) == 1


def test_a_source_that_vanishes_is_named_and_the_rest_stays_done(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", COUNT)
    last = folder / "0017.jpg"

    def take_away(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "write":
            last.unlink(missing_ok=True)

    with pytest.raises(BuildError, match=r"no such file .*0017\.jpg.*what is done stays done"):
        build([str(folder)], tmp_path / "out", config(), on_event=take_away)
    assert shard_times(tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    before = shard_times(tmp_path / "out")
    last.write_bytes(picture(17))
    build([str(folder)], tmp_path / "out", config())
    after = shard_times(tmp_path / "out")
    assert all(after[name] == time for name, time in before.items())


def test_a_source_that_changes_under_the_build_is_noticed(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", COUNT)

    def change(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "write":
            os.utime(folder / "0000.jpg", ns=(5, 5))

    with pytest.raises(BuildError, match=r"0000\.jpg changed after it was planned"):
        build([str(folder)], tmp_path / "out", config(), on_event=change)


def full_disk(self: HashedFile, *parts: bytes) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/disk/shard.tar")


def test_a_full_disk_is_a_clear_error_and_leaves_no_half_file(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(HashedFile, "write", full_disk)
        with pytest.raises(BuildError, match=r"the disk is full: /disk/shard\.tar; what is done stays done"):
            build([str(photos)], tmp_path / "out", config())
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    build([str(photos)], tmp_path / "out", config())


def test_a_disk_that_is_full_at_the_end_is_as_clear(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "manifest.json")

    with monkeypatch.context() as patch:
        patch.setattr("hfbucket.stages.write.finish.write_manifest", fail)
        with pytest.raises(BuildError, match=r"the disk is full: manifest\.json"):
            build([str(photos)], tmp_path / "out", config())
    assert not (tmp_path / "out" / "manifest.json").exists()
    before = shard_times(tmp_path / "out")
    build(str(photos), tmp_path / "out", config())
    assert shard_times(tmp_path / "out") == before


def test_what_may_pass_is_tried_again(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = []
    times = iter([True])
    finish = ShardWriter.finish

    def fail_once(self: ShardWriter) -> tuple[int, str]:
        if next(times, False):
            raise OSError(errno.EIO, "Input/output error")
        return finish(self)

    monkeypatch.setattr(ShardWriter, "finish", fail_once)
    monkeypatch.setattr(rounds, "_PAUSE_S", 0.0)
    build([str(photos)], tmp_path / "out", config(), on_event=events.append)
    assert any(isinstance(e, Notice) and "tried again" in e.text for e in events)
    assert [e.done for e in events if isinstance(e, Progress) and e.stage == "write"][-1] == 16


def test_progress_goes_up_to_the_total(photos: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    build([str(photos)], tmp_path / "out", config(workers=2), on_event=events.append)
    done = [(e.done, e.total) for e in events if isinstance(e, Progress) and e.stage == "write"]
    assert done[0] == (0, 16)
    assert done[-1] == (16, 16)


@pytest.mark.parametrize("kind", ["parquet", "tar.gz", "tar"])
def test_sources_that_cannot_be_read_at_random_are_spooled(tmp_path: Path, kind: str) -> None:
    if kind == "parquet":
        source = draw_parquet(tmp_path / "photos" / "a.parquet", COUNT)
    else:
        source = draw_tar(tmp_path / "photos" / f"a.{kind}", COUNT, mode="w:gz" if kind == "tar.gz" else "w")
    events: list[Event] = []
    settings = config(image_mode="passthrough_jpeg")
    manifest = build([str(source)], tmp_path / "out", settings, on_event=events.append)
    assert manifest.summary["images_exported"] == 16
    told = [e.text for e in events if isinstance(e, Notice) and "cannot be read at random" in e.text]
    assert len(told) == (0 if kind == "tar" else 1)
    assert not (tmp_path / "out.work" / "spool").exists()
    for row in samples(tmp_path / "out"):
        data = (tmp_path / "out" / row["shard"]).read_bytes()
        number = next(n for n in range(COUNT) if picture(n) == data[row["jpg_offset"] :][: row["jpg_size"]])
        assert data[row["txt_offset"] :][: row["txt_size"]].decode() == caption(number) + "\n"
        assert row["source_archive"] == source.name
    if kind == "parquet":
        assert all(set(json.loads(row["meta"])) == {"class_id"} for row in samples(tmp_path / "out"))


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_remote_sources_give_the_same_export(tmp_path: Path, kind: str) -> None:
    local = tmp_path / "photos"
    if kind == "folder":
        draw_folder(local, COUNT)
    elif kind == "tar":
        draw_tar(local / "a.tar", COUNT)
    else:
        draw_parquet(local / "a.parquet", COUNT)
    memory = fsspec.filesystem("memory")
    remote = f"memory://{tmp_path.name}/photos"
    memory.put(str(local) + "/", f"/{tmp_path.name}/photos/", recursive=True)
    here = build([str(local)], tmp_path / "here", config())
    there = build([remote], tmp_path / "there", config())
    assert tree(tmp_path / "here") == tree(tmp_path / "there")
    assert here.content_sha256 == there.content_sha256


def test_two_sources_with_names(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="two inputs"):
        build([str(photos), str(photos)], tmp_path / "out", config())
    manifest = build([f"a={photos}", f"b={photos}"], tmp_path / "out", config())
    assert [(s.name, s.images_seen) for s in manifest.sources] == [("a", COUNT), ("b", COUNT)]
    assert {row["image_id"].split("/")[0] for row in samples(tmp_path / "out")} == {"a", "b"}


def test_samples_without_caption_may_stay(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", 5)
    (folder / "0000.txt").unlink()
    manifest = build([str(folder)], tmp_path / "out", config(missing_caption="empty"))
    assert manifest.captions.missing_policy == "empty"
    row = next(row for row in samples(tmp_path / "out") if row["image_id"] == "0000.jpg")
    assert (row["caption"], row["caption_variant"], row["txt_size"]) == (None, None, 1)


def test_nothing_of_this_machine_is_written(photos: Path, tmp_path: Path) -> None:
    manifest: Manifest = build([str(photos)], tmp_path / "out", config())
    assert manifest.sources[0].name == "photos"
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes(), path
            assert str(photos.parent).encode() not in path.read_bytes(), path


def test_leftovers_of_a_killed_build_are_removed(photos: Path, tmp_path: Path) -> None:
    build([str(photos)], tmp_path / "out", config())
    bucket = next((tmp_path / "out").glob("buckets/*"))
    write_bytes(bucket / ".shard-00000.tar.123.tmp", b"half")
    build([str(photos)], tmp_path / "out", config())
    assert not list((tmp_path / "out").rglob(".*"))
