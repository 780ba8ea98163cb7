"""Archives that were split are read as the one they are of."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hfbucket.config import Config
from hfbucket.errors import SourceError
from hfbucket.io.manifest_file import read_manifest
from hfbucket.sources.detect import resolve
from hfbucket.sources.parts import split_archives
from hfbucket.stages.index import build_index
from hfbucket.stages.verify.run import verify
from hfbucket.stages.write.build import build
from tests.sources.drawn import image, put, tar
from tests.stages.pictures import draw_tar, tree

ONE = Config(workers=0)


def parts(*suffixes: str, whole: str = "d/x.tar.gz") -> dict[bytes, tuple[bytes, ...]]:
    return split_archives(f"{whole}.{suffix}".encode() for suffix in suffixes)


@pytest.mark.parametrize(
    ("suffixes", "order"),
    [
        (["10", "9", "2", "3", "4", "5", "6", "7", "8", "1", "0"], [str(number) for number in range(11)]),
        (["01", "02", "00"], ["00", "01", "02"]),
        (["002", "001"], ["001", "002"]),
        (["ab", "aa", "ac"], ["aa", "ab", "ac"]),
        (["aaa", "aab"], ["aaa", "aab"]),
        (["AA", "AB"], ["AA", "AB"]),
    ],
)
def test_parts_follow_their_suffixes(suffixes: list[str], order: list[str]) -> None:
    assert parts(*suffixes) == {b"d/x.tar.gz": tuple(f"d/x.tar.gz.{suffix}".encode() for suffix in order)}


def test_letters_and_digits_go_on_as_split_has_them() -> None:
    letters = [f"{a}{b}" for a in "abcdefghijklmnopqrstuvwxy" for b in "abcdefghijklmnopqrstuvwxyz"]
    assert len(parts(*letters, "zaaa", "zaab")[b"d/x.tar.gz"]) == len(letters) + 2
    digits = [f"{number:02}" for number in range(90)]
    assert len(parts(*digits, "9000", "9001")[b"d/x.tar.gz"]) == 92


@pytest.mark.parametrize(
    ("suffixes", "message"),
    [
        (["00", "02"], r"d/x\.tar\.gz: a part is missing: after \.00 comes \.02"),
        (["02", "03"], r"its first part is missing: the first there is \.02"),
        (["aa", "ac"], r"after \.aa comes \.ac"),
        (["ab", "ac"], r"the first there is \.ab"),
        (["aa", "00"], r"has parts with numbers and with letters, \.00 and \.aa"),
        (["1", "01"], r"a part is missing: after \.1 comes \.01"),
    ],
)
def test_gaps_are_refused(suffixes: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        parts(*suffixes)


@pytest.mark.parametrize("suffixes", [["txt"], ["md", "txt"], ["json"], ["sha256"], []])
def test_extensions_are_no_parts(suffixes: list[str]) -> None:
    assert parts(*suffixes) == {}
    assert split_archives([b"x.tar", b"x.tar.gz", b"a.jpg.00"]) == {}


def cut(path: Path, folder: Path, size: int, suffixes: str = "dd") -> Path:
    """Split a file as `split` does and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    data = path.read_bytes()
    for number in range(-(-len(data) // size)):
        suffix = f"{number:02}" if suffixes == "dd" else f"a{chr(ord('a') + number)}"
        (folder / f"{path.name}.{suffix}").write_bytes(data[number * size : (number + 1) * size])
    return folder


@pytest.mark.parametrize(("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz"), ("x.tgz", "w:gz")])
@pytest.mark.parametrize("suffixes", ["dd", "letters"])
def test_a_build_from_parts_is_one_from_the_whole(tmp_path: Path, name: str, mode: str, suffixes: str) -> None:
    whole = draw_tar(tmp_path / "whole" / name, 10, mode=mode)
    folder = cut(whole, tmp_path / "parts", whole.stat().st_size // 6, suffixes)
    config = Config(base=(128, 64), workers=0)
    build([f"s={whole.parent}"], tmp_path / "out", config)
    for number, source in enumerate((folder, folder / f"{name}.*")):
        made = build([f"s={source}"], tmp_path / f"joined-{number}", config)
        assert tree(tmp_path / f"joined-{number}") == tree(tmp_path / "out")
        assert made.content_sha256 == read_manifest(tmp_path / "out").content_sha256
        assert not verify(tmp_path / f"joined-{number}").problems


def test_parts_lie_beside_other_tars(tmp_path: Path) -> None:
    whole = draw_tar(tmp_path / "w" / "m.tar", 3)
    folder = cut(whole, tmp_path / "d", 4000)
    put(folder, {"a.tar": tar([("x.jpg", image())]), "z.tar": tar([("y.jpg", image())]), "z.tar.txt": b"notes"})
    assert resolve(str(folder), ONE).kind == "tars"
    found = build_index([str(folder)], ONE)
    assert [unit.unit.name for unit in found.units] == ["a.tar", "m.tar", "z.tar"]
    assert found.columns("image_id")["image_id"].to_pylist()[1] == "m.tar/0000"
    assert found.facts(0).ignored == {"txt": 1}


def test_a_changed_part_is_scanned_anew(tmp_path: Path) -> None:
    folder = cut(draw_tar(tmp_path / "w" / "m.tar", 3), tmp_path / "d", 4000)
    before = build_index([str(folder)], ONE).units[0].file
    last = sorted(folder.iterdir())[-1]
    last.write_bytes(last.read_bytes() + bytes(512))
    assert build_index([str(folder)], ONE).units[0].file != before


def test_whole_and_parts_together_are_refused(tmp_path: Path) -> None:
    whole = draw_tar(tmp_path / "d" / "m.tar", 3)
    cut(whole, tmp_path / "d", 4000)
    with pytest.raises(SourceError, match=r"m\.tar: lies there whole and in \d+ parts: keep one of both"):
        build_index([str(tmp_path / "d")], ONE)


def test_a_lost_last_part_is_told(tmp_path: Path) -> None:
    folder = cut(draw_tar(tmp_path / "w" / "m.tar.gz", 8, mode="w:gz"), tmp_path / "d", 4000)
    sorted(folder.iterdir())[-1].unlink()
    found = build_index([str(folder)], ONE)
    assert 0 < found.rows < 8
    assert any("gzip stream is damaged" in note or "ends inside" in note for note in found.facts(0).notes)


def test_remote_parts_are_copied_once(tmp_path: Path) -> None:
    folder = cut(draw_tar(tmp_path / "w" / "m.tar.gz", 5, mode="w:gz"), tmp_path / "d", 4000)
    base = put(f"memory://parts/{tmp_path.name}", {path.name: path.read_bytes() for path in folder.iterdir()})
    config = Config(base=(128, 64), workers=0)
    build([f"s={folder}"], tmp_path / "here", config)
    build([f"s={base}"], tmp_path / "there", config)
    assert tree(tmp_path / "there") == tree(tmp_path / "here")


@pytest.mark.skipif(shutil.which("split") is None, reason="needs split")
def test_what_split_writes(tmp_path: Path) -> None:
    whole = draw_tar(tmp_path / "m.tar.gz", 10, mode="w:gz")
    (tmp_path / "d").mkdir()
    subprocess.run(["split", "-b", "3000", str(whole), str(tmp_path / "d" / "m.tar.gz.")], check=True)
    assert build_index([str(tmp_path / "d")], ONE).rows == 10
