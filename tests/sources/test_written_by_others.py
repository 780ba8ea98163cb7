"""What stock tools write is read as it comes."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from hfbucket.config import Config
from hfbucket.io.index_files import Index
from hfbucket.stages.index import build_index
from tests.sources.drawn import image, put


def index(path: Path) -> Index:
    return build_index([str(path)], Config(workers=0))


def test_parquet_of_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    pictures = [{"bytes": image(40, 20), "path": "a.jpg"}, {"bytes": image(8, 9, "PNG"), "path": None}]
    made = datasets.Dataset.from_dict({"image": pictures, "text": ["one", "two"]})
    made = made.cast_column("image", datasets.Image())
    made = made.add_column("label", [1, 0])
    made.to_parquet(str(tmp_path / "out" / "train-00000-of-00001.parquet"))
    table = index(tmp_path / "out").columns("image_id", "format", "width", "captions", "meta")
    name = "train-00000-of-00001.parquet"
    assert table.to_pylist() == [
        {
            "image_id": f"{name}/0",
            "format": "jpeg",
            "width": 40,
            "captions": [None, "one", None],
            "meta": '{"label":1}',
        },
        {"image_id": f"{name}/1", "format": "png", "width": 8, "captions": [None, "two", None], "meta": '{"label":0}'},
    ]


@pytest.mark.parametrize("name", ["0.tar", "0.tar.gz"])
def test_tars_of_webdataset(tmp_path: Path, name: str) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / name)) as writer:
        for key, side in (("a/x.1", 30), ("b", 20)):
            picture = Image.open(io.BytesIO(image(side, 10)))
            writer.write({"__key__": key, "jpg": picture, "txt": f"caption of {key}", "json": {"n": side}, "cls": 3})
    table = index(tmp_path / name).columns("image_id", "width", "captions", "meta")
    assert table["width"].to_pylist() == [30, 20]
    assert table["meta"].to_pylist() == ['{"cls":3,"n":30}', '{"cls":3,"n":20}']
    assert table["captions"].to_pylist() == [[None, None, "caption of a/x.1"], [None, None, "caption of b"]]
    assert table["image_id"].to_pylist() == [f"{name}/a/x.1", f"{name}/b"]


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar")
@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax", "posix", "ustar", "v7"])
def test_tars_of_gnu_tar(tmp_path: Path, form: str) -> None:
    long = "folder/" * (20 if form in ("gnu", "oldgnu", "pax", "posix") else 3) + "é.jpg"
    put(tmp_path / "in", {"a.jpg": image(40), "a.txt": b"one", long: image(30)})
    (tmp_path / "in" / "link.jpg").symlink_to("a.jpg")
    names = ["./a.jpg", "./a.txt", "./link.jpg", f"./{long}"]
    command = ["tar", f"--format={form}", "-cf", "../0.tar", *names]
    subprocess.run(command, cwd=tmp_path / "in", check=True)
    found = index(tmp_path / "0.tar")
    assert found.columns("image_id")["image_id"].to_pylist() == ["0.tar/a", f"0.tar/{long.removesuffix('.jpg')}"]
    assert found.columns("captions")["captions"].to_pylist() == [[None, None, "one"], [None, None, None]]
    assert found.facts(0).ignored_members == 1


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar")
@pytest.mark.parametrize("form", ["oldgnu", "gnu", "posix"])
def test_sparse_members_are_stepped_over(tmp_path: Path, form: str) -> None:
    put(tmp_path / "in", {"b.jpg": image(40)})
    with open(tmp_path / "in" / "a.jpg", "wb") as holes:
        for number in range(12):
            holes.seek(number * 1_000_000)
            holes.write(b"x" * 5000)
    subprocess.run(
        ["tar", "--sparse", f"--format={form}", "-cf", "../0.tar", "a.jpg", "b.jpg"], cwd=tmp_path / "in", check=True
    )
    found = index(tmp_path / "0.tar")
    assert "0.tar/b" in found.columns("image_id")["image_id"].to_pylist()
    assert found.columns("outcome")["outcome"].to_pylist()[-1] is None
    if (tmp_path / "0.tar").stat().st_size < 10_000_000:  # else the file system kept no holes
        assert found.rows == 1
        assert found.facts(0).ignored_members == 1
