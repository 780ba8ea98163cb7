"""Another selection for a finished export: the very export that a build with it would have written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import hfbucket
from hfbucket.config import Config
from hfbucket.core.card.croissant import croissant_bytes
from hfbucket.core.events import Event, Notice
from hfbucket.core.manifest.model import HistoryEntry, Manifest
from hfbucket.errors import BuildError, ChangeError, ConfigError, WorkspaceError
from hfbucket.io.cards import render_card
from hfbucket.io.manifest_file import read_manifest
from hfbucket.stages.recaption import Recaptioned, recaption
from hfbucket.stages.verify.run import verify
from hfbucket.stages.why import why
from hfbucket.stages.write.build import build
from tests.io.workspace.made import make_workspace, run_sql, write_captions
from tests.stages.pictures import caption, draw_folder, draw_parquet, draw_tar

COUNT = 20  # every fifth is too small
IDS = [f"{number:04d}.jpg" for number in range(COUNT)]
SOURCE = "INSERT INTO caption_sources (id, variant, model, prompt, parameters) VALUES (?, ?, ?, ?, ?)"


@pytest.fixture(autouse=True)
def _no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "photos", COUNT)


def workspace_of(path: Path, ids: list[str]) -> Path:
    """Two models: `long` has all but the third image, `short` the first few, one of them refused, one blank."""
    make_workspace(path, ids)
    run_sql(path, SOURCE, [("s1", "long", "some/long-7b", "Describe it.", json.dumps({"temperature": 0.5}))])
    rows = [(i, "long", "ok", "s1", f"a long caption of {i}, über 猫\nand more") for i in ids if i != ids[2]]
    run_sql(path, "INSERT INTO captions (image_id, variant, status, source_id, text) VALUES (?, ?, ?, ?, ?)", rows)
    write_captions(path, "short", {ids[0]: "no. 0", ids[1]: "no. 1", ids[5]: "  "})
    write_captions(path, "short", {ids[2]: "I cannot say."}, status="refused")
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return workspace_of(tmp_path / "captions.sqlite", IDS)


def config(**changes: Any) -> Config:
    return Config(**{"base": (128, 64), "max_shard_samples": 3, "workers": 0, **changes})


def chosen(**selection: Any) -> Config:
    return Config(**{"workers": 0, **selection})


def whole(export: Path) -> dict[str, Any]:
    """Every byte of an export; of the manifest all but times and history, and what is made of it without these."""
    files: dict[str, Any] = {
        path.relative_to(export).as_posix(): path.read_bytes() for path in sorted(export.rglob("*")) if path.is_file()
    }
    manifest = json.loads(files.pop("manifest.json"))
    read = read_manifest(export)
    made: dict[str, Callable[[Manifest], bytes]] = {
        "README.md": lambda manifest: render_card(manifest).encode(),
        "croissant.json": croissant_bytes,
    }
    entry = HistoryEntry(export_id=read.export_id or "", created="", what="build")
    for name, make in made.items():
        assert files[name] == make(read)
        files[name] = make(replace(read, created=None, history=(entry,)))
    return {**files, "manifest.json": {key: manifest[key] for key in manifest if key not in ("created", "history")}}


def shard_times(export: Path) -> dict[str, tuple[int, int]]:
    return {
        path.relative_to(export).as_posix(): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in export.glob("buckets/*/*.tar")
    }


def rows(export: Path) -> dict[str, dict[str, Any]]:
    table = pq.read_table(export / "samples/part-00000.parquet").to_pylist()
    return {row["image_id"]: row for row in table}


SELECTIONS: dict[str, dict[str, Any]] = {
    "priority": {"priority": "short,long,original"},
    "longest": {"priority": "short,original,long", "select": "longest"},
    "weighted": {"priority": "original,long", "select": "weighted", "weights": "original=1,long=2", "caption_seed": 7},
    "min chars": {"priority": "short,long,original", "min_caption_chars": 10},
    "error": {"priority": "short,long,original", "missing_caption": "error"},
    "original alone": {"priority": "original"},
}


def from_workspace(name: str, workspace: Path) -> dict[str, Any]:
    return SELECTIONS[name] | ({} if name == "original alone" else {"captions": str(workspace)})


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize(
    "mode",
    [
        {"image_mode": "reencode_jpeg"},
        {"image_mode": "passthrough_jpeg", "base": (64,), "shuffle": 3},
    ],
    ids=["reencode", "passthrough"],
)
def test_equal_to_a_build_from_scratch(
    photos: Path, workspace: Path, tmp_path: Path, mode: dict[str, Any], name: str
) -> None:
    (tmp_path / "other").mkdir()
    selection = from_workspace(name, workspace)
    build(str(photos), tmp_path / "export", config(**mode))
    expected = build(str(photos), tmp_path / "other/export", config(**mode, **selection))
    before = shard_times(tmp_path / "export")
    report = recaption(tmp_path / "export", chosen(**selection))
    assert whole(tmp_path / "export") == whole(tmp_path / "other/export")
    manifest = read_manifest(tmp_path / "export")
    assert report.export_id == manifest.export_id == expected.export_id
    assert [entry.what for entry in manifest.history] == ["build", "recaption"]
    assert report.selected == {v.name: v.images_selected for v in expected.captions.variants if v.selected}
    assert not verify(tmp_path / "export").problems
    after = shard_times(tmp_path / "export")
    assert len([file for file in after if after[file] != before[file]]) == report.shards == len(before)


@pytest.mark.parametrize("draw", [draw_tar, draw_parquet])
def test_one_selection_after_another(
    tmp_path: Path, draw: Callable[[Path, int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = draw(tmp_path / ("a.tar" if draw is draw_tar else "a.parquet"), COUNT)
    ids = [key for key in _image_ids(tmp_path, source)]
    columns: dict[str, Any] = {"caption_column": "caption"} if draw is draw_parquet else {}
    workspace = workspace_of(tmp_path / "captions.sqlite", ids)
    for number, name in enumerate(("priority", "original alone", "weighted")):
        folder = tmp_path / str(number)
        folder.mkdir()
        build(str(source), folder / "export", config(**columns, **from_workspace(name, workspace)))
        recaption("0/export", chosen(**from_workspace(name, workspace)))
        assert whole(Path("0/export")) == whole(folder / "export"), name
    assert not verify("0/export").problems


def _image_ids(folder: Path, source: Path) -> list[str]:
    build(str(source), folder / "first", config())
    table = pq.read_table(folder / "first/ledger/part-00000.parquet")
    ids: list[str] = table["image_id"].to_pylist()
    return ids


def test_only_shards_that_change_are_written(photos: Path, workspace: Path, tmp_path: Path) -> None:
    export = tmp_path / "export"
    build(str(photos), export, config())
    settings = chosen(captions=str(workspace), priority="short,original")
    first = recaption(export, settings)
    assert first.captions == COUNT - COUNT // 5  # all are another variant now
    before = shard_times(export)
    write_captions(workspace, "short", {"0006.jpg": "no. 6"})
    told: list[Event] = []
    dry = recaption(export, settings, dry_run=True)
    assert shard_times(export) == before
    report = recaption(export, settings, on_event=told.append)
    assert (report.captions, report.shards, report.shards_gone, report.lost) == (1, 1, 0, 0)
    assert dry == Recaptioned(
        **{name: getattr(report, name) for name in Recaptioned.__dataclass_fields__}
        | {"dry_run": True, "export_id": first.export_id}
    )
    changed = [file for file, time in shard_times(export).items() if time != before[file]]
    assert changed == [rows(export)["0006.jpg"]["shard"]]
    assert rows(export)["0006.jpg"]["caption"] == "no. 6"
    again = recaption(export, settings, on_event=told.append)
    assert again.unchanged
    assert isinstance(told[-1], Notice)
    assert told[-1].text.endswith("has this selection already; nothing was written")
    write_captions(workspace, "unused", {"0001.jpg": "kept in the tables alone"})
    times = shard_times(export)
    assert recaption(export, settings).shards == 0
    assert shard_times(export) == times
    assert {"variant": "unused", "text": "kept in the tables alone"} in rows(export)["0001.jpg"]["captions"]
    assert not verify(export).problems
    assert [answer.placed and answer.placed.caption for answer in why(export, "0006.jpg")] == ["no. 6"]


def test_captions_that_go_missing(photos: Path, workspace: Path, tmp_path: Path) -> None:
    build(str(photos), tmp_path / "export", config())
    before = whole(tmp_path / "export")
    settings: dict[str, Any] = {"captions": str(workspace), "priority": "short"}
    missing = COUNT - COUNT // 5 - 2
    for dry_run in (True, False):
        with pytest.raises(ChangeError, match=f"^{missing} of 16 images would be left without a caption; keep them"):
            recaption(tmp_path / "export", chosen(**settings), dry_run=dry_run)
    with pytest.raises(ConfigError, match="are opposites"):
        recaption(tmp_path / "export", chosen(missing_caption="empty", **settings), drop_missing=True)
    assert whole(tmp_path / "export") == before
    (tmp_path / "empty").mkdir()
    build(str(photos), tmp_path / "empty/export", config(missing_caption="empty", **settings))
    report = recaption(tmp_path / "export", chosen(missing_caption="empty", **settings))
    assert (report.lost, report.dropped) == (missing, 0)
    assert whole(tmp_path / "export") == whole(tmp_path / "empty/export")
    again = recaption(tmp_path / "export", chosen(**settings))  # an export that has them empty
    assert again.unchanged
    for policy in ("drop", "error"):
        with pytest.raises(ChangeError, match=f"^{missing} of 16 images would be left without a caption; keep them"):
            recaption(tmp_path / "export", chosen(missing_caption=policy, **settings))
    report = recaption(tmp_path / "export", chosen(**settings), drop_missing=True)
    assert (report.lost, report.dropped, report.shards_gone) == (0, missing, 6)
    assert list(rows(tmp_path / "export")) == ["0000.jpg", "0001.jpg"]
    manifest = read_manifest(tmp_path / "export")
    assert (manifest.summary["images_exported"], manifest.summary["skipped_no_caption"]) == (2, missing)
    assert manifest.captions.missing_policy == "drop"
    assert not verify(tmp_path / "export").problems
    assert [answer.outcome for answer in why(tmp_path / "export", "0006.jpg")] == ["skipped_no_caption"]
    with pytest.raises(ChangeError, match="nothing would be left"):
        recaption(tmp_path / "export", chosen(captions=str(workspace), priority="short", min_caption_chars=99),
                  drop_missing=True)  # fmt: skip


def test_dropped_images_as_a_build_leaves_them_out(tmp_path: Path, workspace: Path) -> None:
    source = draw_folder(tmp_path / "photos", COUNT)
    write_captions(workspace, "most", {i: f"most {i}" for i in IDS if i != "0015.jpg"})
    settings: dict[str, Any] = {"captions": str(workspace), "priority": "most", "image_mode": "passthrough_jpeg"}
    (tmp_path / "other").mkdir()
    build(str(source), tmp_path / "export", config(image_mode="passthrough_jpeg", max_shard_samples=100))
    build(str(source), tmp_path / "other/export", config(max_shard_samples=100, **settings))
    recaption(tmp_path / "export", chosen(**settings), drop_missing=True)
    got, expected = whole(tmp_path / "export"), whole(tmp_path / "other/export")
    for files in (got, expected):
        del files["manifest.json"]["statistics"]["conversions"]  # which images had them is not known any more
    assert got == expected


def test_images_that_were_left_out_and_have_a_caption_now(photos: Path, workspace: Path, tmp_path: Path) -> None:
    for number in (0, 2, 6):
        (photos / f"{number:04d}.txt").unlink()
    build(str(photos), tmp_path / "export", config())
    report = recaption(tmp_path / "export", chosen(captions=str(workspace), priority="long,original"))
    assert report.waiting == 2  # of the third image there is none
    short = chosen(captions=str(workspace), priority="original,short", min_caption_chars=6)
    assert recaption(tmp_path / "export", short, dry_run=True).waiting == 0
    assert recaption(tmp_path / "export", chosen(priority="original")).waiting == 0


@pytest.mark.parametrize(("limit", "value", "parts"), [("_GROUP_ROWS", 2, 4), ("_GROUP_BYTES", 80, 8)])
def test_shards_in_several_row_groups_and_parts(
    limit: str, value: int, parts: int, photos: Path, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"hfbucket.stages.write.fold.{limit}", value)
    monkeypatch.setattr("hfbucket.stages.write.fold._GROUPS_PER_PART", 2)
    (tmp_path / "other").mkdir()
    selection: dict[str, Any] = {"captions": str(workspace), "priority": "short,long,original"}
    build(str(photos), tmp_path / "export", config())
    build(str(photos), tmp_path / "other/export", config(**selection))
    recaption(tmp_path / "export", chosen(**selection))
    assert len(read_manifest(tmp_path / "export").samples) == parts
    assert whole(tmp_path / "export") == whole(tmp_path / "other/export")
    recaption(tmp_path / "export", chosen(captions=str(workspace), priority="short"), drop_missing=True)
    assert len(read_manifest(tmp_path / "export").samples) == 1
    assert not verify(tmp_path / "export").problems


def test_a_new_export_beside_the_old_one(photos: Path, workspace: Path, tmp_path: Path) -> None:
    export, new = tmp_path / "export", tmp_path / "new"
    write_captions(workspace, "one", {"0000.jpg": "the first"})
    build(str(photos), export, config(priority="original"))
    old = whole(export)
    settings = chosen(captions=str(workspace), priority="original,one")
    recaption(export, settings, output=new)
    assert whole(export) == old
    in_place = recaption(export, settings)
    assert whole(new) == whole(export)
    assert in_place.shards == 0
    assert all((new / file).samefile(export / file) for file in shard_times(new))
    third = recaption(export, chosen(captions=str(workspace), priority="one,original"), output=tmp_path / "3")
    linked = [file for file in shard_times(new) if (tmp_path / "3" / file).samefile(export / file)]
    assert len(linked) == len(shard_times(new)) - third.shards
    assert [path.name for path in (tmp_path / "new.work").iterdir()] == ["lock"]
    assert not verify(new).problems
    for place, words in ((new, "is there already"), (export / "in", "lie inside one another")):
        with pytest.raises(ChangeError, match=words):
            recaption(export, settings, output=place)


def test_the_next_build_goes_on_from_it(photos: Path, workspace: Path, tmp_path: Path) -> None:
    export = tmp_path / "export"
    build(str(photos), export, config())
    selection: dict[str, Any] = {"captions": str(workspace), "priority": "short,long,original"}
    recaption(export, chosen(**selection))
    changed = whole(export)
    build(str(photos), export, config(**selection))
    assert whole(export) == changed
    with pytest.raises(hfbucket.HfBucketError, match="was built with other settings"):
        build(str(photos), export, config())
    build(str(photos), export, config(overwrite=True))
    assert rows(export)["0000.jpg"]["caption"] == caption(0)


def test_what_was_removed_stays_removed(photos: Path, workspace: Path, tmp_path: Path) -> None:
    export = tmp_path / "export"
    build(str(photos), export, config())
    hfbucket.remove(export, ids=["0000.jpg", "0004.jpg"])
    recaption(export, chosen(captions=str(workspace), priority="short,long,original"))
    hfbucket.remove(export, ids=["0001.jpg"])
    with pytest.raises(ChangeError, match="nothing would be left"):
        recaption(export, chosen(captions=str(workspace), priority="short"), drop_missing=True, dry_run=True)
    summary = read_manifest(export).summary
    assert (summary["images_exported"], summary["removed"]) == (14, 3)
    assert {"0000.jpg", "0001.jpg"}.isdisjoint(rows(export))
    assert not verify(export).problems


def test_what_is_refused(photos: Path, workspace: Path, tmp_path: Path) -> None:
    export = tmp_path / "export"
    build(str(photos), export, config())
    before = whole(export)
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({}, ConfigError, "give the captions"),
        ({"captions": str(workspace)}, ConfigError, "captions needs a priority"),
        ({"captions": str(workspace), "priority": "gemini"}, ConfigError, "there are long, short, original"),
        ({"captions": str(photos / "0000.txt"), "priority": "x"}, WorkspaceError, "is no SQLite file"),
        ({"captions": str(tmp_path / "none"), "priority": "x"}, WorkspaceError, "no such caption workspace"),
    ]
    for settings, kind, words in cases:
        with pytest.raises(kind, match=words):
            recaption(export, chosen(**settings))
    assert whole(export) == before


def test_damage_is_found_before_anything_changes(photos: Path, workspace: Path, tmp_path: Path) -> None:
    export = tmp_path / "export"
    build(str(photos), export, config())
    settings = chosen(captions=str(workspace), priority="long,original")
    for file in (rows(export)["0000.jpg"]["shard"], "samples/part-00000.parquet"):
        data = bytearray((export / file).read_bytes())
        data[len(data) // 2] ^= 1
        (export / file).write_bytes(data)
        before = whole(export)
        with pytest.raises((BuildError, ChangeError), match=f"{file}.* is damaged"):
            recaption(export, settings)
        assert whole(export) == before
        data[len(data) // 2] ^= 1
        (export / file).write_bytes(data)
    recaption(export, settings)
    assert not verify(export).problems
