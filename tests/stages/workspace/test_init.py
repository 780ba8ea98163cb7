from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket.config import Config
from hfbucket.core.events import Event, Notice
from hfbucket.core.keys import digest_of, key_of
from hfbucket.errors import ConfigError, FormatError, SourceError, WorkspaceError
from hfbucket.io.manifest_file import read_manifest, write_manifest
from hfbucket.io.workspace import Workspace
from hfbucket.stages.workspace.init import init
from hfbucket.stages.write.build import build
from tests.factories import make_export
from tests.io.workspace.made import run_sql, write_captions
from tests.stages.pictures import caption, draw_folder, draw_parquet, draw_tar, picture

CONFIG = Config(workers=0)


def rows(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def originals(path: Path) -> dict[str, str]:
    return dict(rows(path, "SELECT image_id, text FROM captions WHERE variant = 'original' ORDER BY image_id"))


def test_images_of_a_folder(tmp_path: Path) -> None:
    draw_folder(tmp_path / "photos", 2)
    (tmp_path / "photos" / "0001.txt").unlink()
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    done = init([str(tmp_path / "photos")], tmp_path / "new" / "w.sqlite", CONFIG)
    assert (done.images, done.images_added, done.images_not_given) == (2, 2, 0)
    assert (done.left_out, done.captions, done.too_long) == ({"decode_errors": 1}, {"original": 1}, 0)
    columns = (
        "image_id, key, width, height, source, kind, path, archive, member, offset, size_bytes, source_sha256, meta"
    )
    assert rows(tmp_path / "new" / "w.sqlite", f"SELECT {columns} FROM images") == [
        (f"{n:04d}.jpg", key_of(digest_of(f"{n:04d}.jpg")), *size, "photos", "file",
         f"{tmp_path}/photos/{n:04d}.jpg", None, f"{n:04d}.jpg", 0, len(picture(n)), None, "{}")
        for n, size in ((0, (200, 150)), (1, (150, 200)))
    ]  # fmt: skip
    assert originals(tmp_path / "new" / "w.sqlite") == {"0000.jpg": caption(0)}


def test_every_kind_says_where_its_bytes_are(tmp_path: Path) -> None:
    draw_tar(tmp_path / "t" / "0.tar", 2)
    draw_tar(tmp_path / "g" / "0.tar.gz", 1, mode="w:gz")
    draw_parquet(tmp_path / "p" / "0.parquet", 2)
    init([str(tmp_path / name) for name in "tgp"], tmp_path / "w.sqlite", CONFIG)
    found = rows(tmp_path / "w.sqlite", "SELECT kind, path, archive, offset, size_bytes FROM images ORDER BY rowid")
    assert [kind for kind, *_ in found] == ["tar", "tar", "packed", "parquet", "parquet"]
    assert {path for _, path, *_ in found} == {f"{tmp_path}/{x}" for x in ("t/0.tar", "g/0.tar.gz", "p/0.parquet")}
    _, path, archive, offset, size = found[1]
    assert Path(path).read_bytes()[offset : offset + size] == picture(1)
    assert archive == "0.tar"


@pytest.mark.skipif(os.name != "posix", reason="names are bytes")
def test_a_path_that_is_no_utf8(tmp_path: Path) -> None:
    draw_folder(tmp_path / "photos", 1)
    raw = os.fsencode(tmp_path / "photos") + b"/\xff.jpg"
    with open(raw, "wb") as file:
        file.write(picture(3))
    init([str(tmp_path / "photos")], tmp_path / "w.sqlite", CONFIG)
    assert rows(tmp_path / "w.sqlite", "SELECT path FROM images WHERE image_id = '%FF.jpg'") == [(raw,)]


def test_named_columns_are_the_sources_own_variants(tmp_path: Path) -> None:
    draw_folder(tmp_path / "photos", 2)
    lines = [{"file_name": f"{n:04d}.jpg", "short": f"s{n}", "long": None if n else "l"} for n in range(2)]
    (tmp_path / "photos" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    config = Config(workers=0, caption_column=("long", "short"))
    done = init([str(tmp_path / "photos")], tmp_path / "w.sqlite", config)
    assert done.captions == {"long": 1, "short": 2}
    with Workspace(tmp_path / "w.sqlite") as workspace:
        assert workspace.variants() == ()
        assert workspace.own_variants() == ("long", "original", "short")


def test_captions_of_annotation_files_are_the_sources_own(tmp_path: Path) -> None:
    draw_folder(tmp_path / "photos", 2)
    records = [{"image": f"{n:04d}.jpg", "captions": [f"first of {n}", f"second of {n}"]} for n in range(2)]
    (tmp_path / "records.json").write_text(json.dumps(records))
    done = init([str(tmp_path / "photos")], tmp_path / "w.sqlite",
                Config(workers=0, annotations=(str(tmp_path / "records.json"),)))  # fmt: skip
    assert done.captions == {"caption_1": 2, "caption_2": 2, "sidecar": 2}


def test_again_adds_what_is_new_and_loses_no_caption(tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", 3)
    path = tmp_path / "w.sqlite"
    init([str(photos)], path, CONFIG)
    write_captions(path, "mine", {"0000.jpg": "mine of 0", "0002.jpg": "mine of 2"})
    (photos / "0000.txt").write_text("another")
    (photos / "0001.txt").unlink()
    (photos / "0002.jpg").unlink()
    (photos / "0002.txt").unlink()
    draw_folder(photos, 1, start=3)
    done = init([str(photos)], path, CONFIG)
    assert (done.images, done.images_added, done.images_not_given) == (4, 1, 1)
    assert originals(path) == {"0000.jpg": "another", "0002.jpg": caption(2), "0003.jpg": caption(3)}
    assert rows(path, "SELECT image_id, text FROM captions WHERE variant = 'mine'") == [
        ("0000.jpg", "mine of 0"),
        ("0002.jpg", "mine of 2"),
    ]


def test_again_changes_nothing_where_nothing_changed(tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", 3)
    path = tmp_path / "w.sqlite"
    init([str(photos)], path, CONFIG)
    tables = "SELECT * FROM images", "SELECT * FROM captions", "SELECT * FROM variants"
    before = [rows(path, sql) for sql in tables]
    init([str(photos)], path, CONFIG)
    assert [rows(path, sql) for sql in tables] == before


def test_a_name_that_captions_have_cannot_become_the_sources_own(tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", 1)
    path = tmp_path / "w.sqlite"
    init([str(photos)], path, CONFIG)
    write_captions(path, "short", {"0000.jpg": "mine"})
    with pytest.raises(WorkspaceError, match=r"has captions of a variant 'short', which is now to be the source's own"):
        init([str(photos)], path, Config(workers=0, caption_column=("short",)))
    run_sql(path, "UPDATE captions SET variant = 'mine' WHERE variant = 'short'")
    init([str(photos)], path, Config(workers=0, caption_column=("short",)))


def test_two_images_of_one_id(tmp_path: Path) -> None:
    sources = [str(draw_folder(tmp_path / name, 2)) for name in "ab"]
    with pytest.raises(SourceError, match=r"two inputs have the image_id '0000.jpg'"):
        init(sources, tmp_path / "w.sqlite", CONFIG)
    assert not (tmp_path / "w.sqlite").exists()
    done = init(sources, tmp_path / "w.sqlite", Config(workers=0, duplicate_ids="first"))
    assert (done.images, done.images_not_given) == (2, 0)
    assert rows(tmp_path / "w.sqlite", "SELECT DISTINCT source FROM images") == [("a",)]


def test_a_caption_that_is_too_long_is_told(tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", 2)
    (photos / "0000.txt").write_text("x" * 10_000_000)
    told: list[Event] = []
    done = init([str(photos)], tmp_path / "w.sqlite", CONFIG, on_event=told.append)
    assert (done.too_long, done.captions) == (1, {"original": 1})
    text = "1 captions have more than 100000 bytes: not in the workspace"
    assert Notice(level="warning", text=text) in told


def test_images_of_an_export(tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", 4)
    (photos / "0002.txt").unlink()
    build([str(photos)], tmp_path / "export", Config(base=(128, 64), workers=0, missing_caption="empty"))
    path = tmp_path / "w.sqlite"
    done = init([str(tmp_path / "export")], path)
    assert (done.images, done.captions) == (4, {"original": 3})
    assert originals(path) == {f"{n:04d}.jpg": caption(n) for n in (0, 1, 3)}
    samples = pq.read_table(tmp_path / "export" / "samples" / "part-00000.parquet").to_pylist()
    for sample in samples:
        columns = "kind, path, archive, offset, size_bytes, source_sha256, key, width, source"
        ((kind, file, archive, offset, size, sha256, key, width, source),) = rows(
            path, f"SELECT {columns} FROM images WHERE image_id = '{sample['image_id']}'"
        )
        assert Path(file).read_bytes()[offset : offset + size].startswith(b"\xff\xd8")
        assert (kind, archive, sha256, key) == ("tar", sample["shard"], sample["source_sha256"], sample["key"])
        assert (width, source) == (sample["source_w"], "photos")


def test_an_export_of_several_variants_brings_them_all(tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", 3)
    path = tmp_path / "w.sqlite"
    init([str(photos)], path, CONFIG)
    run_sql(path, "INSERT INTO caption_sources (id, variant, model) VALUES ('m1', 'mine', 'some/model')")
    write_captions(path, "mine", {"0000.jpg": "mine of 0"})
    config = Config(base=(128, 64), workers=0, captions=str(path), priority=("mine", "original"))
    build([str(photos)], tmp_path / "export", config)
    again = tmp_path / "again.sqlite"
    done = init([str(tmp_path / "export")], again)
    assert done.captions == {"mine": 1, "original": 3}
    with Workspace(path) as first, Workspace(again) as second:
        assert second.variants() == first.variants() == ("mine",)
        assert [source["model"] for source in second.sources()] == ["some/model"]
        ids = pa.array(["0000.jpg", "0001.jpg"])
        texts = pa.concat_tables(first.captions_of(ids, ["mine"]))["captions"]
        assert pa.concat_tables(second.captions_of(ids, ["mine"]))["captions"].equals(texts)


def test_what_a_workspace_has_stays_when_an_export_is_brought(tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", 2)
    path = tmp_path / "w.sqlite"
    init([str(photos)], path, CONFIG)
    write_captions(path, "mine", {"0000.jpg": "first", "0001.jpg": "first"})
    config = Config(base=(128, 64), workers=0, captions=str(path), priority=("mine",))
    build([str(photos)], tmp_path / "export", config)
    run_sql(path, "UPDATE captions SET text = 'second' WHERE image_id = '0000.jpg' AND variant = 'mine'")
    init([str(tmp_path / "export")], path)
    found = rows(path, "SELECT text FROM captions WHERE variant = 'mine'")
    assert found == [("second",), ("first",)]
    assert rows(path, "SELECT count(*) FROM images WHERE source_sha256 IS NOT NULL AND kind = 'tar'") == [(2,)]


def test_an_export_stands_alone_and_needs_its_tables(tmp_path: Path) -> None:
    make_export(tmp_path / "export")
    photos = draw_folder(tmp_path / "photos", 1)
    with pytest.raises(ConfigError, match="is an export, so it must be given alone, got 2 sources"):
        init([str(tmp_path / "export"), str(photos)], tmp_path / "w.sqlite")
    manifest = read_manifest(tmp_path / "export")
    write_manifest(tmp_path / "export", replace(manifest, samples=()))
    with pytest.raises(FormatError, match="names no sample tables"):
        init([str(tmp_path / "export")], tmp_path / "w.sqlite")
    assert not (tmp_path / "w.sqlite").exists()


def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", 1)
    other = tmp_path / "w.sqlite"
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE t (x)")
    before = rows(other, "SELECT sql FROM sqlite_master")
    with pytest.raises(WorkspaceError, match="is an SQLite file of another program; name another file"):
        init([str(photos)], other, CONFIG)
    assert rows(other, "SELECT sql FROM sqlite_master") == before


def make_at_once(folder: str) -> int:
    """Make the workspace of a folder while others do the same."""
    return init([folder], f"{folder}.sqlite", CONFIG).images


def test_several_make_one_at_once(tmp_path: Path) -> None:
    photos = draw_folder(tmp_path / "photos", 3)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(make_at_once, [str(photos)] * 4, chunksize=1) == [3] * 4
    assert len(originals(tmp_path / "photos.sqlite")) == 3


def test_images_none_of_which_can_be_opened(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    done = init([str(tmp_path / "photos")], tmp_path / "w.sqlite", CONFIG)
    assert (done.images, done.left_out, done.captions) == (0, {"decode_errors": 1}, {})
