"""pull: what arrives is an export, whole or a part; killed, damaged, hostile or in the way, nothing half is left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

from hfbucket.core.manifest.model import Manifest
from hfbucket.core.manifest.plain import from_dict, seal, to_dict
from hfbucket.errors import FormatError, PullError
from hfbucket.io import fetch, stream
from hfbucket.io.manifest_file import read_manifest, write_manifest
from hfbucket.stages.pull.run import ASIDE, Pulled, pull
from hfbucket.stages.verify.run import verify
from tests.factories import make_export, make_foreign_export

URL = "memory://pull/export"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """An export with four shards in each of four buckets, also at `URL`."""
    make_export(tmp_path / "remote", bases=(128, 64), shards_per_bucket=3, per_shard=2)
    publish(tmp_path / "remote")
    return tmp_path / "remote"


def publish(folder: Path) -> None:
    fs = fsspec.filesystem("memory")
    if fs.exists("/pull/export"):
        fs.rm("/pull/export", recursive=True)
    fs.put(str(folder), "/pull/export", recursive=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shards_of(manifest: Manifest) -> set[str]:
    return {shard.file for entry in manifest.buckets.values() for shard in entry.shards}


def test_the_whole_is_a_copy_byte_by_byte(remote: Path, tmp_path: Path) -> None:
    pulled = pull(URL, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(remote)
    assert (pulled.shards, pulled.manifest) == (12, read_manifest(remote))
    assert pulled.fetched_bytes == pulled.size_bytes
    report = verify(tmp_path / "out")
    assert (report.problems, report.lacks) == ((), ())


@pytest.mark.parametrize(
    ("selection", "shards", "held"),
    [
        ({"configs": ["r64"]}, 6, {"r64_p1024x1024", "r64_p1152x832"}),
        ({"buckets": ["r128_p1024x1024"]}, 3, {"r128_p1024x1024"}),
        ({"configs": ["r64"], "buckets": ["r64_p1152x832"]}, 3, {"r64_p1152x832"}),
        ({"max_bytes": 130_000}, None, {"r128_p1024x1024", "r128_p1152x832", "r64_p1024x1024", "r64_p1152x832"}),
    ],
)
def test_a_part_is_an_export_that_says_so(
    remote: Path, tmp_path: Path, selection: dict[str, Any], shards: int | None, held: set[str]
) -> None:
    whole = read_manifest(remote)
    pulled = pull(URL, tmp_path / "out", **selection)
    report = verify(tmp_path / "out")
    assert report.problems == ()
    assert [lack.code for lack in report.lacks] == ["ledger"]
    manifest = read_manifest(tmp_path / "out")
    assert manifest == pulled.manifest
    assert {name for name, entry in manifest.buckets.items() if entry.shards} == held
    assert shards is None or pulled.shards == shards
    assert manifest.part_of is not None
    assert manifest.part_of["export_id"] == whole.export_id != manifest.export_id
    assert manifest.part_of["selection"] == selection
    assert manifest.part_of["summary"] == whole.summary
    assert f"a part of {whole.export_id}" in manifest.history[-1].what
    assert shards_of(manifest) == {name for name in contents(tmp_path / "out") if name.endswith(".tar")}
    if "max_bytes" in selection:
        assert 0.5 * selection["max_bytes"] < sum(e.bytes or 0 for e in manifest.buckets.values()) <= 130_000


def test_again_nothing_is_fetched_or_written(remote: Path, tmp_path: Path) -> None:
    pull(URL, tmp_path / "out", configs=["r64"])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert pull(URL, tmp_path / "out", configs=["r64"]).fetched_bytes == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_a_part_grows_into_the_whole_and_back(remote: Path, tmp_path: Path) -> None:
    pull(URL, tmp_path / "out", configs=["r64"])
    grown = pull(URL, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(remote)
    assert grown.fetched_bytes < grown.size_bytes
    pull(URL, tmp_path / "out", configs=["r128"])
    assert verify(tmp_path / "out").ok
    assert not list((tmp_path / "out").glob("buckets/r64_*/*"))
    assert not (tmp_path / "out" / "ledger" / "part-00000.parquet").exists()


def test_an_export_of_another_tool(tmp_path: Path) -> None:
    make_foreign_export(tmp_path / "remote")
    assert verify(tmp_path / "remote").ok
    pulled = pull(tmp_path / "remote", tmp_path / "out")
    assert pulled.unhashed_shards == pulled.shards > 0
    assert contents(tmp_path / "out") == contents(tmp_path / "remote")
    bucket = next(name for name, entry in read_manifest(tmp_path / "out").buckets.items() if entry.count)
    part = pull(tmp_path / "remote", tmp_path / "part", buckets=[bucket])
    assert verify(tmp_path / "part").ok
    assert [name for name, entry in part.manifest.buckets.items() if entry.count] == [bucket]


class _Killed(BaseException):
    pass


def test_killed_anywhere_it_continues(remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends a pull after every n-th piece, as a kill does: what is on disk then is all that the next one has."""
    whole, real, read_bytes = contents(remote), stream.stream, [0]
    total = sum(map(len, whole.values()))
    monkeypatch.setattr(stream, "_PIECE_BYTES", 4096)
    monkeypatch.setattr(stream, "BLOCK_BYTES", 4096)

    def counted(left: int) -> Callable[..., Any]:
        def pieces(url: str, start: int = 0, **options: Any) -> Any:
            nonlocal left
            for piece in real(url, start, **options):
                left -= 1
                if left < 0:
                    raise _Killed
                read_bytes[0] += len(piece)
                yield piece

        return pieces

    runs = 0
    while True:
        monkeypatch.setattr(fetch, "stream", counted(13))
        runs += 1
        try:
            pull(URL, tmp_path / "out", workers=1)
            break
        except _Killed:
            assert not (tmp_path / "out" / "manifest.json").exists()
            assert (tmp_path / "out" / ASIDE).is_dir()
            for name, data in contents(tmp_path / "out").items():
                assert name.startswith(ASIDE) or whole[name] == data
    assert runs > 5
    assert contents(tmp_path / "out") == whole
    unhashed = sum(len(data) for name, data in whole.items() if name.startswith(("ledger", "README")))
    assert read_bytes[0] <= total + unhashed * runs


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


def test_what_a_killed_pull_left_goes(remote: Path, tmp_path: Path) -> None:
    pull(URL, tmp_path / "out")
    for name in (".manifest.json.12.tmp", "samples/.part-00000.parquet.12.tmp"):
        (tmp_path / "out" / name).write_bytes(b"half")
    pull(URL, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(remote)


def test_wrong_bytes_are_refused_and_mended(remote: Path, tmp_path: Path) -> None:
    shard = "buckets/r64_p1024x1024/shard-00001.tar"
    good = (remote / shard).read_bytes()
    damage(remote / shard)
    publish(remote)
    with pytest.raises(PullError, match=rf"{shard}: sha256 must be .*, got .*; ask who published it"):
        pull(URL, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not (tmp_path / "out" / shard).exists()
    (remote / shard).write_bytes(good)
    publish(remote)
    pulled = pull(URL, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(remote)
    assert pulled.fetched_bytes < pulled.size_bytes
    damage(tmp_path / "out" / shard)
    pull(URL, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(remote)


def write_raw(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    data = to_dict(read_manifest(folder))
    change(data)
    (folder / "manifest.json").write_text(json.dumps(data))


def first_shard(data: dict[str, Any]) -> dict[str, Any]:
    shard: dict[str, Any] = data["buckets"]["r128_p1024x1024"]["shards"][0]
    return shard


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: first_shard(d).update(file="../../outside.tar"), "must be a plain path below the export"),
        (lambda d: first_shard(d).update(file="/etc/outside.tar"), "must be a plain path below the export"),
        (lambda d: first_shard(d).update(file="C:\\outside.tar"), "must be a plain path below the export"),
        (lambda d: first_shard(d).update(file=".git/hooks/a.tar"), "not hidden"),
        (lambda d: first_shard(d).update(file="README.md"), "must name shards, tables and pictures"),
        (lambda d: first_shard(d).update(bytes=2**62), "must have 4611686018427387904 bytes"),
        (lambda d: first_shard(d).update(sha256="../" + "0" * 61), "64 lowercase hex digits"),
        (lambda d: d["samples"][0].update(file="../samples.parquet"), "must be a plain path below the export"),
        (lambda d: d.update(content_sha256="0" * 64), "content_sha256 must be"),
        (lambda d: d["buckets"]["r128_p1024x1024"].update(shards=[{"file": f"{i}.tar"} for i in range(100_001)]),
         "names 100,010 shards"),
        (lambda d: d.update(title="x" * 100_000_000), "more than 100,000,000 bytes"),
    ],
)  # fmt: skip
def test_hostile_manifests(
    remote: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    write_raw(remote, change)
    with pytest.raises(FormatError, match=message):
        pull(remote, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_hostile_sizes_that_the_listing_repeats(remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest of another tool names no sizes; the disk is asked before the first byte."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 0, 10))
    with pytest.raises(PullError, match=r"bytes are still to come, the disk has room for 10; .*--max-bytes"):
        pull(URL, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == [ASIDE, "lock"]


def test_links_are_refused(remote: Path, tmp_path: Path) -> None:
    shard = remote / "buckets/r64_p1024x1024/shard-00001.tar"
    shard.rename(tmp_path / "elsewhere")
    shard.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FormatError, match="got a link or a folder"):
        pull(remote, tmp_path / "out")


def test_tables_that_lie(remote: Path, tmp_path: Path) -> None:
    """A part counts its own rows: a manifest whose shards say other counts is refused, and leaves no manifest."""
    manifest = read_manifest(remote)
    entry = manifest.buckets["r64_p1024x1024"]
    one, other, last = entry.shards
    shards = (replace(one, count=3), replace(other, count=1), last)
    buckets = {**manifest.buckets, "r64_p1024x1024": replace(entry, shards=shards)}
    write_manifest(remote, seal(replace(manifest, buckets=buckets, history=())))
    with pytest.raises(FormatError, match="have 2 rows of these shards, which hold 3"):
        pull(remote, tmp_path / "out", buckets=["r64_p1024x1024"], max_bytes=one.bytes)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_what_is_in_the_way(remote: Path, tmp_path: Path) -> None:
    def refused(output: Path, **options: Any) -> str:
        with pytest.raises(PullError) as error:
            pull(remote, output, **options)
        return str(error.value)

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    assert "exists and is no export" in refused(tmp_path / "mine")
    assert "exists and is no export" in refused(tmp_path / "mine" / "thesis.txt")
    assert "exists and is no export" in refused(tmp_path / "mine", overwrite=True)
    assert "inside one another" in refused(remote)
    assert "inside one another" in refused(remote / "copy")
    make_export(tmp_path / "other", bases=(64,))
    before = contents(tmp_path / "other")
    assert "holds another export; choose another --output, or --overwrite" in refused(tmp_path / "other")
    assert contents(tmp_path / "other") == before
    pull(remote, tmp_path / "other", overwrite=True)
    assert contents(tmp_path / "other") == contents(remote)


def test_names_by_default_and_progress(remote: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    events: list[Any] = []
    pulled: Pulled = pull(URL, on_event=events.append)
    assert pulled.folder == tmp_path / "here" / "export"
    assert pulled.commit is None
    done = [event.done for event in events]
    assert done == sorted(done)
    assert (events[0].done, events[-1].done) == (0, events[-1].total)
    assert {event.unit for event in events} == {"B"}


def test_from_dict_keeps_what_a_part_says(remote: Path, tmp_path: Path) -> None:
    manifest = pull(URL, tmp_path / "out", configs=["r64"]).manifest
    assert from_dict(to_dict(manifest)) == manifest
