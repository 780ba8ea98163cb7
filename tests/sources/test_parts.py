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


@pytest.mark.parametrize(("name", "mode"), [("m.tar", "w"), ("m.tar.gz", "w:gz")])
@pytest.mark.parametrize("place", ["local", "memory"])
def test_a_missing_last_part_is_refused_wherever_the_cut_is(tmp_path: Path, name: str, mode: str, place: str) -> None:
    data = draw_tar(tmp_path / "w" / name, 3, mode=mode).read_bytes()
    end = data.rindex(b"0002.txt") + 1024 if mode == "w" else len(data) - 1  # without its end mark; one byte short
    for size in (700, 1024, 3000, end // 2, end):
        root = str(tmp_path / f"{size}") if place == "local" else f"memory://lost/{tmp_path.name}/{size}"
        put(root, {f"{name}.aa": data[:600], f"{name}.ab": data[600:size]})
        with pytest.raises(
            SourceError, match=rf"^{name}: a part is missing after {name}\.ab: .*Put all parts into one"
        ):
            build_index([root], ONE)
        with pytest.raises(SourceError, match=rf"^{name}: a part is missing after {name}\.ab: "):
            build([root], tmp_path / "out", Config(base=(128, 64), workers=0))


def test_what_was_lost_is_told(tmp_path: Path) -> None:
    folder = cut(draw_tar(tmp_path / "w" / "m.tar", 3), tmp_path / "d", 5000)
    others = sorted(folder.iterdir())[:2]
    for path in {*folder.iterdir()} - {*others}:
        path.unlink()
    with pytest.raises(SourceError) as told:
        build_index([str(folder)], ONE)
    assert str(told.value) == (
        "m.tar: a part is missing after m.tar.01: ends inside member 0002.jpg. Put all parts into one folder and name "
        "that; if there are no more, join them with cat: of the one file all that is whole is read"
    )
    joined = tmp_path / "joined.tar"
    joined.write_bytes(b"".join(part.read_bytes() for part in others))
    assert build_index([str(joined)], ONE).rows == 3


def test_parts_of_a_damaged_archive_are_not_said_to_be_missing(tmp_path: Path) -> None:
    data = bytearray(draw_tar(tmp_path / "w" / "m.tar.gz", 3, mode="w:gz").read_bytes())
    data[-6] ^= 0xFF  # its checksum
    put(tmp_path / "d", {"m.tar.gz.00": bytes(data[:900]), "m.tar.gz.01": bytes(data[900:])})
    found = build_index([str(tmp_path / "d")], ONE)
    assert found.rows == 3
    assert "m.tar.gz its gzip stream is damaged: CRC check failed" in " ".join(found.facts(0).notes)


@pytest.mark.parametrize("place", ["local", "memory"])
def test_a_part_that_is_named_stands_for_its_archive(tmp_path: Path, place: str) -> None:
    folder = cut(draw_tar(tmp_path / "w" / "m.tar.gz", 5, mode="w:gz"), tmp_path / "d", 4000)
    root = str(folder)
    if place == "memory":
        root = put(f"memory://named/{tmp_path.name}", {path.name: path.read_bytes() for path in folder.iterdir()})
    put(root, {"m.tar.gz.txt": b"notes", "n.tar.gz.01": b"of another", "m.tar": b"another"})
    for name in ("m.tar.gz.00", "m.tar.gz.01"):
        found = build_index([f"{root}/{name}"], ONE)
        assert [unit.unit.name for unit in found.units] == ["m.tar.gz"]
        assert found.columns("image_id")["image_id"].to_pylist() == [f"m.tar.gz/{number:04}" for number in range(5)]


def test_one_part_between_others_is_not_enough(tmp_path: Path) -> None:
    folder = cut(draw_tar(tmp_path / "w" / "m.tar.gz", 5, mode="w:gz"), tmp_path / "d", 2000)
    (folder / "m.tar.gz.01").unlink()
    with pytest.raises(SourceError, match=r"m\.tar\.gz: a part is missing: after \.00 comes \.02"):
        build_index([str(folder / "m.tar.gz.00")], ONE)
    with pytest.raises(SourceError, match=r"m\.tar\.gz: a part is missing after m\.tar\.gz\.00: "):
        build_index([str(folder / "*.00")], ONE)


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar.txt"])
def test_what_is_named_like_a_part_is_read_alone(tmp_path: Path, name: str) -> None:
    packed = draw_tar(tmp_path / "x.tar.gz", 2, mode="w:gz").rename(tmp_path / name)
    put(tmp_path, {"x.tar.md": b"notes"})
    assert build_index([f"s={packed}"], Config(workers=0, source_type="tars")).rows == 2


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
