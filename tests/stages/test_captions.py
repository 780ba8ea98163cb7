"""Captions of a workspace in plans and builds: which are selected, what is said about them, what stays as it was."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import hfbucket
from hfbucket.cli.main import main
from hfbucket.config import Config
from hfbucket.core.events import Event, Notice, Progress
from hfbucket.core.manifest.model import Captions, CaptionVariant
from hfbucket.errors import BuildError, ConfigError, PlanMismatchError, SourceError, WorkspaceError
from hfbucket.io import tables
from hfbucket.io.index_files import Index
from hfbucket.stages import captions
from hfbucket.stages.captions import with_captions, with_priority
from hfbucket.stages.index import build_index
from hfbucket.stages.plan import make_plan
from hfbucket.stages.verify.run import verify
from hfbucket.stages.why import why
from hfbucket.stages.write.build import build
from tests.io.workspace.made import make_workspace, run_sql, write_captions
from tests.stages.pictures import caption, draw_folder, draw_parquet, draw_tar, tree

COUNT = 10  # the fifth and the tenth are too small
IDS = [f"{number:04d}.jpg" for number in range(COUNT)]
SOURCE = "INSERT INTO caption_sources (id, variant, model, prompt, parameters) VALUES (?, ?, ?, ?, ?)"


@pytest.fixture(autouse=True)
def _no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # most of the time of a small build


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "photos", COUNT)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Two models: `long` has all but the third image, `short` three images, one of them refused."""
    path = make_workspace(tmp_path / "captions.sqlite", [*IDS, "elsewhere.jpg"])
    parameters = json.dumps({"temperature": 0.5, "prompt": "secret words", "weights": "/home/me/model.bin"})
    run_sql(path, SOURCE, [("s1", "long", "/home/me/models/long-7b", "Describe it.", parameters)])
    rows = [(i, "long", "ok", "s1", f"a long caption of {i}") for i in IDS if i != "0002.jpg"]
    insert = "INSERT INTO captions (image_id, variant, status, source_id, text) VALUES (?, ?, ?, ?, ?)"
    run_sql(path, insert, [*rows, ("elsewhere.jpg", "long", "ok", "s1", "of no image here")])
    write_captions(path, "short", {"0000.jpg": "no. 0", "0001.jpg": "no. 1"})
    write_captions(path, "short", {"0002.jpg": "I cannot say."}, status="refused")
    return path


def config(**changes: Any) -> Config:
    return Config(**{"base": (128, 64), "max_shard_samples": 3, "workers": 0, **changes})


def indexed(source: Path, settings: Config) -> tuple[Index, Config]:
    settings = with_priority(settings)
    return with_captions(build_index([str(source)], settings), settings), settings


def samples(export: Path) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(export / "samples" / "part-00000.parquet").to_pylist()
    return {row["image_id"]: row for row in rows}


def test_samples_and_manifest_say_who_wrote_the_caption(photos: Path, workspace: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = build(str(photos), out, config(captions=str(workspace), priority="short,long,original"))
    rows = samples(out)
    told = ("caption", "caption_variant", "caption_selector_index", "caption_source_id")
    assert [rows["0000.jpg"][name] for name in told] == ["no. 0", "short", 0, None]
    assert [rows["0003.jpg"][name] for name in told] == ["a long caption of 0003.jpg", "long", 1, "s1"]
    assert [rows["0002.jpg"][name] for name in told] == [caption(2), "original", 2, None]
    assert rows["0000.jpg"]["captions"] == [
        {"variant": "short", "text": "no. 0"},
        {"variant": "long", "text": "a long caption of 0000.jpg"},
        {"variant": "original", "text": caption(0)},
    ]
    row = rows["0003.jpg"]
    shard = (out / row["shard"]).read_bytes()
    assert shard[row["txt_offset"] :][: row["txt_size"]] == b"a long caption of 0003.jpg\n"
    metadata = json.loads(shard[row["json_offset"] :][: row["json_size"]])
    assert {name: metadata[name] for name in told[1:]} == {name: row[name] for name in told[1:]}
    assert manifest.captions.variants == (
        CaptionVariant(name="short", selected=True, priority=0, images_with_ok_caption=2, images_selected=2),
        CaptionVariant(
            name="long", selected=True, priority=1, images_with_ok_caption=7, images_selected=5, source_id="s1"
        ),
        CaptionVariant(name="original", selected=True, priority=2, images_with_ok_caption=8, images_selected=1),
    )
    assert (manifest.captions.selector, manifest.captions.seed) == ("priority", None)
    assert manifest.settings["priority"] == ["short", "long", "original"]
    assert not verify(out).problems


def test_no_prompt_and_no_path_is_published(photos: Path, workspace: Path, tmp_path: Path) -> None:
    manifest = build(str(photos), tmp_path / "out", config(captions=str(workspace), priority="long"))
    (source,) = manifest.caption_sources
    assert source["prompt_sha256"] is not None
    assert {name: source[name] for name in ("id", "variant", "model", "parameters")} == {
        "id": "s1", "variant": "long", "model": "long-7b", "parameters": {"temperature": 0.5, "weights": "model.bin"},
    }  # fmt: skip
    for name in ("manifest.json", "README.md", "croissant.json"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert not any(word in text for word in ("Describe it", "secret words", "/home/me"))
    assert "long-7b" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_variants_out_of_the_priority_are_kept_and_never_selected(
    photos: Path, workspace: Path, tmp_path: Path
) -> None:
    manifest = build(
        str(photos), tmp_path / "out", config(captions=str(workspace), priority="short", missing_caption="drop")
    )
    assert manifest.summary["skipped_no_caption"] == 8
    assert [(v.name, v.priority, v.selected) for v in manifest.captions.variants] == [
        ("short", 0, True), ("long", 1, False), ("original", 2, False),
    ]  # fmt: skip
    row = samples(tmp_path / "out")["0001.jpg"]
    assert [entry["variant"] for entry in row["captions"]] == ["short", "long", "original"]
    assert not verify(tmp_path / "out").problems


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"select": "longest"}, {"0000.jpg": "original", "0001.jpg": "original", "0002.jpg": "original"}),
        ({"min_caption_chars": 6}, {"0000.jpg": "long", "0001.jpg": "long", "0002.jpg": "original"}),
        ({"min_caption_chars": 100, "missing_caption": "empty"}, dict.fromkeys(IDS[:3])),
    ],
)
def test_ways_to_select(
    photos: Path, workspace: Path, tmp_path: Path, settings: dict[str, Any], expected: dict[str, str | None]
) -> None:
    chosen = config(captions=str(workspace), priority="short,long,original", **settings)
    manifest = build(str(photos), tmp_path / "out", chosen)
    rows = samples(tmp_path / "out")
    assert {i: rows[i]["caption_variant"] for i in expected} == expected
    assert manifest.captions.selector == ("longest" if "select" in settings else "priority")
    assert not verify(tmp_path / "out").problems


def test_the_weighted_draw_depends_on_image_and_seed_alone(photos: Path, workspace: Path, tmp_path: Path) -> None:
    chosen = config(captions=str(workspace), priority="long,original", select="weighted", weights="long=1,original=1")
    manifest = build(str(photos), tmp_path / "one", chosen)
    assert (manifest.captions.selector, manifest.captions.seed) == ("weighted", 0)
    assert {v.name: v.images_selected > 0 for v in manifest.captions.variants if v.priority < 2} == {
        "long": True, "original": True,
    }  # fmt: skip
    build(str(photos), tmp_path / "two", replace(chosen, shuffle=4))
    of = {name: {i: row["caption_variant"] for i, row in samples(tmp_path / name).items()} for name in ("one", "two")}
    assert of["one"] == of["two"]
    other = build(str(photos), tmp_path / "three", replace(chosen, caption_seed=1))
    assert {i: row["caption_variant"] for i, row in samples(tmp_path / "three").items()} != of["one"]
    assert other.captions.seed == 1


@pytest.mark.parametrize("mode", ["reencode_jpeg", "passthrough_jpeg"])
@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_any_source_any_mode_and_any_workers_give_the_same(tmp_path: Path, kind: str, mode: str) -> None:
    draw: Any = {"folder": draw_folder, "tar": draw_tar, "parquet": draw_parquet}[kind]
    source = draw(tmp_path / "photos" / ("a" if kind == "folder" else f"a.{kind}"), COUNT)
    ids = build_index([str(source)], config()).columns("image_id")["image_id"].to_pylist()
    path = make_workspace(tmp_path / "w.sqlite", ids)
    write_captions(path, "v", {image_id: f"new {image_id}" for image_id in ids[::2]})
    settings = config(captions=str(path), image_mode=mode)
    one = build(str(source), tmp_path / "one", replace(settings, workers=0))
    two = build(str(source), tmp_path / "two", replace(settings, workers=2))
    assert (one.content_sha256, tree(tmp_path / "one")) == (two.content_sha256, tree(tmp_path / "two"))
    assert one.settings["priority"] == ["v", "original"]
    rows = samples(tmp_path / "one")
    assert {i: row["caption_variant"] for i, row in rows.items()} == {
        i: "original" if ids.index(i) % 2 else "v" for i in rows
    }


# 64x64 pixels of one grey: kept as they are, so that no codec has a say in the hash below
GREY = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8ybqm"
    "x5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/wAARCABAAEAD"
    "ASIAAhEBAxEB/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/xAAVAQEBAAAAAAAAAAAAAAAAAAAAAv/EABQRAQAA"
    "AAAAAAAAAAAAAAAAAAD/2gAMAwEAAhEDEQA/AACkgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP/2Q=="
)
GOLDEN = "02fd1c2c02d29bf591e7f6975ae0d1fe639d5d3f8ff4fb8c230fc3381579cb17"


def test_without_captions_and_priority_no_byte_changes(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(GREY)
        (folder / f"{number}.txt").write_text(f"grey {number}", encoding="utf-8")
    (folder / "1.json").write_text('{"caption": "Grau", "n": 1}')
    manifest = build(str(folder), tmp_path / "out", config(image_mode="passthrough_jpeg"))
    assert [shard.sha256 for entry in manifest.buckets.values() for shard in entry.shards] == [GOLDEN]
    assert manifest.captions == Captions(
        variants=tuple(
            CaptionVariant(
                name=name, selected=count > 0, priority=place, images_with_ok_caption=count, images_selected=selected
            )
            for place, (name, count, selected) in enumerate([("caption", 1, 1), ("text", 0, 0), ("sidecar", 3, 2)])
        ),
        missing_policy="drop",
    )
    assert manifest.caption_sources == ()
    row = samples(tmp_path / "out")["1.jpg"]
    assert (row["caption_source_id"], [entry["variant"] for entry in row["captions"]]) == (None, ["caption", "sidecar"])


def test_original_alone_gives_the_captions_of_a_plain_build(photos: Path, tmp_path: Path) -> None:
    plain = build(str(photos), tmp_path / "plain", config())
    chosen = build(str(photos), tmp_path / "chosen", config(priority="original"))
    before, after = samples(tmp_path / "plain"), samples(tmp_path / "chosen")
    assert {i: row["caption"] for i, row in before.items()} == {i: row["caption"] for i, row in after.items()}
    assert [v.name for v in plain.captions.variants] == ["caption", "text", "sidecar"]
    assert [v.name for v in chosen.captions.variants] == ["original"]
    assert chosen.captions.variants[0].images_selected == len(after)


def test_named_columns_are_placed_by_the_priority(tmp_path: Path, workspace: Path) -> None:
    folder = draw_folder(tmp_path / "named", 2)
    for number in range(2):
        (folder / f"000{number}.json").write_text(json.dumps({"alt": f"alt {number}", "title": "t"}))
    settings = config(captions=str(workspace), caption_column=("title", "alt"), priority="alt,short,original")
    manifest = build(str(folder), tmp_path / "out", settings)
    assert [v.name for v in manifest.captions.variants] == ["alt", "short", "title", "long"]
    row = samples(tmp_path / "out")["0000.jpg"]
    assert (row["caption"], row["caption_selector_index"]) == ("alt 0", 0)
    assert [entry["text"] for entry in row["captions"]] == ["alt 0", "no. 0", "t", "a long caption of 0000.jpg"]
    assert json.loads(row["meta"]) == {}


def test_a_priority_is_asked_for_where_there_are_several(photos: Path, workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs a priority, .*there are long, short, original"):
        hfbucket.plan(str(photos), config(captions=str(workspace)))
    with pytest.raises(ConfigError, match="got gemini; there are long, short, original"):
        build(str(photos), tmp_path / "out", config(captions=str(workspace), priority="gemini"))
    with pytest.raises(ConfigError, match="got gemini; there are original"):
        build(str(photos), tmp_path / "out", config(priority="gemini,original"))
    with pytest.raises(WorkspaceError, match="no such caption workspace"):
        build(str(photos), tmp_path / "out", config(captions=str(tmp_path / "none.sqlite")))
    assert not (tmp_path / "out").exists()


def test_other_captions_make_another_plan_and_rewrite_only_their_shards(
    photos: Path, workspace: Path, tmp_path: Path
) -> None:
    settings = config(captions=str(workspace), priority="short,original")
    build(str(photos), tmp_path / "out", settings)
    plan_id = hfbucket.plan(str(photos), settings).plan_id
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("buckets/*/*.tar")}
    write_captions(workspace, "short", {"0008.jpg": "late"})
    with pytest.raises(PlanMismatchError):
        build(str(photos), tmp_path / "out", replace(settings, expect_plan=plan_id))
    build(str(photos), tmp_path / "out", settings)
    rows = samples(tmp_path / "out")
    assert rows["0008.jpg"]["caption"] == "late"
    changed = [
        path.relative_to(tmp_path / "out").as_posix() for path, t in times.items() if path.stat().st_mtime_ns != t
    ]
    assert changed == [rows["0008.jpg"]["shard"]]
    with pytest.raises(PlanMismatchError, match=r"priority: none, not short, original"):
        build(str(photos), tmp_path / "out", config())


def test_a_workspace_that_changes_while_it_is_planned_does_not_mix(
    photos: Path, workspace: Path, tmp_path: Path
) -> None:
    settings = config(captions=str(workspace), priority="long,original")

    def write(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "plan":
            write_captions(workspace, "new", {"0001.jpg": "new"})
            run_sql(workspace, "UPDATE captions SET text = 'changed' WHERE variant = 'long'")

    manifest = build(str(photos), tmp_path / "out", settings, on_event=write)
    rows = samples(tmp_path / "out")
    assert {row["caption"] for row in rows.values()} == {
        *(f"a long caption of {i}" for i in rows if i != "0002.jpg"), caption(2),
    }  # fmt: skip
    assert "new" not in {v.name for v in manifest.captions.variants}
    assert not verify(tmp_path / "out").problems


def test_what_is_put_beside_the_index_is_used_again_and_some_day_forgotten(
    photos: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(captions=str(workspace), priority="long,original")
    first, _ = indexed(photos, settings)
    assert first.captions is not None
    with monkeypatch.context() as patch:
        patch.setattr(captions, "_write", None)  # nothing is to be written
        again, _ = indexed(photos, replace(settings, priority=("short",)))
    assert again.captions is not None
    assert again.captions.files == first.captions.files
    old = Path(first.captions.files[0]).parent
    os.utime(old, (0, 0))
    write_captions(workspace, "short", {"0009.jpg": "x"})
    indexed(photos, settings)
    assert not old.exists()


def test_a_workspace_of_other_images_is_told(photos: Path, workspace: Path) -> None:
    events: list[Event] = []
    settings = config(captions=str(workspace), priority="long,original")
    with_captions(build_index([f"prefix={photos}"], settings), settings, on_event=events.append)
    told = [event.text for event in events if isinstance(event, Notice) and event.level == "warning"]
    assert told == [f"{workspace}: has no caption for any image of the sources; their ids are like 'prefix/0000.jpg'"]
    with_captions(build_index([str(photos)], settings), settings, on_event=events.append)
    assert len([event for event in events if isinstance(event, Notice) and event.level == "warning"]) == 1


def test_what_is_put_beside_the_index_is_told_and_needs_room(photos: Path, workspace: Path, tmp_path: Path) -> None:
    settings = config(captions=str(workspace), priority="long")
    index = build_index([str(photos)], settings)
    events: list[Event] = []
    with_captions(index, settings, on_event=events.append)
    assert isinstance(events[-1], Notice)
    assert events[-1].text.startswith(f"captions of 2 variants for {COUNT} images: ")
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match=r"captions cannot be kept beside the index: .*; HFBUCKET_CACHE names another"):
        with_captions(index, replace(settings, cache_dir=str(tmp_path / "file")))


def test_rows_come_alike_by_column_by_group_and_by_position(
    photos: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP_ROWS", 3)
    index, _ = indexed(photos, config(captions=str(workspace), priority="short,original"))
    names = ("caption_source_ids", "image_id", "captions")
    whole = index.columns(*names)
    groups = [(start, piece) for start, piece in index.groups(*names)]
    assert [start for start, _ in groups] == [0, 3, 6, 9]
    assert [row for _, piece in groups for row in piece.to_pylist()] == whole.to_pylist()
    positions = [7, 0, 9, 2, 2]
    assert index.take(np.array(positions), names).to_pylist() == [whole.to_pylist()[at] for at in positions]
    assert index.columns("captions")["captions"].to_pylist()[2] == [None, caption(2), None]
    assert whole["caption_source_ids"].to_pylist()[3] == [None, None, "s1"]
    assert index.columns("width").num_rows == COUNT


def test_the_plan_tells_what_there_is_to_choose_from(photos: Path, workspace: Path) -> None:
    settings = config(captions=str(workspace), priority="short,long", min_caption_chars=6)
    found = hfbucket.plan(str(photos), settings).captions
    assert found is not None
    assert [(v.variant, v.priority, v.images, v.too_short, v.selected) for v in found.variants] == [
        ("short", 0, 2, 2, 0), ("long", 1, 9, 0, 7), ("original", None, 10, 0, 0),
    ]  # fmt: skip
    assert (found.images, found.without, found.only_too_short) == (10, 1, 0)
    only = hfbucket.plan(str(photos), config(captions=str(workspace), priority="short", min_caption_chars=5,
                                             missing_caption="empty")).captions  # fmt: skip
    assert only is not None
    assert (only.without, only.only_too_short) == (8, 0)
    assert hfbucket.plan(str(photos), config()).captions is None


def test_missing_captions_name_the_variants(photos: Path, workspace: Path) -> None:
    settings = config(captions=str(workspace), priority="short")
    with pytest.raises(SourceError) as caught:
        make_plan(*indexed(photos, settings))
    assert str(caught.value) == (
        "8 of 10 images have no caption. Looked for short; other variants: long, original; add one of them to "
        "--priority, keep images without caption with --missing-caption empty, or leave them out with "
        "--missing-caption drop"
    )
    with pytest.raises(SourceError, match=r"no caption of at least 6 characters\. Looked for short"):
        make_plan(*indexed(photos, replace(settings, min_caption_chars=6)))


def test_why_names_variant_and_source(
    photos: Path, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build(str(photos), tmp_path / "out", config(captions=str(workspace), priority="long,original"))
    (answer,) = why(str(tmp_path / "out"), "0003.jpg")
    assert answer.placed is not None
    assert (answer.placed.caption_variant, answer.placed.caption_source_id) == ("long", "s1")
    assert main(["why", str(tmp_path / "out"), "0003.jpg"]) == 0
    assert "\n  caption  a long caption of 0003.jpg (long, source s1)\n" in capsys.readouterr().out
