"""New words for a finished export change its manifest and card, and nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hfbucket.core.card.croissant import croissant_bytes
from hfbucket.core.card.words import Words
from hfbucket.core.manifest.model import License, Manifest
from hfbucket.errors import ChangeError, ConfigError, FormatError
from hfbucket.io.cards import card_problems, render_card
from hfbucket.io.manifest_file import read_manifest
from hfbucket.stages.card import update_card
from tests.factories import make_export, make_foreign_export


def make(path: Path) -> Manifest:
    manifest = make_export(path, bases=(64,), shards_per_bucket=1, per_shard=1, card=False)
    (path / "README.md").write_text(render_card(manifest), encoding="utf-8")
    (path / "croissant.json").write_bytes(croissant_bytes(manifest))
    return manifest


def state(path: Path) -> dict[str, tuple[bytes, int]]:
    files = (file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_only_manifest_and_card_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = make(tmp_path)
    before = state(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    new, changed = update_card(tmp_path, Words(title="Birds", license="cc-by-4.0", sections={"about": "By hand."}))
    after = state(tmp_path)
    assert changed == ("title", "license", "sections")
    assert {name for name in after if after[name] != before.get(name)} == {
        "manifest.json",
        "README.md",
        "croissant.json",
    }
    assert before.keys() == after.keys()
    assert read_manifest(tmp_path) == new
    assert new.history[-1].what == "words: title, license, sections"
    assert new.history[-1].created == "1970-01-01T00:00:00Z"
    assert replace(new, title=old.title, license=old.license, sections=old.sections, history=old.history) == old
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert card == render_card(new)
    assert (tmp_path / "croissant.json").read_bytes() == croissant_bytes(new)
    assert card_problems(card, new) == ()
    assert "# Birds\n" in card
    assert "By hand." in card


def test_words_that_stand_there_already_write_nothing(tmp_path: Path) -> None:
    make(tmp_path)
    update_card(tmp_path, Words(title="Birds"))
    before = state(tmp_path)
    assert update_card(tmp_path, Words(title="Birds"))[1] == ()
    assert state(tmp_path) == before


def test_a_damaged_card_is_rendered_anew(tmp_path: Path) -> None:
    manifest = make(tmp_path)
    (tmp_path / "README.md").unlink()
    assert update_card(tmp_path, Words())[1] == ()
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == render_card(manifest)


@pytest.mark.parametrize("fails", ["manifest.json", "README.md", "croissant.json"])
@pytest.mark.parametrize("step", ["sync", "rename"])
def test_a_failure_leaves_the_old_export_or_one_that_the_same_call_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, step: str
) -> None:
    old = make(tmp_path)
    before = state(tmp_path)
    rename = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).name == fails:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    def unsynced(descriptor: int) -> None:
        if os.fstat(descriptor).st_ino in {aside.stat().st_ino for aside in tmp_path.glob(f".{fails}.*")}:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "rename":
            patch.setattr(Path, "replace", full)
        else:
            patch.setattr(os, "fsync", unsynced)
        with pytest.raises(ChangeError, match=r"the disk is full.*; what is done stays done: run"):
            update_card(tmp_path, Words(title="Birds"))
    after = state(tmp_path)
    assert after.keys() == before.keys()
    assert read_manifest(tmp_path) == old
    replaced_before = {"croissant.json": 0, "README.md": 1, "manifest.json": 2}[fails] if step == "rename" else 0
    assert len([name for name in after if after[name] != before[name]]) == replaced_before
    update_card(tmp_path, Words(title="Birds"))
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == render_card(read_manifest(tmp_path))
    assert read_manifest(tmp_path).title == "Birds"


def test_what_a_killed_call_left_is_removed(tmp_path: Path) -> None:
    make(tmp_path)
    before = state(tmp_path)
    (tmp_path / ".manifest.json.1.tmp").write_text("half")
    (tmp_path / ".README.md.1.tmp").write_text("half")
    update_card(tmp_path, Words())
    assert state(tmp_path) == before


def test_words_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    make(tmp_path)
    before = state(tmp_path)
    with pytest.raises(ConfigError, match="title must be finished text"):
        update_card(tmp_path, Words(title="TODO"))
    assert state(tmp_path) == before


def test_words_survive_later_ones(tmp_path: Path) -> None:
    make(tmp_path)
    update_card(tmp_path, Words(sections={"limits": "Few owls."}))
    new, _ = update_card(tmp_path, Words(license=""))
    assert new.sections == {"limits": "Few owls."}
    assert new.license == License()
    assert "Few owls." in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_exports_that_cannot_be_changed_are_named(tmp_path: Path) -> None:
    make_foreign_export(tmp_path / "foreign")
    with pytest.raises(FormatError, match="was written by another tool"):
        update_card(tmp_path / "foreign", Words(title="x"))
    with pytest.raises(FormatError, match="no such file: this is no export"):
        update_card(tmp_path, Words())
    with pytest.raises(FormatError, match="must be on this machine or in a dataset on the Hub"):
        update_card("memory://export", Words())
