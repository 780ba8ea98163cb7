from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket.config import Config
from hfbucket.core.units import SourceKind, SourceSpec, UnitFacts
from hfbucket.errors import SourceError
from hfbucket.sources import SOURCES, Listing, contents, folder
from tests.sources.drawn import image, put

FOLDER = SOURCES["folder"]


def listed(root: str, config: Config | None = None) -> Listing:
    return FOLDER.list_units(SourceSpec(name="x", url=root, kind="folder"), 0, config or Config())


def scan(root: str | Path, config: Config | None = None) -> tuple[pa.Table, UnitFacts]:
    listing = listed(str(root), config)
    scans = [FOLDER.scan_unit(unit, config or Config()) for unit in listing.units]
    return pa.concat_tables([rows.read() for rows, _ in scans]), sum((facts for _, facts in scans), start=listing.facts)


def by_id(table: pa.Table, column: str) -> dict[str, Any]:
    return dict(zip(table["image_id"].to_pylist(), table[column].to_pylist(), strict=True))


def test_captions_and_metadata_lie_beside_images_at_any_depth(tmp_path: Path) -> None:
    files = {
        "a.jpg": image(), "a.txt": b" a caption \n", "d/e/b.c.PNG": image(9, 9, "PNG"), "d/e/b.c.caption": b"deep",
        "d/e/b.c.json": b'{"score": 0.5, "text": "from json"}', "no.webp": image(kind="WEBP"), "two.jpg": image(),
        "two.txt": b"wins", "two.caption": b"loses", "readme.md": b"", "notes.txt": b"no image", ".DS_Store": b"",
        "._a.jpg": b"mac", ".cache/x.jpg": image(),
    }  # fmt: skip
    table, facts = scan(put(tmp_path, files))
    assert by_id(table, "captions") == {
        "a.jpg": [None, None, "a caption"],
        "d/e/b.c.PNG": [None, "from json", "deep"],
        "no.webp": [None, None, None],
        "two.jpg": [None, None, "wins"],
    }
    assert by_id(table, "meta")["d/e/b.c.PNG"] == '{"score":0.5}'
    assert by_id(table, "path")["d/e/b.c.PNG"] == b"d/e/b.c.PNG"
    assert facts.ignored == {"": 2, "caption": 1, "jpg": 1, "md": 1, "txt": 1}
    assert facts.sidecars == {"caption": 1, "json": 1, "txt": 2}
    assert facts.meta_keys == ("score", "text")


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_metadata_files_name_images_below_them(tmp_path: Path, kind: str) -> None:
    texts = ['one, "two"\nthree', "007"]
    table = pa.table({"file_name": ["b/x.jpg", "y.jpg"], "text": texts, "n": [1, None], "s": ["a", "b"]})
    name = f"a/metadata.{kind}"
    put(tmp_path, {"a/b/x.jpg": image(), "a/y.jpg": image(), "z.jpg": image()})
    if kind == "jsonl":
        (tmp_path / name).write_text("\n".join(json.dumps(row) for row in table.to_pylist()) + "\n\n")
    elif kind == "csv":
        (tmp_path / name).write_text('file_name,text,n,s\nb/x.jpg,"one, ""two""\nthree",1,a\ny.jpg,007,,b\n')
    else:
        pq.write_table(table, tmp_path / name)
    found, facts = scan(tmp_path)
    assert by_id(found, "captions") == {
        "a/b/x.jpg": [None, 'one, "two"\nthree', None],
        "a/y.jpg": [None, "007", None],
        "z.jpg": [None, None, None],
    }
    assert by_id(found, "meta") == {"a/b/x.jpg": '{"n":1,"s":"a"}', "a/y.jpg": '{"n":null,"s":"b"}', "z.jpg": "{}"}
    assert facts.sidecars == {"metadata": 2}
    assert facts.ignored == {}


def test_the_nearest_metadata_file_wins(tmp_path: Path) -> None:
    files = {"a/x.jpg": image(), "metadata.jsonl": b'{"file_name": "a/x.jpg", "text": "far"}',
             "a/metadata.csv": b"file_name,text\nx.jpg,near\n"}  # fmt: skip
    assert by_id(scan(put(tmp_path, files))[0], "captions") == {"a/x.jpg": [None, "near", None]}


def test_two_metadata_files_of_one_folder_may_not_name_one_image(tmp_path: Path) -> None:
    files = {"x.jpg": image(), "metadata.jsonl": b'{"file_name": "x.jpg"}', "metadata.csv": b"file_name\nx.jpg\n"}
    with pytest.raises(SourceError, match=r"metadata.csv and metadata.jsonl both name x.jpg"):
        scan(put(tmp_path, files))


def test_rows_without_their_image_are_source_errors(tmp_path: Path) -> None:
    lines = b'{"file_name": "x.jpg"}\n{"file_name": "gone.jpg", "text": "t"}\n{"file_name": "../up.jpg"}\n'
    lines += b'{"file_name": "x.jpg"}\n{"n": 1}'
    table, facts = scan(put(tmp_path, {"x.jpg": image(), "metadata.jsonl": lines}))
    assert by_id(table, "outcome") == {"gone.jpg": "source_errors", "x.jpg": None}
    assert by_id(table, "detail")["gone.jpg"] == "there is no such file"
    assert facts.notes == (
        "metadata.jsonl: 1 rows have no file_name, such as row 5: not used",
        "metadata.jsonl: 1 rows name a file that an earlier one names, such as x.jpg: not used",
        "metadata.jsonl: 1 rows name files that are not below the source, such as ../up.jpg: not used",
    )


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("metadata.jsonl", b'{"file_name": "x.jpg"}\n{oops', "jsonl: line 2 must be a JSON object, got '{oops'"),
        ("metadata.csv", b"file_name\nx.jpg,more\n", "csv: a row has more cells than the first line has names"),
        ("metadata.parquet", b"PAR1", "metadata.parquet: cannot be read as Parquet"),
    ],
)
def test_broken_metadata_stops_with_its_place(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        scan(put(tmp_path, {"x.jpg": image(), name: data}))


def test_metadata_for_something_else_is_left_and_said(tmp_path: Path) -> None:
    _, facts = scan(put(tmp_path, {"x.jpg": image(), "metadata.csv": b"image,caption\nx.jpg,c\n"}))
    assert facts.notes == ("metadata.csv has no file_name in its first row (it has image, caption): not used",)


def test_text_that_is_no_utf8_is_repaired_and_counted(tmp_path: Path) -> None:
    files = {"x.jpg": image(), "y.jpg": image(), "y.txt": b"\xff\xfe"}
    files["metadata.csv"] = b"file_name,text\nx.jpg,caf\xe9\n"
    table, _ = scan(put(tmp_path, files))
    assert by_id(table, "captions") == {"x.jpg": [None, "caf\ufffd", None], "y.jpg": [None, None, ""]}
    assert by_id(table, "caption_repaired") == {"x.jpg": True, "y.jpg": True}


def test_img2dataset_files_output_is_understood(tmp_path: Path) -> None:
    meta = b'{"caption": "c", "key": "000000000", "exif": "{}", "status": "success"}'
    pq.write_table(pa.table({"url": ["u"], "key": ["000000000"]}), tmp_path / "00000.parquet")
    files = {"00000/000000000.jpg": image(), "00000/000000000.json": meta, "00000/000000000.txt": b"c",
             "00000_stats.json": b"{}", "other.json": b"{}"}  # fmt: skip
    table, facts = scan(put(tmp_path, files))
    assert by_id(table, "captions") == {"00000/000000000.jpg": ["c", None, "c"]}
    assert facts.ignored == {"json": 1}
    assert facts.sidecars == {"img2dataset records": 2, "json": 1, "txt": 1}
    assert facts.notes == ()


def test_globs_and_single_files_take_what_lies_beside(tmp_path: Path) -> None:
    files = {"d/a.jpg": image(), "d/a.txt": b"a", "d/b.png": image(kind="PNG"), "e/c.jpg": image(), "z.jpg": image(),
             "metadata.jsonl": b'{"file_name": "d/a.jpg", "text": "row"}\n{"file_name": "q.jpg"}'}  # fmt: skip
    root = put(tmp_path, files)
    assert by_id(scan(f"{root}/*/*.jpg")[0], "captions") == {"d/a.jpg": [None, "row", "a"], "e/c.jpg": [None] * 3}
    assert by_id(scan(f"{root}/d*")[0], "captions")["d/b.png"] == [None] * 3
    (tmp_path / "d" / "gone.jpg").symlink_to("nothing")
    assert by_id(scan(f"{root}/d/g*.jpg")[0], "outcome") == {"gone.jpg": "source_errors"}
    assert by_id(scan(f"{root}/d/a.jpg")[0], "captions") == {"a.jpg": [None, None, "a"]}


def test_hidden_files_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    root = put(
        tmp_path, {".a.jpg": image(), "a.jpg": image(), "metadata.jsonl": b'{"file_name": ".a.jpg", "text": "a"}'}
    )
    for url in (f"{root}/.a.jpg", f"{root}/.*.jpg"):
        assert by_id(scan(url)[0], "captions") == {".a.jpg": [None, "a", None]}
        assert scan(url)[1].ignored == {}


def test_file_names_of_any_bytes_are_looked_for(tmp_path: Path) -> None:
    lines = b'{"file_name": "caf\xe9.jpg"}\n{"file_name": "\\ud83d.jpg"}\n{"file_name": "a\\u0000b"}'
    table, _ = scan(put(tmp_path, {"metadata.jsonl": lines, "x.jpg": image()}))
    assert by_id(table, "outcome") == {
        "a\0b": "source_errors",
        "caf%E9.jpg": "source_errors",
        "x.jpg": None,
        "%ED%A0%BD.jpg": "source_errors",
    }


def test_broken_links_and_unreadable_files_are_source_errors(tmp_path: Path) -> None:
    put(tmp_path, {"a.jpg": image(), "e.jpg": b""})
    (tmp_path / "l.jpg").symlink_to(tmp_path / "nothing.jpg")
    (tmp_path / "ok.jpg").symlink_to(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    table, facts = scan(tmp_path)
    outcomes = {"a.jpg": None, "e.jpg": "decode_errors", "l.jpg": "source_errors", "ok.jpg": None}
    assert by_id(table, "outcome") == outcomes
    assert facts.ignored_members == 1


@pytest.mark.parametrize("place", ["local", "memory"])
@pytest.mark.parametrize("kind", ["folder", "tars", "parquet"])
def test_hidden_names_are_counted_and_left_out(tmp_path: Path, place: str, kind: SourceKind) -> None:
    root = str(tmp_path / "x") if place == "local" else f"memory://hidden/{tmp_path.name}/{kind}"
    end = {"folder": "jpg", "tars": "tar", "parquet": "parquet"}[kind]
    hidden = [f".a.{end}", f"d/._b.{end}", ".DS_Store", *(f"d/.git/{number}.{end}" for number in range(5))]
    put(root, {f"a.{end}": b"", f"d/b.{end}": b"", **dict.fromkeys(hidden, b"")})
    for url in (root, f"{root}/*", f"{root}/d"):
        listing = SOURCES[kind].list_units(SourceSpec(name="x", url=url, kind=kind), 0, Config())
        below_root = {"": 1, end: 1} if url == root else {}
        in_d = {"": 1, end: 1}
        assert listing.facts.ignored == {key: in_d[key] + below_root.get(key, 0) for key in in_d}
        assert listing.facts.ignored_members == 0
        assert sum(len(unit.entries) or 1 for unit in listing.units) == (1 if url.endswith("/d") else 2)


def test_a_file_that_goes_while_scanning_stops(tmp_path: Path) -> None:
    (unit,) = listed(put(tmp_path, {"a.jpg": image(), "b.jpg": image()})).units
    (tmp_path / "b.jpg").unlink()
    with pytest.raises(SourceError, match=r"b\.jpg: is gone since the folder was listed"):
        FOLDER.scan_unit(unit, Config())


def test_a_sidecar_that_goes_or_is_huge_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_SIDECAR_LIMIT_BYTES", 5)
    files = {"a.jpg": image(), "a.txt": b"123456", "b.jpg": image(), "b.json": b"{...}"}
    table, facts = scan(put(tmp_path, files))
    assert by_id(table, "captions") == {"a.jpg": [None] * 3, "b.jpg": [None] * 3}
    assert facts.notes == (
        "a.txt cannot be read: has 6 bytes, more than 5; its image goes without",
        "b.json is no JSON object: not used",
    )


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    try:
        for end in (b"jpg", b"txt"):
            with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9." + end), "wb") as file:
                file.write(image() if end == b"jpg" else b"coffee")
    except OSError:
        pytest.skip("this file system refuses names that are no UTF-8")
    put(tmp_path, {"日本 #1?*[.jpg": image()})
    (unit,) = listed(str(tmp_path)).units
    table = FOLDER.scan_unit(unit, Config())[0].read()
    assert by_id(table, "captions") == {"caf%E9.jpg": [None, None, "coffee"], "日本 #1?*[.jpg": [None] * 3}
    assert list(FOLDER.read_rows(unit, table, Config())) == [(0, image()), (1, image())]


def test_one_file_more_changes_one_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "SLICE_FILES", 8)
    root = put(tmp_path, {f"{number:03}.jpg": b"" for number in range(100)})
    before = listed(root).units
    put(tmp_path, {"050a.jpg": b""})
    after = listed(root).units
    assert len(before) > 5
    assert sum(len(unit.entries) for unit in after) == 101
    assert len({unit.version for unit in before} - {unit.version for unit in after}) == 1
    assert [unit.name for unit in after] == sorted(unit.name for unit in after)


def test_a_version_follows_sidecars_and_metadata(tmp_path: Path) -> None:
    def version() -> str:
        return listed(str(tmp_path)).units[0].version

    put(tmp_path, {"a.jpg": image()})
    seen = {version()}
    for files in ({"a.txt": b"1"}, {"a.txt": b"22"}, {"metadata.jsonl": b'{"file_name": "a.jpg"}'},
                  {"metadata.jsonl": b'{"file_name": "a.jpg", "n": 1}'}, {"a.json": b"{}"}):  # fmt: skip
        put(tmp_path, files)
        assert version() not in seen
        seen.add(version())


def test_rows_do_not_depend_on_place_or_order(tmp_path: Path) -> None:
    names = ["b.jpg", "a.jpg", "a/c.jpg", "ä.jpg", "Z.jpg"]
    one = scan(put(tmp_path / "one", dict.fromkeys(names, image())))[0]
    two = scan(put(tmp_path / "two", dict.fromkeys(reversed(names), image())))[0]
    far = scan(put(f"memory://folder/{tmp_path.name}", dict.fromkeys(names, image())))[0]
    assert one["image_id"].to_pylist() == ["Z.jpg", "a.jpg", "a/c.jpg", "b.jpg", "ä.jpg"]
    assert one.drop(["mtime_ns"]).equals(two.drop(["mtime_ns"]))
    assert one.drop(["mtime_ns"]).equals(far.drop(["mtime_ns"]))


def test_remote_images_are_read_and_versioned(tmp_path: Path) -> None:
    root = put(f"memory://remote/{tmp_path.name}", {"a.jpg": image(), "a.txt": b"t"})
    (unit,) = listed(root).units
    assert list(FOLDER.read_rows(unit, FOLDER.scan_unit(unit, Config())[0].read(), Config())) == [(0, image())]
    with fsspec.open(f"{root}/a.txt", "wb") as file:
        file.write(b"u")
    assert listed(root).units[0].version != unit.version
    assert replace(listed(root).units[0], version=unit.version).entries == unit.entries


@pytest.mark.parametrize(
    ("name", "images", "captions", "ignored"),
    [
        ("photos/imagenet", 200, 200, {}),
        ("photos/dreambooth", 20, 20, {}),
        ("photos/coco", 80, 0, {"json": 1}),
        ("photos/wallpapers", 10, 0, {"": 1}),
    ],
)
def test_folders_of_photos(shared_data: Path, name: str, images: int, captions: int, ignored: dict[str, int]) -> None:
    table, facts = scan(shared_data / name)
    assert table["outcome"].null_count == images == table.num_rows
    assert sum(any(found) for found in table["captions"].to_pylist()) == captions
    assert facts.ignored == ignored
