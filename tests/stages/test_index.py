from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket.config import Config
from hfbucket.core.events import Event, Notice, Progress
from hfbucket.errors import BuildError, SourceError
from hfbucket.io.index_files import Index
from hfbucket.io.random_file import RandomFile
from hfbucket.io.remote import Remote
from hfbucket.schemas import INDEX
from hfbucket.sources import Files, containers, detect, folder
from hfbucket.stages import index as stage
from hfbucket.stages.index import build_index, cache_folder
from tests.sources.drawn import image, put, tar

ONE = Config(workers=0)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(folder, "SLICE_FILES", 4)
    put(tmp_path / "photos", {f"{number:02}.jpg": image(10 + number) for number in range(20)} | {"00.txt": b"zero"})
    return tmp_path / "photos"


def scans(sources: list[str], config: Config = ONE) -> tuple[Index, int]:
    """Return the index and how many units were not in the cache."""
    events: list[Event] = []
    index = build_index(sources, config, on_event=events.append)
    return index, sum(isinstance(event, Progress) for event in events)


def test_sources_follow_each_other(photos: Path, tmp_path: Path) -> None:
    root = put(tmp_path / "tars", {"0.tar": tar([("x.jpg", image())]), "1.tar": tar([("y.jpg", image())])})
    index, _ = scans([f"b={root}", str(photos), f"a={root}"])
    ids = index.columns("image_id")["image_id"].to_pylist()
    assert ids[:2] == ["b/0.tar/x", "b/1.tar/y"]
    assert ids[2:22] == [f"{number:02}.jpg" for number in range(20)]
    assert ids[22:] == ["a/0.tar/x", "a/1.tar/y"]
    assert [source.name for source in index.sources] == ["b", "photos", "a"]
    assert index.units_listed == (2, len(index.units) - 4, 2)
    assert index.columns(*INDEX.names).schema == INDEX


@pytest.mark.parametrize("path", ["photos", "photos/*.jpg", "photos/00.jpg"])
def test_a_source_is_looked_up_once(photos: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    looked: list[str] = []
    files_of = containers.files_of

    def noted(url: str) -> Files:
        looked.append(url)
        return files_of(url)

    for module in (detect, folder):
        monkeypatch.setattr(module, "files_of", noted)
    url = str(photos.parent / path)
    found, _ = scans([url])
    assert looked == [url]
    told, _ = scans([url], replace(ONE, source_type="folder"))
    assert looked == [url] * 2
    assert told.source_sha256(0) == found.source_sha256(0)


def test_what_did_not_change_comes_from_the_cache(photos: Path) -> None:
    first, cold = scans([str(photos)])
    second, warm = scans([str(photos)])
    assert cold == len(first.units) > 3
    assert warm == 0
    assert second.source_sha256(0) == first.source_sha256(0)
    put(photos, {"07a.jpg": image(99)})
    third, changed = scans([str(photos)])
    assert changed == 1
    assert third.rows == 21
    assert third.source_sha256(0) != first.source_sha256(0)


@pytest.mark.parametrize(
    "config", [Config(caption_column=("sidecar",)), Config(max_pixels=9), Config(keep_location=True)]
)
def test_settings_that_change_rows_scan_anew(photos: Path, config: Config) -> None:
    config = replace(config, workers=0)
    scans([str(photos)])
    assert scans([str(photos)], config)[1] > 0
    assert scans([str(photos)], config)[1] == 0


def test_settings_that_change_no_rows_do_not(photos: Path) -> None:
    scans([str(photos)])
    assert scans([str(photos)], Config(workers=0, base=(256,), quality=80, missing_caption="empty"))[1] == 0


def test_place_workers_and_cache_change_no_row(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, _ = scans([str(photos)])
    shutil.copytree(photos, tmp_path / "elsewhere" / "photos")
    monkeypatch.setenv("HFBUCKET_CACHE", str(tmp_path / "other cache"))
    there = build_index([str(tmp_path / "elsewhere" / "photos")], Config(workers=2))
    assert there.source_sha256(0) == here.source_sha256(0)
    assert there.columns("image_id", "width", "captions").equals(here.columns("image_id", "width", "captions"))


def test_a_damaged_cache_is_made_anew(photos: Path) -> None:
    before, _ = scans([str(photos)])
    Path(before.units[0].file).write_bytes(b"PAR1 broken")
    after, again = scans([str(photos)])
    assert again == 1
    assert after.source_sha256(0) == before.source_sha256(0)


def test_one_source_given_twice_is_indexed_twice(photos: Path) -> None:
    index, _ = scans([str(photos), str(photos)])
    assert index.rows == 40


def test_files_that_could_not_be_read_are_tried_again(tmp_path: Path) -> None:
    root = tmp_path / "d"
    put(root, {"a.jpg": image()})
    (root / "b.jpg").symlink_to(tmp_path / "later.jpg")
    assert scans([str(root)])[0].columns("outcome")["outcome"].to_pylist() == [None, "source_errors"]
    assert scans([str(root)])[1] == 1


@pytest.mark.parametrize("name", ["a.txt", "a.json"])
def test_images_whose_files_beside_could_not_be_read_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    root = put(tmp_path / "d", {"a.jpg": image(), name: b'{"caption": "a lamp"}', "b.jpg": image()})
    pread = RandomFile.pread

    def fails(self: RandomFile, offset: int, size: int) -> bytes:
        if self.url.endswith(name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(self, offset, size)

    with monkeypatch.context() as patch:
        patch.setattr(RandomFile, "pread", fails)
        table = scans([str(root)])[0].columns("outcome", "detail")
    assert table["outcome"].to_pylist() == ["source_errors", None]
    assert table["detail"].to_pylist() == ["what lies beside it cannot be read: Input/output error", None]
    index, again = scans([str(root)])
    assert again == 1
    assert index.columns("outcome")["outcome"].to_pylist() == [None, None]
    assert any("a lamp" in (text or "") for text in index.columns("captions")["captions"].to_pylist()[0])


def test_events_tell_the_cache_the_notes_and_what_must_be_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"jpg": [image()]}), tmp_path / "a.parquet")
    root = put(tmp_path / "tars", {"0.tar": tar([("x.jpg", image())])[:-9000]})
    events: list[Event] = []
    build_index([str(tmp_path / "a.parquet"), root], ONE, on_event=events.append)
    notices = [event for event in events if isinstance(event, Notice)]
    assert notices[0].text.startswith("reading ")
    assert "of 1 Parquet, gzipped or remote units" in notices[0].text
    assert Notice(level="warning", text="0.tar has no end mark: it may have been cut off") in notices
    assert str(cache_folder(ONE)) in notices[-1].text
    assert events.count(Progress(stage="index", done=2, total=2, unit="units")) == 1


def test_a_caption_column_that_no_source_has_is_said(photos: Path) -> None:
    events: list[Event] = []
    build_index([str(photos)], Config(workers=0, caption_column=("text", "sidecar")), on_event=events.append)
    warnings = [event.text for event in events if isinstance(event, Notice) and event.level == "warning"]
    assert warnings == ["no source has a column 'text': see --caption-column"]


def test_sources_in_memory_are_scanned_here(tmp_path: Path) -> None:
    files = {f"{number}.tar": tar([("x.jpg", image())]) for number in range(3)}
    assert build_index([put(f"memory://index/{tmp_path.name}", files)], Config(workers=2)).rows == 3


def test_a_sample_of_units_is_spread_over_all(tmp_path: Path) -> None:
    root = put(tmp_path, {f"{number}.tar": tar([(f"{number}.jpg", image())]) for number in range(8)})
    index, _ = scans([root], Config(workers=0, sample_units=3))
    assert index.columns("image_id")["image_id"].to_pylist() == ["1.tar/1", "4.tar/4", "6.tar/6"]
    assert index.units_listed == (8,)


@pytest.mark.parametrize(
    ("files", "config", "message"),
    [
        ({"0.tar": tar([("a.txt", b"t")])}, ONE, "source 'd' holds no images: found 1 .txt. Is the path right"),
        (
            {"0.tar": b"<html>login</html>", "1.tar.gz": b"", "2.tar": b"a", "3.tar": b"b"},
            ONE,
            "^source 'd' holds no images: found nothing else. 0.tar is no tar: it has 18 bytes, fewer than the 512 of "
            "a tar's header; fetch it again. 1.tar.gz is no tar: it has 0 bytes, .* again. 2.tar .* .and 1 more.$",
        ),
        ({"a.txt": b""}, Config(workers=0, source_type="folder"), "source 'd' holds no images: found 1 .txt"),
        ({"a.jpg": image(), "a.json": b'{"n": 1}'}, Config(workers=0, id_column="id"), "no metadata 'id' .* it has: n"),
    ],
)
def test_a_source_without_what_is_needed_stops(
    tmp_path: Path, files: dict[str, bytes], config: Config, message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        build_index([put(tmp_path / "d", files)], config)


def test_the_cache_lies_where_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder(Config(cache_dir=str(tmp_path))) == tmp_path
    monkeypatch.setenv("HFBUCKET_CACHE", str(tmp_path / "env"))
    assert cache_folder(ONE) == tmp_path / "env"
    monkeypatch.delenv("HFBUCKET_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(ONE) == tmp_path / "xdg" / "hfbucket"


def test_a_cache_that_cannot_be_written_is_named(photos: Path, tmp_path: Path) -> None:
    put(tmp_path, {"file": b""})
    with pytest.raises(BuildError, match=r"the index cache cannot be written: .*HFBUCKET_CACHE names another folder"):
        build_index([str(photos)], Config(workers=0, cache_dir=str(tmp_path / "file")))


def test_a_cache_at_a_store_that_refuses_is_a_matter_of_keys(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(place: Remote, *_: object) -> None:
        raise PermissionError(errno.EACCES, "Forbidden", str(place))

    monkeypatch.setattr(stage, "write_unit", refuse)
    with pytest.raises(BuildError) as caught:
        build_index([str(photos)], Config(workers=0, cache_dir="memory://bucket/cache"))
    assert str(caught.value).startswith(
        "the index cache cannot be written: [Errno 13] Forbidden: 'memory://bucket/cache/"
    )
    assert str(caught.value).endswith("; every machine that runs tasks needs keys that may write there")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_listed_is_named(photos: Path) -> None:
    (photos / "closed").mkdir(mode=0)
    with pytest.raises(SourceError, match=r"cannot be looked at: .*closed"):
        build_index([str(photos)], ONE)


def _dying(scan: object) -> str:
    os._exit(9)


def test_a_unit_that_ends_its_worker_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "scan_one", _dying)
    root = put(tmp_path, {f"{number}.tar": tar([("a.jpg", image())]) for number in range(2)})
    with pytest.raises(SourceError, match=r"\.tar: could not be scanned: a worker ended with exit code 9"):
        build_index([root], Config(workers=2))


def test_all_hard_images_end_in_rows(shared_data: Path) -> None:
    index = build_index([str(shared_data / "hard")], ONE)
    assert index.rows == sum(1 for _ in (shared_data / "hard").iterdir()) - sum(index.facts(0).ignored.values())
    outcomes = set(index.columns("outcome")["outcome"].to_pylist())
    assert outcomes <= {None, "decode_errors", "skipped_too_large", "unsupported_format"}
