from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hfbucket.config import Config
from hfbucket.core.keys import digest_of
from hfbucket.core.units import SourceSpec, UnitFacts
from hfbucket.errors import SourceError
from hfbucket.sources import SOURCES
from tests.sources.drawn import image, odd, put, tar

TARS = SOURCES["tars"]


def scan(root: str, config: Config | None = None, prefix: str = "") -> tuple[pa.Table, UnitFacts]:
    config = config or Config()
    listing = TARS.list_units(SourceSpec(name="x", url=root, prefix=prefix, kind="tars"), 0, config)
    scans = [TARS.scan_unit(unit, config) for unit in listing.units]
    return pa.concat_tables([rows.read() for rows, _ in scans]), sum((facts for _, facts in scans), start=listing.facts)


def rows(table: pa.Table, *names: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.select(list(names)).to_pylist()
    return found


def test_members_side_by_side_are_one_sample_in_any_order(tmp_path: Path) -> None:
    data = tar(
        [
            ("d/a.b.txt", b"a caption\n"), ("d/a.b.JPG", image(40, 30)), ("d/a.b.json", b'{"url": "u", "score": 1.5}'),
            ("d/a.b.cls", b"17\n"), ("c.png", image(9, 5, "PNG")), ("c.note", b"some words"), ("c.npy", b"\x93\xff"),
        ]
    )  # fmt: skip
    table, facts = scan(put(tmp_path, {"sub/0.tar": data}))
    assert rows(table, "image_id", "archive", "member", "width", "height", "format", "outcome") == [
        {"image_id": "sub/0.tar/d/a.b", "archive": "sub/0.tar", "member": "d/a.b.JPG", "width": 40, "height": 30,
         "format": "jpeg", "outcome": None},
        {"image_id": "sub/0.tar/c", "archive": "sub/0.tar", "member": "c.png", "width": 9, "height": 5,
         "format": "png", "outcome": None},
    ]  # fmt: skip
    assert table["captions"].to_pylist() == [[None, None, "a caption"], [None, None, None]]
    assert table["meta"].to_pylist() == ['{"cls":17,"score":1.5,"url":"u"}', '{"note":"some words"}']
    assert table["digest"].to_pylist()[1] == digest_of("sub/0.tar/c")
    assert facts.ignored == {"npy": 1}
    assert facts.sidecars == {"cls": 1, "json": 1, "note": 1, "txt": 1}
    assert facts.meta_keys == ("cls", "note", "score", "url")


@pytest.mark.parametrize("beside", [[], [("m.json", b'{"url": "u"}')]])
def test_long_captions_do_not_wait_as_values_of_python(
    beside: list[tuple[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [(f"{n:03}.{name}", data) for n in range(300) for name, data in (("jpg", image(8, 8)), ("txt", b"x" * 9))]
    root = put(tmp_path, {"0.tar": tar([*members, ("m.jpg", image(8, 8)), *beside])})
    whole, facts = scan(root)
    monkeypatch.setattr("hfbucket.sources.rows._CHUNK_CHARS", 1000)
    assert scan(root) == (whole, facts)
    assert scan(root)[0]["captions"].num_chunks > whole["captions"].num_chunks


def test_images_are_where_the_index_says(tmp_path: Path) -> None:
    images = [image(10 + number, 8) for number in range(5)]
    data = tar([(f"{number}.jpg", data) for number, data in enumerate(images)])
    for name, packed in (("a.tar", data), ("b.tgz", gzip.compress(data))):
        (tmp_path / name).write_bytes(packed)
        config = Config()
        (unit,) = TARS.list_units(SourceSpec(name="x", url=str(tmp_path / name), kind="tars"), 0, config).units
        table = TARS.scan_unit(unit, config)[0].read()
        assert TARS.random_access(unit) == (name == "a.tar")
        places = zip(table["offset"].to_pylist(), table["size_bytes"].to_pylist(), strict=True)
        assert [data[offset : offset + size] for offset, size in places] == images
        wanted = table.take(pa.array([4, 0, 2]))
        assert list(TARS.read_rows(unit, wanted, config)) == [(1, images[0]), (2, images[2]), (0, images[4])]


def test_links_and_odd_members_are_counted_and_never_followed(tmp_path: Path) -> None:
    data = tar([odd("d", tarfile.DIRTYPE), odd("l.jpg", tarfile.SYMTYPE, "ok.jpg"), ("../up.jpg", image()),
                ("/abs.jpg", image()), ("._ok.jpg", b"mac"), ("ok.jpg", image())])  # fmt: skip
    table, facts = scan(put(tmp_path, {"0.tar": data}))
    assert table["image_id"].to_pylist() == ["0.tar/ok"]
    assert facts.ignored_members == 4
    assert facts.ignored == {"jpg": 1}


@pytest.mark.parametrize("packed", [False, True])
def test_a_cut_tar_gives_what_is_whole_and_names_the_rest(tmp_path: Path, packed: bool) -> None:
    data = tar([("a.jpg", image()), ("a.txt", b"one"), ("b.jpg", image(300, 200))])
    cut = data[: data.index(b"b.jpg") + 512 + 100]
    table, facts = scan(put(tmp_path, {"0.tar": gzip.compress(cut) if packed else cut}))
    assert rows(table, "image_id", "outcome", "detail") == [
        {"image_id": "0.tar/a", "outcome": None, "detail": None},
        {"image_id": "0.tar/b", "outcome": "source_errors", "detail": "the archive ends inside this member"},
    ]
    assert "0.tar ends inside member b.jpg" in facts.notes


def test_sidecars_apart_from_their_image_are_named(tmp_path: Path) -> None:
    data = tar([("a.jpg", image()), ("b.jpg", image()), ("a.txt", b"one"), ("b.txt", b"two")])
    table, facts = scan(put(tmp_path, {"0.tar": data}))
    assert table["captions"].to_pylist() == [[None, None, None]] * 2
    assert facts.ignored == {"txt": 2}
    assert any("sidecars of 2 images that do not lie beside them, such as a" in note for note in facts.notes)


def test_two_images_of_one_sample_have_two_ids(tmp_path: Path) -> None:
    data = tar([("a.jpg", image()), ("a.png", image(kind="PNG")), ("a.txt", b"both")])
    table, _ = scan(put(tmp_path, {"0.tar": data}), prefix="set/")
    assert table["image_id"].to_pylist() == ["set/0.tar/a", "set/0.tar/a.png"]
    assert table["captions"].to_pylist() == [[None, None, "both"]] * 2


def test_bad_sidecars_do_not_cost_the_image(tmp_path: Path) -> None:
    data = tar([("a.jpg", image()), ("a.json", b"[1]"), ("a.txt", b"caf\xe9\0"), ("b.jpg", image()), ("b.json", b"{")])
    table, facts = scan(put(tmp_path, {"0.tar": data}))
    assert table["captions"].to_pylist() == [[None, None, "caf\ufffd"], [None, None, None]]
    assert table["caption_repaired"].to_pylist() == [True, False]
    assert facts.ignored == {"json": 2}


def test_gzipped_sidecars_are_unpacked(tmp_path: Path) -> None:
    data = tar([("a.jpg", image()), ("a.txt.gz", gzip.compress(b"packed")), ("a.json.gz", gzip.compress(b'{"k": 1}'))])
    table, facts = scan(put(tmp_path, {"0.tar": data}))
    assert table["captions"].to_pylist() == [[None, None, "packed"]]
    assert table["meta"].to_pylist() == ['{"k":1}']
    assert facts.ignored == {}


def test_names_that_are_no_utf8_have_ids(tmp_path: Path) -> None:
    data = tar([("cafe.jpg", image())], kind=tarfile.USTAR_FORMAT).replace(b"cafe.jpg", b"caf\xe9.jpg")
    header = bytearray(data[:512])
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    table, _ = scan(put(tmp_path, {"0.tar": bytes(header) + data[512:]}))
    assert rows(table, "image_id", "member") == [{"image_id": "0.tar/caf%E9", "member": "caf%E9.jpg"}]


def test_img2dataset_exif_gives_up_positions(tmp_path: Path) -> None:
    exif = json.dumps({"GPS GPSLatitude": "[51, 30, 0]", "Image Make": "Canon"})
    meta = {"caption": "a dog", "key": "0", "exif": exif, "url": "u"}
    data = tar([("0.jpg", image()), ("0.json", json.dumps(meta).encode()), ("0.txt", b"a dog")])
    root = put(tmp_path, {"0.tar": data})
    table, facts = scan(root)
    assert table["gps"].to_pylist() == [True]
    assert "GPS" not in table["meta"][0].as_py()
    assert "Canon" in table["meta"][0].as_py()
    assert table["captions"].to_pylist() == [["a dog", None, "a dog"]]
    assert facts.meta_keys == ("caption", "exif", "key", "url")
    kept, _ = scan(root, Config(keep_location=True))
    assert "GPSLatitude" in kept["meta"][0].as_py()
    assert kept["gps"].to_pylist() == [True]


def test_ids_come_from_metadata_when_asked(tmp_path: Path) -> None:
    data = tar([("a.jpg", image()), ("a.json", b'{"id": 7}'), ("b.jpg", image()), ("b.json", b'{"id": null}')])
    table, _ = scan(put(tmp_path, {"0.tar": data}), Config(id_column="id"), prefix="n/")
    assert table["image_id"].to_pylist() == ["n/7", "n/0.tar/b"]
    assert table["outcome"].to_pylist() == [None, "source_errors"]
    assert "no id in 'id'" in table["detail"][1].as_py()


def test_bad_images_are_rows_with_an_outcome(tmp_path: Path) -> None:
    data = tar([("a.jpg", b""), ("b.jpg", b"<html>"), ("c.png", image(50, 40, "PNG")), ("d.jpg", image(orientation=6))])
    table, _ = scan(put(tmp_path, {"0.tar": data}), Config(max_pixels=1000))
    assert table["outcome"].to_pylist() == ["decode_errors", "decode_errors", "skipped_too_large", None]
    assert rows(table, "width", "height", "orientation")[3] == {"width": 8, "height": 12, "orientation": 6}


def test_other_stores_give_the_same_rows(tmp_path: Path) -> None:
    files = {"a/0.tar": tar([("x.jpg", image()), ("x.txt", b"t")]), "a/1.tar": tar([("y.jpg", image())])}
    here, _ = scan(put(tmp_path, files))
    there, _ = scan(put(f"memory://tars/{tmp_path.name}", files))
    assert here.drop(["mtime_ns"]).equals(there.drop(["mtime_ns"]))


def test_what_is_no_tar_stops_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"0\.tar: is no tar"):
        scan(put(tmp_path, {"0.tar": b"<html>" * 200}))


@pytest.mark.parametrize(
    ("name", "images", "captions"),
    [("img2dataset_webdataset", 39, 39), ("image1.tar", 4, 0), ("sample.tgz", 90, 0)],
)
def test_tars_of_others_come_as_they_are(shared_data: Path, name: str, images: int, captions: int) -> None:
    table, facts = scan(str(shared_data / "wds" / name))
    assert table.num_rows == images
    assert table["outcome"].null_count == images
    assert sum(caption[2] is not None for caption in table["captions"].to_pylist()) == captions
    assert facts.ignored == {}
