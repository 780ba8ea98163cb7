"""Push to a folder, here or at an fsspec URL: what is checked first, what travels, and what a kill leaves."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import datasets
import fsspec
import pytest
from PIL import Image

from hfbucket.core.card.words import Words
from hfbucket.core.manifest.model import License
from hfbucket.core.transfer.push import changes
from hfbucket.errors import ConfigError, FormatError, PushError
from hfbucket.io.push_stores import FolderStore
from hfbucket.stages.card import update_card
from hfbucket.stages.push.after import check_after
from hfbucket.stages.push.checks import personal_rows, shard_findings
from hfbucket.stages.push.files import files_of, local_export
from hfbucket.stages.push.run import push
from tests.factories import Sample, make_export

SHARD = "buckets/p1024x1024/shard-00000.tar"


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_ledger(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if not name.startswith("ledger/")}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    make_export(folder, bases=(64,), divisible=8)
    return folder


def test_a_copy_without_the_ledger(export: Path, tmp_path: Path) -> None:
    report = push(export, str(tmp_path / "there"))
    assert tree(tmp_path / "there") == without_ledger(tree(export))
    assert report.checked == ("all", "r64")
    assert report.plan.is_new
    assert report.plan.visibility is None
    assert report.snippet == f'load_dataset("{tmp_path}/there", "r64", split="train", streaming=True)'
    push(export, str(tmp_path / "there"), publish_ledger=True)
    assert tree(tmp_path / "there") == tree(export)
    push(export, str(tmp_path / "there"))
    assert tree(tmp_path / "there") == without_ledger(tree(export))


def test_nothing_travels_twice_and_no_shard_is_read_again(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(export, str(tmp_path / "there"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "there").rglob("*")}
    read: list[str] = []
    monkeypatch.setattr("hfbucket.stages.verify.shard.viewed", lambda export, file: read.append(file))
    monkeypatch.setattr("hfbucket.load.stock.viewed", lambda export, file: read.append(file))
    report = push(export, str(tmp_path / "there"))
    assert (report.plan.changes.files, report.checked, read) == (0, ("all", "r64"), [])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "there").rglob("*")} == before


def test_only_what_changed_travels(export: Path, tmp_path: Path) -> None:
    push(export, str(tmp_path / "there"))
    other = tmp_path / "other"
    make_export(other, bases=(64,), divisible=8, shards_per_bucket=1)
    report = push(other, str(tmp_path / "there"))
    assert tree(tmp_path / "there") == without_ledger(tree(other))
    sent = [file.path for file in report.plan.changes.send]
    assert sent == ["samples/part-00000.parquet", "README.md", "manifest.json"]
    assert report.plan.changes.delete == (
        SHARD.replace("00000", "00001"),
        SHARD.replace("1024x1024/shard-00000", "1152x832/shard-00001"),
    )
    update_card(other, Words(title="Another title"))
    report = push(other, str(tmp_path / "there"))
    assert [file.path for file in report.plan.changes.send] == ["croissant.json", "README.md", "manifest.json"]
    assert report.plan.way == "file by file, the manifest last"


class _Killed(BaseException):
    """Ends a push where a kill would."""


def _dying(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    put, left = FolderStore.put, [after]

    def counted(self: FolderStore, files: object) -> None:
        if not left[0]:
            raise _Killed
        left[0] -= 1
        put(self, files)  # type: ignore[arg-type]

    monkeypatch.setattr(FolderStore, "put", counted)
    monkeypatch.setattr("hfbucket.stages.push.store._STEP_FILES", 1)


@pytest.mark.parametrize("old", [False, True])
def test_killed_anywhere_it_is_invisible_until_it_is_whole(export: Path, tmp_path: Path, old: bool) -> None:
    there = tmp_path / "there"
    if old:
        make_export(tmp_path / "old", bases=(64,), divisible=8, per_shard=2)
        push(tmp_path / "old", str(there))
    for after in range(old, 30, 2):
        with pytest.MonkeyPatch.context() as patch:
            _dying(patch, after)
            try:
                push(export, str(there))
            except _Killed:
                assert (old and after == 0) or not (there / "manifest.json").exists()
                _assert_invisible(there, untouched=after == 0)
                continue
        break
    assert 3 < after < 30
    assert tree(there) == without_ledger(tree(export))


def _assert_invisible(there: Path, *, untouched: bool) -> None:
    if not untouched and (there / "README.md").exists() and b"under-way" in (there / "README.md").read_bytes():
        with pytest.raises(FileNotFoundError):
            datasets.load_dataset(str(there), split="train", streaming=True)


def test_a_continued_push_sends_only_the_rest(export: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _dying(patch, 5)  # journal, card, journal, shard, journal
        with pytest.raises(_Killed):
            push(export, str(tmp_path / "there"))
    report = push(export, str(tmp_path / "there"))
    sent = [file.path for file in report.plan.changes.send]
    assert SHARD not in sent
    assert SHARD.replace("00000", "00001") in sent
    assert tree(tmp_path / "there") == without_ledger(tree(export))


@pytest.fixture
def memory() -> Iterator[str]:
    yield "memory://push-there"
    fs = fsspec.filesystem("memory")
    if fs.exists("/push-there"):
        fs.rm("/push-there", recursive=True)


def test_any_fsspec_url(export: Path, memory: str) -> None:
    report = push(export, memory)
    fs = fsspec.filesystem("memory")
    found = {name.removeprefix("/push-there/"): fs.cat_file(name) for name in fs.find("/push-there")}
    assert found == without_ledger(tree(export))
    assert report.checked == ("all", "r64")
    assert push(export, memory).plan.changes.files == 0


def test_what_arrives_otherwise_is_no_success(export: Path, tmp_path: Path) -> None:
    folder, manifest = local_export(export)
    published = push(export, str(tmp_path / "there")).published
    assert published is not None
    shard = tmp_path / "there" / SHARD
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    with pytest.raises(PushError, match=f"the first samples of all must be those of {SHARD} here .*; push again"):
        check_after(folder, manifest, published, token=None, sent=True, on_event=lambda event: None)
    shard.unlink()
    (tmp_path / "there/README.md").unlink()
    with pytest.raises(PushError, match="opening all with stock datasets failed; push again"):
        check_after(folder, manifest, published, token=None, sent=True, on_event=lambda event: None)


def test_a_dry_run_changes_nothing(export: Path, tmp_path: Path) -> None:
    report = push(export, str(tmp_path / "there"), dry_run=True)
    assert report.published is None
    assert not (tmp_path / "there").exists()
    assert report.to_dict()["kinds"] == {"shards": 4, "sample tables": 1, "others": 2}


def test_a_push_may_be_declined(export: Path, tmp_path: Path) -> None:
    with pytest.raises(PushError, match="nothing was sent"):
        push(export, str(tmp_path / "there"), confirm=lambda plan: False)
    assert not (tmp_path / "there").exists()


def test_all_that_falls_short_is_listed_before_a_byte_leaves(tmp_path: Path) -> None:
    make_export(tmp_path / "export", bases=(64,), divisible=8, license=License())
    for path in (tmp_path / "export" / SHARD, tmp_path / "export/samples/part-00000.parquet"):
        data = bytearray(path.read_bytes())
        data[700] ^= 1
        path.write_bytes(data)
    card = tmp_path / "export/README.md"
    card.write_text(card.read_text(encoding="utf-8") + "\n[More Information Needed]\n", encoding="utf-8")
    (tmp_path / "export/buckets/p1024x1024/shard-00009.tar").write_bytes(b"")
    (tmp_path / "export/buckets/p1152x832/shard-00001.tar").unlink()
    with pytest.raises(PushError) as raised:
        push(tmp_path / "export", str(tmp_path / "there"))
    lines = str(raised.value).splitlines()
    assert lines[0] == f"nothing was sent to {tmp_path}/there; first put right:"
    said = [line for line in lines[1:] if not line.startswith("    ")]
    assert [line.partition(":")[0] for line in said] == [
        "buckets/p1152x832/shard-00001.tar", "buckets/p1024x1024/shard-00009.tar", "manifest.json", "README.md",
        "samples/part-00000.parquet", SHARD,
    ]  # fmt: skip
    assert said[2] == "manifest.json: there is none: nobody may use a dataset without a license"
    assert said[3] == "README.md: must be finished text, got '[More Information Needed]'"
    assert not (tmp_path / "there").exists()


def test_what_is_no_export_of_ours_is_refused(export: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such file: this is no export"):
        push(tmp_path, "me/name")
    text = (export / "manifest.json").read_text().replace('"name": "hfbucket"', '"name": "another"')
    (export / "manifest.json").write_text(text)
    with pytest.raises(PushError, match="was written by another tool"):
        push(export, "me/name")
    with pytest.raises(PushError, match="must lie on this machine"):
        push("s3://bucket/export", "me/name")


def test_options_that_make_no_sense(export: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--revision is for dataset repositories"):
        push(export, str(tmp_path / "there"), revision="v2")
    with pytest.raises(ConfigError, match="--private is for places of the Hub"):
        push(export, str(tmp_path / "there"), private=True)
    with pytest.raises(ConfigError, match="must not lie in the export"):
        push(export, str(export / "there"))
    with pytest.raises(ConfigError, match="must not lie in the export"):
        push(export, str(tmp_path))
    with pytest.raises(ConfigError, match="--create-pr is always against main"):
        push(export, "me/name", create_pr=True, revision="v2")
    with pytest.raises(ConfigError, match="must be another repository"):
        push(export, "me/name", samples_repo="me/name")
    with pytest.raises(ConfigError, match="revision must be given once"):
        push(export, "hf://datasets/me/name@v1", revision="v2")


def _with_exif(tags: dict[int, object], details: dict[int, object], gps: dict[int, object]) -> bytes:
    exif = Image.Exif()
    for tag, value in tags.items():
        exif[tag] = value
    exif.get_ifd(0x8769).update(details)
    exif.get_ifd(0x8825).update(gps)
    target = io.BytesIO()
    Image.new("RGB", (96, 64)).save(target, "JPEG", exif=exif)
    return target.getvalue()


@pytest.mark.parametrize(
    ("jpg", "personal"),
    [
        (_with_exif({0x013B: "An artist"}, {}, {}), False),
        (_with_exif({}, {0xA430: "An owner"}, {}), True),
        (_with_exif({}, {0xA431: "123"}, {}), True),
        (_with_exif({}, {}, {2: (1.0, 2.0, 3.0)}), True),
    ],
)
def test_images_that_say_too_much(tmp_path: Path, jpg: bytes, personal: bool) -> None:
    def change(sample: Sample) -> Sample:
        return replace(sample, jpg=jpg) if sample.image_id.endswith("0.jpg") else sample

    make_export(tmp_path / "export", bases=(64,), divisible=8, image_mode="passthrough_jpeg", change=change)
    folder, manifest = local_export(tmp_path / "export")
    found = changes(files_of(folder, manifest, ledger=False), {}, lambda file: "")
    told = {
        public: [one.message for one in shard_findings(
            folder, manifest, found, public=public, workers=1, on_event=lambda event: None)]
        for public in (True, False)
    }  # fmt: skip
    assert told[False] == []
    assert bool(told[True]) == personal
    assert all("say where or with whose camera they were taken" in message for message in told[True])


def test_rows_that_say_too_much(tmp_path: Path) -> None:
    def change(sample: Sample) -> Sample:
        meta = {"exif": '{"GPSInfo": 1}'} if sample.image_id.endswith("0.jpg") else {"note": "translation"}
        return replace(sample, metadata={**sample.metadata, "meta": meta})

    make_export(tmp_path / "export", bases=(64,), divisible=8, change=change)
    (found,) = personal_rows(tmp_path / "export", ["samples/part-00000.parquet"])
    assert found.message.startswith("the metadata of ")
    assert os.listdir(tmp_path) == ["export"]
