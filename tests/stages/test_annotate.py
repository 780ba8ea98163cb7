"""Annotation files beside folders, tars and Parquet files, in the shapes that others write."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket.config import DEFAULT_VARIANTS, Config
from hfbucket.core.events import Event, Notice
from hfbucket.errors import SourceError
from hfbucket.io.index_files import Index
from hfbucket.sources.annotations import table as annotation_table
from hfbucket.stages.index import index_of
from hfbucket.stages.survey import Survey, survey
from hfbucket.stages.verify.run import verify
from hfbucket.stages.write.build import build
from tests.sources.drawn import image, put, tar
from tests.stages.pictures import picture

ONE = Config(workers=0)
SIX = {f"{number}.jpg": image(10 + number) for number in range(6)}


def looked(source: Path | str, config: Config = ONE) -> tuple[Index, Survey, list[str]]:
    """Return index, survey, and what was told."""
    events: list[Event] = []
    found = survey([str(source)], config, on_event=events.append)
    index = index_of(found, on_event=events.append)
    return index, found, [event.text for event in events if isinstance(event, Notice)]


def rows(index: Index) -> dict[str, tuple[list[str | None], Any]]:
    """Return captions and metadata by image_id."""
    table = index.columns("image_id", "captions", "meta").to_pylist()
    return {row["image_id"]: (row["captions"], json.loads(row["meta"])) for row in table}


def dumps(value: object) -> bytes:
    return json.dumps(value).encode()


def csv_of(lines: list[list[str]], delimiter: str = ",") -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows(lines)
    return out.getvalue().encode()


def parquet_of(columns: Mapping[str, list[Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), out)
    return out.getvalue()


RECORDS = [{"path": f"{number}.jpg", "caption": f"cat {number}", "score": number} for number in range(6)]
SINGLE = {
    "list.json": dumps(RECORDS),
    "annotations.json": dumps({"info": {"v": 1}, "annotations": RECORDS}),
    "lines.jsonl": b"\n".join(map(dumps, RECORDS)),
    "lines.json": b"\n".join(map(dumps, RECORDS)),
    "table.csv": csv_of([["path", "caption", "score"], *([str(v) for v in record.values()] for record in RECORDS)]),
    "table.tsv": csv_of([["path", "caption", "score"], *([str(v) for v in r.values()] for r in RECORDS)], "\t"),
    "table.parquet": parquet_of({key: [record[key] for record in RECORDS] for key in RECORDS[0]}),
}


@pytest.mark.parametrize("name", SINGLE)
def test_every_kind_of_file_says_the_same(tmp_path: Path, name: str) -> None:
    root = put(tmp_path / "d", SIX | {name: SINGLE[name]})
    index, found, told = looked(root)
    assert rows(index)["3.jpg"] == (["cat 3", None, None], {"score": 3})
    assert found.config == ONE
    assert f"{name}: annotations of 6 of 6 images, found beside them" in told
    assert index.facts(0).ignored == {}
    assert index.facts(0).kept_keys == ("score",)
    apart = put(tmp_path / "apart", SIX)
    there, _, told = looked(apart, Config(workers=0, annotations=(str(tmp_path / "d" / name),)))
    assert rows(there) == rows(index)
    assert there.source_sha256(0) == index.source_sha256(0)
    assert f"{name}: annotations of 6 of 6 images" in told


COCO = {
    "info": {"year": 2017},
    "images": [{"id": n, "file_name": f"{n}.jpg", "license": n % 2, "gps_lat": 1.5} for n in range(5)],
    "annotations": [
        {"id": 100 + at, "image_id": n, "caption": f"{n} said {at} "} for at in range(3) for n in range(4 - at)
    ],
}  # fmt: skip


@pytest.mark.parametrize("reverse", [False, True])
def test_several_captions_become_variants(tmp_path: Path, reverse: bool) -> None:
    data = dict(reversed(COCO.items())) if reverse else COCO
    index, found, told = looked(put(tmp_path / "d", SIX | {"captions.json": dumps(data), "3.txt": b"own"}))
    assert found.config.caption_column == ("caption_1", "caption_2", "caption_3", "caption", "text", "sidecar")
    got = rows(index)
    assert got["0.jpg"] == (["0 said 0", "0 said 1", "0 said 2", None, None, None], {"id": 0, "license": 0})
    assert got["2.jpg"][0] == ["2 said 0", "2 said 1", None, None, None, None]
    assert got["3.jpg"][0] == ["3 said 0", None, None, None, None, "own"]
    assert got["5.jpg"] == ([None] * 6, {})
    assert "captions.json: annotations of 4 of 6 images, found beside them" in told


def test_named_columns_decide(tmp_path: Path) -> None:
    root = put(tmp_path / "d", SIX | {"captions.json": dumps(COCO)})
    index, found, _ = looked(root, Config(workers=0, caption_column=("caption_2", "caption")))
    assert found.config.caption_column == ("caption_2", "caption")
    assert rows(index)["0.jpg"][0] == ["0 said 1", "0 said 0"]
    records = [{"file_name": "1.jpg", "caption": "short", "raw_caption": "Raw", "tags": ["a"]}]
    root = put(tmp_path / "e", SIX | {"a.json": dumps(records)})
    index, _, told = looked(root, Config(workers=0, caption_column=("raw_caption", "sidecar", "none")))
    assert rows(index)["1.jpg"] == (["Raw", None, None], {"caption": "short", "tags": ["a"]})
    assert "no source has a column 'none': see --caption-column" in told
    assert not any("'raw_caption'" in text for text in told)


REDCAPS = {
    "info": {"version": "1.0"},
    "annotations": [
        {"image_id": f"id{n}", "subreddit": "cats" if n < 3 else "dogs", "url": f"https://i.redd.it/{n}.jpg",
         "caption": f"pet {n}", "raw_caption": f"Pet {n}", "author": "me", "score": n, "latitude": 1.5}
        for n in range(6)
    ],
}  # fmt: skip


def redcaps_tars(folder: Path, suffix: str = "tar") -> Path:
    """Write tars as images by subreddit come, and one file of records; return the folder."""
    for number, name in enumerate(("cats", "dogs")):
        members = [(f"{name}/id{n}.jpg", picture(n)) for n in range(3 * number, 3 * number + 3)]
        put(folder, {f"{name}.{suffix}": tar(members, mode="w:gz" if suffix != "tar" else "w")})
    put(folder, {"redcaps_data.json": dumps(REDCAPS)})
    return folder


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_redcaps_tars_build(tmp_path: Path, suffix: str) -> None:
    config = Config(base=(128, 64), workers=0)
    manifest = build([str(redcaps_tars(tmp_path / "redcaps", suffix))], tmp_path / "out", config)
    assert (manifest.summary["images_seen"], manifest.summary["images_exported"]) == (6, 5)
    assert not verify(tmp_path / "out").problems
    samples = pq.read_table(tmp_path / "out" / "samples" / "part-00000.parquet").to_pylist()
    by_id = {sample["image_id"]: sample for sample in samples}
    one = by_id[f"cats.{suffix}/cats/id1"]
    assert (one["caption"], one["caption_variant"]) == ("pet 1", "caption")
    assert json.loads(one["meta"]) == {
        "author": "me", "image_id": "id1", "raw_caption": "Pet 1", "score": 1, "subreddit": "cats",
        "url": "https://i.redd.it/1.jpg",
    }  # fmt: skip


def test_redcaps_images_in_folders_match(tmp_path: Path) -> None:
    files = {f"{'cats' if n < 3 else 'dogs'}/id{n}.jpg": image() for n in range(6)}
    index, _, _ = looked(put(tmp_path / "images", files | {"x_data.json": dumps(REDCAPS)}))
    assert rows(index)["dogs/id4.jpg"][0] == ["pet 4", None, None]


def test_parquet_rows_match_by_key_not_by_number(tmp_path: Path) -> None:
    records = [{"image_id": n, "caption": f"by {n}"} for n in range(2)]
    sources: dict[str, dict[str, list[Any]]] = {
        "keyed": {"jpg": [image()] * 2, "key": ["a", "b"]},
        "plain": {"jpg": [image()] * 2},
    }
    for name, columns in sources.items():
        root = put(tmp_path / name, {"0.parquet": parquet_of(columns), "a.json": dumps(records)})
        _, _, told = looked(root)
        assert any("a.json: looks like annotations, but names none of the 2 images" in text for text in told)
    keyed = [{"key": "b", "caption": "it is b"}]
    index, _, _ = looked(put(tmp_path / "keyed", {"a.json": dumps(keyed)}))
    assert [captions for captions, _ in rows(index).values()] == [[None, None, None], ["it is b", None, None]]


def test_own_captions_and_metadata_stay_below(tmp_path: Path) -> None:
    own = {"1.json": b'{"a": 1, "score": 0, "caption": "own"}', "1.txt": b"beside", "0.txt": b"zero"}
    root = put(tmp_path / "d", SIX | own | {"notes.csv": csv_of([["image", "text", "score"], ["1.jpg", "new", "7"]])})
    index, _, _ = looked(root)
    assert rows(index)["1.jpg"] == (["new", None, "beside"], {"a": 1, "score": 7})
    assert rows(index)["0.jpg"] == ([None, None, "zero"], {})


def test_only_units_with_a_changed_annotation_change(tmp_path: Path) -> None:
    files = {f"{number}.tar": tar([(f"{number}.jpg", image())]) for number in range(3)}
    root = put(tmp_path / "d", files | {"a.json": dumps(RECORDS[:3])})
    before, _, _ = looked(root)
    put(root, {"a.json": dumps([RECORDS[0], RECORDS[1] | {"caption": "dog"}, RECORDS[2], *RECORDS[3:]])})
    after, _, told = looked(root)
    changed = [one.file != two.file for one, two in zip(before.units, after.units, strict=True)]
    assert changed == [False, True, False]
    assert [one.index_sha256 != two.index_sha256 for one, two in zip(before.units, after.units, strict=True)] == changed
    assert "a.json: 3 of 6 records (3.jpg, 4.jpg, 5.jpg) name no image: not used" in told


def test_the_same_records_give_the_same_index(tmp_path: Path) -> None:
    root = put(tmp_path / "d", SIX | {"a.json": dumps(RECORDS)})
    index, _, _ = looked(root)
    put(root, {"a.json": dumps(list(reversed(RECORDS)))})
    again, _, _ = looked(root)
    assert again.source_sha256(0) == index.source_sha256(0)
    assert [unit.file for unit in again.units] == [unit.file for unit in index.units]


def test_ids_may_come_from_annotations(tmp_path: Path) -> None:
    root = put(tmp_path / "d", SIX | {"a.json": dumps(RECORDS[:5])})
    index, _, _ = looked(f"n={root}", Config(workers=0, id_column="score"))
    table = index.columns("image_id", "outcome", "detail").to_pylist()
    assert [row["image_id"] for row in table] == ["n/0", "n/1", "n/2", "n/3", "n/4", "n/5.jpg"]
    assert [row["outcome"] for row in table] == [None] * 5 + ["source_errors"]
    assert table[5]["detail"] == "its metadata has no id in 'score': None"


def test_records_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    records = [
        "text", {"caption": "no name"}, {"path": "0.jpg", "caption": 5}, {"path": "1.jpg", "caption": " "},
        {"path": "2.jpg", "captions": ["a", None, "b\0"]}, {"path": "sub/3.jpg", "caption": "x"},
        {"path": "other/3.jpg", "caption": "y"}, {"path": "9.jpg"},
    ]  # fmt: skip
    root = put(tmp_path / "d", SIX)
    put(tmp_path, {"a.json": dumps(records)})
    index, _, told = looked(root, Config(workers=0, annotations=(str(tmp_path / "a.json"),)))
    assert told[:4] == [
        "a.json: 1 records are no objects: not used",
        "a.json: 1 records have a blank caption: not used",
        "a.json: 1 records have a caption that is no text: not used",
        "a.json: 1 records name no image: not used",
    ]
    text = "2 of 6 records (sub/3.jpg, other/3.jpg) could mean several images, or ones that others name: not used"
    assert f"a.json: {text}" in told
    assert "a.json: 1 of 6 records (9.jpg) name no image: not used" in told
    assert rows(index)["2.jpg"][0][:3] == ["a", None, "b"]
    assert index.columns("caption_repaired")["caption_repaired"].to_pylist() == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]
    assert rows(index)["3.jpg"][0][0] is None


def test_text_that_is_no_utf8_is_repaired(tmp_path: Path) -> None:
    root = put(tmp_path / "d", SIX | {"a.csv": b"image,caption\n0.jpg,caf\xe9\n\xff.jpg,odd\n"})
    index, _, told = looked(root)
    assert rows(index)["0.jpg"][0][0] == "caf\ufffd"
    assert any("(%FF.jpg) name no image" in text for text in told)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json", b"", "a.json: is empty: a record for every image was expected"),
        ("a.json", b"[{]", r"a\.json: line 1 is no JSON: "),
        ("a.json", b"[]", r"a\.json: none of its 0 records names an image"),
        ("a.json", b'[{"caption": "x"}]', "none of its 1 records names an image; a.json: 1 records name no image"),
        ("a.csv", b"x,y\n1,2\n", r"a\.csv: its first line has no column that names images \(it has: x, y\)"),
        ("a.csv", b"image,caption\n0.jpg,one, two\n", "a.csv: line 2 has 3 cells, the first line 2"),
        ("a.csv", b'image,caption\n0.jpg,"one\n', r"a\.csv: after line 1: cannot be read as CSV"),
        ("a.parquet", b"PAR1 no", "a.parquet: cannot be read as Parquet"),
        ("a.json", b"\x1f\x8b\x08\0", "a.json: is gzipped, which is not read: unpack it first"),
        ("a.json", dumps([{"path": "zz.jpg", "caption": "x"}]),
         r"a\.json: names none of the 6 images: it has 'zz.jpg', an image is '0.jpg'. Is it of this source\?"),
        ("a.json", dumps({"images": COCO["images"], "annotations": [{"image_id": 77, "caption": "x"}]}),
         "none of its 6 records names an image; a.json: 1 annotations have an image_id that no image has"),
        ("a.csv", b"image,caption\n" + b"0.jpg,x\n" * 65, "0.jpg has 65 captions, more than 64"),
    ],
)  # fmt: skip
def test_a_named_file_that_is_of_no_use_stops(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    root = put(tmp_path / "d", SIX)
    put(tmp_path, {name: data})
    with pytest.raises(SourceError, match=message):
        looked(root, Config(workers=0, annotations=(str(tmp_path / name),)))


def test_a_named_file_that_is_not_there_stops(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.json: no such file"):
        looked(put(tmp_path / "d", SIX), Config(workers=0, annotations=(str(tmp_path / "none.json"),)))


def test_too_many_records_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotation_table, "MOST_RECORDS", 5)
    with pytest.raises(SourceError, match="has more than 5 records"):
        looked(put(tmp_path / "d", SIX | {"a.json": dumps(RECORDS)}))


def test_two_files_that_could_be_meant_stop(tmp_path: Path) -> None:
    root = put(tmp_path / "d", SIX | {"a.json": dumps(RECORDS), "sub/b.csv": SINGLE["table.csv"]})
    with pytest.raises(SourceError, match=r"has 2 files with captions, a\.json and b\.csv: choose with --annotations"):
        looked(root)
    named = tuple(f"{root}/{name}" for name in ("a.json", "sub/b.csv"))
    index, found, _ = looked(root, Config(workers=0, annotations=named))
    assert found.config.caption_column[:2] == ("caption_1", "caption_2")
    assert rows(index)["1.jpg"] == (["cat 1", "cat 1", None, None, None], {"score": 1})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b'{"version": 3}'), ("a.json", b"[1, 2]"), ("a.txt", b"just words"), ("a.csv", b"x,y\n1,2\n"),
        ("a.csv", b""), ("a.json", dumps([{"path": "0.jpg", "score": 1}])),
        ("0.json", dumps(RECORDS[0])), ("a.json", b"{"), ("gone.json", dumps(RECORDS[0])),
    ],
)  # fmt: skip
def test_other_files_stay_ignored(tmp_path: Path, name: str, data: bytes) -> None:
    index, found, _ = looked(put(tmp_path / "d", SIX | {name: data}))
    assert (found.annotations, index.rows) == ((), 6)


def test_what_fits_no_image_is_told_and_own_captions_stay(tmp_path: Path) -> None:
    records = {"images": [{"id": 1, "file_name": "zz.jpg"}], "annotations": [{"image_id": 1, "caption": "x"}] * 2}
    root = put(tmp_path / "d", SIX | {f"{n}.txt": b"own" for n in range(6)} | {"captions.json": dumps(records)})
    index, found, told = looked(root)
    text = "captions.json: looks like annotations, but names none of the 6 images: it has 'zz.jpg', an image is '0.jpg'"
    assert f"{text}: not used" in told
    assert found.config.caption_column == ("caption_1", "caption_2", "caption", "text", "sidecar")
    assert {captions[4] for captions, _ in rows(index).values()} == {"own"}


def test_the_missing_caption_error_names_ignored_files(tmp_path: Path) -> None:
    root = put(tmp_path / "d" / "images", SIX | {"captions.txt": b"0.jpg: a cat", "notes.md": b""})
    with pytest.raises(SourceError, match=r"that were ignored: captions\.txt: give a file .* with --annotations FILE"):
        build([root], tmp_path / "out", ONE)
    put(tmp_path / "d", {"all.csv": SINGLE["table.csv"]})
    with pytest.raises(SourceError, match=r"all\.csv looks like annotations: give a file"):
        build([root], tmp_path / "out", ONE)


def test_a_glob_and_one_file_have_the_annotations_of_their_folder(tmp_path: Path) -> None:
    root = put(tmp_path / "d", SIX | {"a.json": dumps(RECORDS)})
    assert rows(looked(f"{root}/[12].jpg")[0])["2.jpg"][0][0] == "cat 2"
    assert rows(looked(f"{root}/1.jpg")[0])["1.jpg"][0][0] == "cat 1"
    tars = put(tmp_path / "t", {"0.tar": tar([("1.jpg", image())]), "a.json": dumps(RECORDS)})
    assert rows(looked(f"{tars}/*.tar")[0])["0.tar/1"][0][0] == "cat 1"


def test_sources_have_annotations_of_their_own(tmp_path: Path) -> None:
    first = put(tmp_path / "a", SIX | {"a.json": dumps(RECORDS)})
    second = put(tmp_path / "b", SIX | {"0.txt": b"own"})
    found = survey([f"a={first}", f"b={second}"], ONE)
    got = rows(index_of(found))
    assert got["a/0.jpg"][0] == ["cat 0", None, None]
    assert got["b/0.jpg"][0] == [None, None, "own"]
    named = Config(workers=0, annotations=(f"{first}/a.json",))
    with pytest.raises(SourceError, match=r"names none of the 12 images: .*; 6 of its names could mean several images"):
        index_of(survey([f"a={first}", f"b={second}"], named))
    put(tmp_path, {"c.json": dumps([{"path": "b/0.jpg", "caption": "second"}])})
    named = Config(workers=0, annotations=(str(tmp_path / "c.json"),))
    assert rows(index_of(survey([f"a={first}", f"b={second}"], named)))["b/0.jpg"][0][0] == "second"


def test_annotations_at_a_url(tmp_path: Path) -> None:
    base = put(f"memory://annotate/{tmp_path.name}", SIX | {"a.csv": SINGLE["table.csv"]})
    assert rows(looked(base)[0])["5.jpg"] == (["cat 5", None, None], {"score": 5})


def test_a_coco_folder_builds_again_from_what_is_recorded(tmp_path: Path) -> None:
    files = {f"{n}.jpg": picture(n) for n in range(5)} | {"captions.json": dumps(COCO)}
    config = Config(base=(128, 64), workers=0, missing_caption="drop")
    source = put(tmp_path / "coco", files)
    first = build([source], tmp_path / "out", config)
    assert first.summary["images_exported"] + first.summary["skipped_too_small"] == 4
    assert first.settings["caption_column"] == ["caption_1", "caption_2", "caption_3", "caption", "text", "sidecar"]
    assert not verify(tmp_path / "out").problems
    assert build([source], tmp_path / "out", config) == first
    named = Config(base=(128, 64), workers=0, missing_caption="drop", annotations=(f"{source}/captions.json",))
    assert build([source], tmp_path / "named", named).content_sha256 == first.content_sha256


@pytest.mark.parametrize(("name", "images"), [("coco", 80), ("flickr8k", 1000)])
def test_public_sets_build_as_they_lie(shared_data: Path, tmp_path: Path, name: str, images: int) -> None:
    if name == "flickr8k":  # a part is enough here
        images = 40
        shutil.copy(shared_data / "photos" / name / "captions.txt", tmp_path)
        for path in sorted((shared_data / "photos" / name / "images").iterdir())[:images]:
            put(tmp_path / "images", {path.name: path.read_bytes()})
    source = tmp_path if name == "flickr8k" else shared_data / "photos" / name
    out = tmp_path.parent / f"{tmp_path.name}-out"
    manifest = build([str(source)], out, Config(base=(64,), workers=0))
    assert manifest.summary["images_exported"] == manifest.summary["images_seen"] == images
    assert manifest.settings["caption_column"][:5] == [f"caption_{number}" for number in range(1, 6)]
    assert not verify(out).problems


@pytest.mark.parametrize("folder", ["img2dataset_webdataset", "img2dataset_parquet"])
def test_img2dataset_output_builds_as_it_lies(shared_data: Path, tmp_path: Path, folder: str) -> None:
    config = Config(base=(64,), workers=0, max_failure_ratio=Fraction(1))
    manifest = build([str(shared_data / "wds" / folder)], tmp_path / "out", config)
    assert manifest.summary["images_exported"] > 0
    assert not verify(tmp_path / "out").problems


def test_one_caption_more_costs_no_second_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = put(tmp_path / "d", SIX | {"0.txt": b"own"})
    looked(root)
    monkeypatch.setattr("hfbucket.stages.index.scan_one", None)
    for captions in (["a", "b"], ["a", "b", "c"]):
        put(root, {"a.json": dumps([{"file_name": "1.jpg", "captions": captions}])})
        index, found, _ = looked(root)
        assert found.config.variants == (*(f"caption_{n}" for n in range(1, len(captions) + 1)), *DEFAULT_VARIANTS)
        assert rows(index)["1.jpg"][0] == [*captions, None, None, None]
        assert rows(index)["0.jpg"][0] == [None] * len(captions) + [None, None, "own"]


def test_another_source_has_the_same_variants(tmp_path: Path) -> None:
    first = put(tmp_path / "a", SIX | {"a.json": dumps([{"file_name": "1.jpg", "captions": ["x", "y"]}])})
    second = put(tmp_path / "b", SIX | {"0.txt": b"own"})
    got = rows(index_of(survey([f"a={first}", f"b={second}"], ONE)))
    assert got["a/1.jpg"][0] == ["x", "y", None, None, None]
    assert got["b/0.jpg"][0] == [None, None, None, None, "own"]


def test_annotations_may_be_a_folder_or_a_glob(tmp_path: Path) -> None:
    root = put(tmp_path / "d", SIX)
    named = put(tmp_path / "a", {f"{n}.json": dumps([RECORDS[n]]) for n in range(6)} | {"notes.md": b""})
    for path in (named, f"{named}/[0-9].json"):
        index, _, told = looked(root, Config(workers=0, annotations=(path,)))
        assert rows(index)["4.jpg"] == (["cat 4", None, None], {"score": 4})
        assert "6 files like 0.json: annotations of 6 of 6 images" in told
    with pytest.raises(SourceError, match=r"no file is there that may be annotations \(json, "):
        looked(root, Config(workers=0, annotations=(f"{named}/*.csv",)))
