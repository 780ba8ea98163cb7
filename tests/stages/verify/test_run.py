"""verify as a whole: valid exports pass in every depth, damage at any byte is found, foreign exports only lack."""

from __future__ import annotations

import contextlib
import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pyarrow.parquet as pq
import pytest

from hfbucket.core.checks.problems import Problem, capped, problem
from hfbucket.core.manifest.plain import from_dict, seal, to_dict
from hfbucket.errors import ConfigError, FormatError
from hfbucket.io import store, ustar
from hfbucket.stages.verify.run import DEPTHS, Depth, verify
from tests.factories import make_export, make_foreign_export, reseal, tar_header
from tests.mutations import (
    CARD,
    LEDGER,
    SQUARE,
    TABLE,
    WIDE,
    Change,
    Found,
    Members,
    copy,
    cut,
    flip,
    found,
    members,
    rewritten,
    small,
    unlink,
)  # fmt: skip


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("image_mode", ["reencode_jpeg", "passthrough_jpeg"])
@pytest.mark.parametrize("bases", [(64,), (128, 64)])
def test_a_whole_export_has_no_problems(tmp_path: Path, depth: Depth, image_mode: str, bases: tuple[int, ...]) -> None:
    manifest = make_export(tmp_path, bases=bases, image_mode=image_mode)
    report = verify(tmp_path, depth=depth)
    assert (report.problems, report.lacks, report.notes) == ((), (), ())
    assert report.ok
    assert report.export_id == manifest.export_id
    assert (report.samples, report.shards) == (12 * len(bases), 4 * len(bases))
    json.dumps(report.to_dict())


def test_any_store_and_any_number_of_workers(tmp_path: Path) -> None:
    small(tmp_path)
    fs = fsspec.filesystem("memory")
    fs.put(str(tmp_path), "/verify/export", recursive=True)
    for depth in ("quick", "full"):
        assert verify("memory://verify/export", depth=depth) == verify(tmp_path, depth=depth)
    report = verify("memory://verify/export")
    assert (report.depth, report.problems) == ("structure", ())
    assert report.notes == ("0 of 5 files compared by hash without reading them; --deep reads all",)
    fs.pipe_file("/verify/export/" + SQUARE, b"\0" * 4096)
    assert ("size", SQUARE, None) in found(verify("memory://verify/export"))


def test_results_do_not_depend_on_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path)
    flip(tmp_path / SQUARE, 700)
    flip(tmp_path / WIDE, 800)
    monkeypatch.setattr("hfbucket.stages.verify.run._IN_PROCESS_BYTES", {"full": 0})
    events: list[object] = []
    two = verify(tmp_path, workers=2, on_event=events.append)
    assert two == verify(tmp_path, workers=1)
    assert len(events) == 5  # one before the first of four shards


def test_what_cannot_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path)
    whole = store.open_seekable

    def refuse(url: str) -> BinaryIO:
        if url.endswith((SQUARE, TABLE, CARD)):
            raise PermissionError(13, "Permission denied", url)
        return whole(url)

    monkeypatch.setattr(store, "open_seekable", refuse)
    report = verify(tmp_path)
    assert found(report) == {("missing", SQUARE, None), ("missing", TABLE, None), ("card", CARD, None)}
    assert {item.message for item in report.problems} == {"cannot be read: Permission denied"}


def test_no_export_at_all(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="or its build has not finished"):
        verify(tmp_path)
    with pytest.raises(ConfigError, match="depth must be one of structure, quick, full, got 'deep'"):
        verify(tmp_path, depth="deep")  # type: ignore[arg-type]


def test_remote_names_nothing_outside(tmp_path: Path) -> None:
    small(tmp_path)
    data = json.loads((tmp_path / "manifest.json").read_text())
    data["buckets"]["p1024x1024"]["shards"][0]["file"] = "../secret.tar"
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    assert found(verify(tmp_path)) == {("manifest", "manifest.json", None)}


@pytest.mark.parametrize("image_mode", ["reencode_jpeg", "passthrough_jpeg"])
def test_a_flipped_byte_in_a_shard_is_found_by_quick(tmp_path: Path, image_mode: str) -> None:
    make_export(tmp_path, bases=(64,), image_mode=image_mode)
    random_ = random.Random(7)
    data = (tmp_path / SQUARE).read_bytes()
    for at in [0, 511, 512, len(data) - 1, *random_.sample(range(len(data)), 25)]:
        flip(tmp_path / SQUARE, at, random_.randrange(1, 256))
        assert ("hash", SQUARE, None) in found(verify(tmp_path, depth="quick"))
        (tmp_path / SQUARE).write_bytes(data)


def test_a_manifest_in_another_form_is_noted(tmp_path: Path) -> None:
    small(tmp_path)
    data = json.loads((tmp_path / "manifest.json").read_text("utf-8"))
    (tmp_path / "manifest.json").write_text(json.dumps(data), "utf-8")
    report = verify(tmp_path)
    assert report.ok
    assert report.notes == (
        "manifest.json says the same in other bytes than were written: an editor or a damaged blank",
    )


@pytest.mark.parametrize("file", [CARD, TABLE, LEDGER, "manifest.json"])
def test_a_flipped_byte_in_any_other_file_is_found(tmp_path: Path, file: str) -> None:
    """Only what means nothing may pass: a part of the ledger's Parquet footer that nobody reads."""
    small(tmp_path)
    ledger = pq.read_table(tmp_path / LEDGER)
    random_ = random.Random(11)
    data = (tmp_path / file).read_bytes()
    for at in random_.sample(range(len(data)), 25):
        flip(tmp_path / file, at, random_.randrange(1, 256))
        report = verify(tmp_path)
        if report.ok and not report.notes:
            assert file == LEDGER, f"byte {at}"
            assert pq.read_table(tmp_path / LEDGER).equals(ledger)
        (tmp_path / file).write_bytes(data)


JUNK = [None, True, 0, -1, 2**63, 1.5, "", "x", "1/0", "../a", [], {}, ["a"], [[1]], {"a": 1}, "\0"]


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return every place in JSON data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(below for key, item in items for below in places(item, (*place, key)))]


def spoiled(data: Any, random_: random.Random) -> Any:
    """Return JSON data with something else in one place."""
    *around, last = random_.choice([place for place in places(data) if place])
    inner = data
    for step in around:
        inner = inner[step]
    inner[last] = random_.choice([item for item in JUNK if item != inner[last]])
    return data


@pytest.mark.parametrize("seed", range(25))
def test_nothing_in_a_manifest_or_metadata_makes_verify_crash(tmp_path: Path, seed: int) -> None:
    """Also not where all hashes fit, as in an export that somebody made to do harm."""
    random_ = random.Random(seed)
    small(tmp_path)
    data = spoiled(json.loads((tmp_path / "manifest.json").read_text("utf-8")), random_)
    with contextlib.suppress(FormatError):
        data = to_dict(seal(from_dict(data)))
    (tmp_path / "manifest.json").write_text(json.dumps(data), "utf-8")
    verify(tmp_path)
    small(tmp_path)

    def edit(all_members: Members) -> Members:
        name, text = all_members[2]
        changed = json.dumps(spoiled(json.loads(text), random_), sort_keys=True, separators=(",", ":"))
        return [*all_members[:2], (name, changed.encode()), *all_members[3:]]

    rewritten(edit)(tmp_path)
    reseal(tmp_path)
    assert not verify(tmp_path).ok


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("depth", DEPTHS)
def test_foreign_exports_lack_but_do_not_fail(tmp_path: Path, names: bool, depth: Depth) -> None:
    make_foreign_export(tmp_path, names=names)
    report = verify(tmp_path, depth=depth)
    assert report.ok
    assert not report.ours
    assert (report.samples, report.shards) == (12, 4)
    whats = " ".join(lack.what for lack in report.lacks)
    for word in ("generator", "content_sha256", "README.md", "hashes of shards" if names else "shard lists"):
        assert word in whats
    if depth == "full":
        assert {lack.code: lack.count for lack in report.lacks}["metadata"] == 12


def test_foreign_tars_may_be_written_otherwise(tmp_path: Path) -> None:
    data = make_foreign_export(tmp_path)
    for name in data["buckets"]["p1024x1024"]["shards"]:
        file = f"buckets/p1024x1024/{name}"
        content = members(tmp_path, file)
        with tarfile.open(tmp_path / file, "w", format=tarfile.GNU_FORMAT) as tar:
            for member_name, body in [content[1], content[0], content[2], *content[3:]]:
                info = tarfile.TarInfo(member_name)
                info.size, info.mtime, info.mode, info.uname = len(body), 1_700_000_000, 0o600, "me"
                tar.addfile(info, io.BytesIO(body))
    report = verify(tmp_path)
    assert report.ok
    assert {lack.code: lack.count for lack in report.lacks}["members"] == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (unlink(SQUARE), {("missing", SQUARE, None), ("count", "manifest.json", None)}),
        (cut(700), {("tar", SQUARE, None), ("count", "manifest.json", None)}),
        (rewritten(lambda all: [*all[:-3], (all[-3][0], b"no image"), *all[-2:]]), None),
        (copy(SQUARE, "buckets/p1024x1024/shard-00005.tar"), {("stray", "buckets/p1024x1024/shard-00005.tar", None)}),
    ],
)
def test_foreign_exports_fail_where_they_are_broken(tmp_path: Path, change: Change, expected: Found | None) -> None:
    make_foreign_export(tmp_path)
    change(tmp_path)
    report = verify(tmp_path)
    assert {code for code, _, _ in found(report)} == {"image"} if expected is None else found(report) == expected


def test_many_of_a_kind_are_counted() -> None:
    many: list[Problem] = [problem("key", f"key {n}", file=SQUARE) for n in range(33)]
    shown = capped([*many, problem("key", "one", file=WIDE)])
    assert len(shown) == 12
    assert shown[-1].message == "23 more like these"


def test_hand_made_headers_are_those_of_the_package() -> None:
    assert tar_header("a" * 32 + ".json", 12345) == ustar.header("a" * 32 + ".json", 12345)
