from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket.config import Config
from hfbucket.errors import SourceError
from hfbucket.sources.detect import resolve
from tests.sources.drawn import image, put, tar


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path, {"photos/d/a.jpg": image(), "photos/notes.npy": b"", "tars/0.tar": tar([]), "tars/0_stats.json": b"",
                   "gz/a.tgz": b"", "gz/b.tar.gz": b"", "mixed/a.jpg": image(), "mixed/a.tar": tar([]),
                   "dots/.a.jpg": image(), "dots/.b/a.jpg": image(),
                   "text/a.md": b"", "text/LICENSE": b"", "odd [1]/a.jpg": image(), "a=b/c.jpg": image()})  # fmt: skip
    (tmp_path / "tables").mkdir()
    (tmp_path / "urls").mkdir()
    pq.write_table(pa.table({"image": [{"bytes": image(), "path": None}]}), tmp_path / "tables" / "0.parquet")
    pq.write_table(pa.table({"url": ["u"]}), tmp_path / "urls" / "0.parquet")
    pq.write_table(pa.table({"url": ["u"]}), tmp_path / "tars" / "0.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        ("photos", "folder", "photos"), ("photos/", "folder", "photos"), ("photos/d/a.jpg", "folder", "a.jpg"),
        ("photos/*/*.jpg", "folder", "photos"), ("tars", "tars", "tars"), ("tars/*.tar", "tars", "tars"),
        ("tars/0.tar", "tars", "0.tar"), ("gz", "tars", "gz"), ("tables", "parquet", "tables"),
        ("tables/0.parquet", "parquet", "0.parquet"), ("odd [1]", "folder", "odd [1]"), ("a=b", "folder", "a=b"),
    ],
)  # fmt: skip
def test_kinds_are_seen_by_looking(root: Path, path: str, kind: str, name: str) -> None:
    spec = resolve(f"{root}/{path}", Config())
    assert (spec.kind, spec.name, spec.prefix) == (kind, name, "")


def test_a_given_name_goes_before_ids(root: Path) -> None:
    spec = resolve(f"mine={root}/photos", Config())
    assert (spec.name, spec.prefix, spec.url) == ("mine", "mine/", f"{root}/photos")


def test_relative_paths_become_absolute(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert resolve("photos", Config()).url == str(root / "photos")
    assert resolve("p=tars/*.tar", Config()).url == str(root / "tars/*.tar")
    assert resolve("a=b", Config()).prefix == ""
    monkeypatch.chdir(root / "photos")
    assert resolve(".", Config()).name == "photos"


def test_other_stores_are_seen_alike(tmp_path: Path) -> None:
    base = put(f"memory://detect/{tmp_path.name}", {"p/a.jpg": image(), "t/0.tar": tar([])})
    assert resolve(f"{base}/p", Config()).kind == "folder"
    assert resolve(f"x={base}/t/*.tar", Config()).prefix == "x/"
    assert resolve(f"{base}/t/", Config()).name == "t"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mixed", "holds 1 images and 1 tars: say which with --source-type folder or tars"),
        ("text", r"holds no images: found 1 without extension, 1 .md; images .* are read"),
        ("urls", r"holds no images: found 1 .parquet \(no Parquet file has a column of bytes: are these lists of URLs"),
        ("none", "none: no such file or folder"),
        ("*.zip", "matches no file;"),
        ("dots", "matches no file but 2 whose names begin with a dot, which are passed over; images"),
    ],
)
def test_what_is_unclear_stops(root: Path, path: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        resolve(f"{root}/{path}", Config())


def test_a_forced_kind_is_not_looked_for(root: Path) -> None:
    assert resolve(f"{root}/mixed", Config(source_type="tars")).kind == "tars"


def test_a_name_must_be_one(root: Path) -> None:
    with pytest.raises(SourceError, match=r"a name must not be '\.\.'"):
        resolve(f"..={root}/photos", Config())


def test_the_shared_tars_and_tables_are_unclear_together(shared_data: Path) -> None:
    with pytest.raises(SourceError, match="8 tars and 1 Parquet files with bytes"):
        resolve(str(shared_data / "wds"), Config())
