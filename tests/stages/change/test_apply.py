"""Changing a finished export: whole, or not at all, or to be ended."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import hfbucket
from hfbucket.core.card.words import Words
from hfbucket.core.events import Event, Notice
from hfbucket.core.manifest.plain import seal
from hfbucket.errors import BuildError, ChangeError, FormatError
from hfbucket.io.journal import Journal, write_journal
from hfbucket.io.locks import locked
from hfbucket.io.manifest_file import read_manifest, write_manifest
from hfbucket.stages.card import update_card
from hfbucket.stages.change.apply import commit_change, open_export_for_change
from hfbucket.stages.verify.card import check_card
from hfbucket.stages.why import why
from hfbucket.stages.write.build import build
from tests.factories import make_export, make_foreign_export
from tests.stages.change.kill_change import change, content
from tests.stages.pictures import draw_folder

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    make_export(tmp_path / "export", bases=(64,), divisible=8, per_shard=1)
    return tmp_path / "export"


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL and fork")
def test_killed_at_every_change_of_the_disk(tmp_path: Path) -> None:
    script = str(ROOT / "tests/stages/change/kill_change.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > (25 if sys.version_info >= (3, 11) else 10)


@pytest.fixture
def half(export: Path) -> Path:
    """An export whose change counts already, and is not done."""
    work = export.with_name("export.work")
    (work / "change/export").mkdir(parents=True)
    manifest = seal(replace(read_manifest(export), settings={"changed": True}))
    write_manifest(work / "change/export", manifest)
    journal = Journal(
        command="recaption",
        export_id=manifest.export_id or "",
        files=("manifest.json",),
        deletions=("README.md",),
    )
    write_journal(work / "journal.json", journal)
    return export


@pytest.mark.parametrize(
    "reader",
    [
        lambda export: hfbucket.load_dataset(export, streaming=True),
        lambda export: hfbucket.load_dataset(export / "manifest.json", streaming=True),
        hfbucket.verify,
        lambda export: hfbucket.push(export, f"{export}-pushed"),
        lambda export: hfbucket.pull(export, f"{export}-pulled"),
        lambda export: update_card(export, Words(title="New")),
        check_card,
        lambda export: why(export, "a.jpg"),
    ],
)
def test_a_half_changed_export_is_refused(half: Path, reader: Callable[[Path], object]) -> None:
    link = half.with_name("linked")
    link.symlink_to(half)
    for path in (half, link):
        with pytest.raises(FormatError, match=f"^{half}: `hfbucket recaption` was interrupted .* run that command"):
            reader(path)


def test_nothing_is_pulled_over_it(half: Path, tmp_path: Path) -> None:
    make_export(tmp_path / "other", bases=(64,), divisible=8, per_shard=1)
    with pytest.raises(FormatError, match="was interrupted"):
        hfbucket.pull(tmp_path / "other", half, overwrite=True)


def test_stock_way_to_our_builder_refuses_too(half: Path) -> None:
    import datasets

    with pytest.raises(FormatError, match="was interrupted"):
        datasets.load_dataset("bucketed_shards", data_files=str(half / "manifest.json"), streaming=True)


def test_the_next_change_ends_it(half: Path) -> None:
    told: list[Event] = []
    with open_export_for_change(half, command="remove", on_event=told.append):
        assert not (half / "README.md").exists()
    assert [event.text for event in told if isinstance(event, Notice)] == [
        f"an interrupted recaption of {half} is brought to its end first: export {read_manifest(half).export_id}"
    ]
    assert [path.name for path in half.with_name("export.work").iterdir()] == ["lock"]


def test_a_build_ends_it(half: Path, tmp_path: Path) -> None:
    draw_folder(tmp_path / "photos", 1)
    with pytest.raises(hfbucket.HfBucketError, match="was built with other settings"):
        build([str(tmp_path / "photos")], half)
    assert not (half / "README.md").exists()


def test_what_the_change_needs_is_gone(half: Path) -> None:
    work = half.with_name("export.work")
    (work / "change/export/manifest.json").unlink()
    with pytest.raises(ChangeError, match=r"the new manifest is gone from .*export\.work/change"):
        change(half)
    assert (work / "journal.json").exists()


def test_a_journal_of_others_is_refused(half: Path) -> None:
    (half.with_name("export.work") / "journal.json").write_text(
        '{"command": "x", "export_id": "", "files": ["../../x"], "deletions": []}'
    )
    with pytest.raises(FormatError, match="must be a plain path below the export"):
        hfbucket.verify(half)


def begin(export: Path) -> None:
    with open_export_for_change(export, command="recaption") as opened:
        opened.new.mkdir(parents=True)
        (opened.new / "more").write_bytes(b"")
        raise OSError(errno.ENOSPC, "No space left on device", "more")


def test_leaving_without_a_commit_changes_nothing(export: Path) -> None:
    old = content(export)
    with pytest.raises(ChangeError, match="the disk is full: more; the export is as it was"):
        begin(export)
    assert content(export) == old
    assert [path.name for path in export.with_name("export.work").iterdir()] == ["lock"]


def test_a_new_export_that_is_there_is_done_whatever_becomes_of_the_scratch(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(folder))

    output = export.with_name("other")
    with open_export_for_change(export, command="recaption", output=output) as opened:
        commit_change(opened, files=(), manifest=opened.manifest)
        monkeypatch.setattr("hfbucket.stages.change.apply.remove_folder", refuse)
    assert read_manifest(output) == read_manifest(export)
    with (
        pytest.raises(ChangeError, match="Input/output error"),
        open_export_for_change(export, command="recaption"),
    ):
        pass


def test_what_cannot_be_changed(export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_foreign_export(tmp_path / "foreign")
    hfbucket.pull(export, tmp_path / "part", buckets=["p1024x1024"])
    for place, words in (
        ("s3://bucket/export", "an export is changed on this machine"),
        (tmp_path / "nothing", "no such folder"),
        (tmp_path / "foreign", "written by another tool"),
        (tmp_path / "part", "is a part of an export"),
    ):
        with pytest.raises(ChangeError, match=words), open_export_for_change(place, command="recaption"):
            pass
    monkeypatch.setattr("hfbucket.stages.write.work._LOCK_WAIT_S", 0.0)
    with (
        locked(tmp_path / "export.work/lock", wait_s=0),
        pytest.raises(BuildError, match="is at work"),
        open_export_for_change(export, command="recaption"),
    ):
        pass


def test_across_file_systems(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def apart(source: Path, target: Path) -> None:
        if "change" in Path(source).parts and "change" not in Path(target).parts:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    monkeypatch.setattr(os, "replace", apart)
    change(export)
    assert content(export)["more/a/new.txt"] == b"new"
    assert [path.name for path in export.with_name("export.work").iterdir()] == ["lock"]
