"""Exports and tars as plain files: all of them, none elsewhere, whatever was killed in between."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from hfbucket.config import Config
from hfbucket.core.events import Event, Notice, Progress
from hfbucket.errors import BuildError, ConfigError, SourceError
from hfbucket.stages import unpack as stage
from hfbucket.stages.care import Care
from hfbucket.stages.extract import WORK, extract
from hfbucket.stages.unpack import Unpack, Unpacked
from hfbucket.stages.write.build import build
from tests.limits import no_file_larger_than
from tests.sources.drawn import image, odd, put, tar
from tests.stages.pictures import draw_folder, draw_tar, picture

A, B = picture(0), picture(1, "PNG")


def files(folder: Path) -> dict[str, str]:
    """Return every extracted file with the hash of its bytes."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in found
        if WORK not in path.parts
    }


def out(source: Path | str, folder: Path, **options: object) -> Unpacked:
    return extract(source, folder, workers=0, **options).done  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built")
    build([str(draw_folder(root / "photos", 15))], root / "out",
          Config(base=(128, 64), max_shard_samples=2, workers=0))  # fmt: skip
    return root / "out"


def test_an_export_comes_out_by_bucket(export: Path, tmp_path: Path) -> None:
    done = out(export, tmp_path / "files")
    samples = pq.read_table(export / "samples" / "part-00000.parquet").to_pylist()
    expected = {}
    for sample in samples:
        with open(export / sample["shard"], "rb") as shard:
            for end in ("jpg", "txt", "json"):
                shard.seek(sample[f"{end}_offset"])
                data = shard.read(sample[f"{end}_size"])
                expected[f"{sample['bucket_id']}/{sample['key']}.{end}"] = hashlib.sha256(data).hexdigest()
    assert files(tmp_path / "files") == expected
    assert (done.files, done.renamed, done.notes) == (3 * len(samples), 0, ())
    assert done.size_bytes == sum(path.stat().st_size for path in (tmp_path / "files").glob("r*/*.*"))


def test_tars_have_a_folder_each(tmp_path: Path) -> None:
    source = put(tmp_path / "in", {
        "0.tar": tar([("a.jpg", A), ("a.txt", b"one"), ("sub/b.png", B)]),
        "0.tar.gz": tar([("a.jpg", B)], mode="w:gz"),
        "deep/1.tgz": tar([("./c.json", b"{}")], mode="w:gz"),
        "notes.txt": b"",
    })  # fmt: skip
    whole = draw_tar(tmp_path / "w" / "2.tar.gz", 3, mode="w:gz").read_bytes()
    put(source, {"2.tar.gz.aa": whole[:700], "2.tar.gz.ab": whole[700:]})
    out(source, tmp_path / "files")
    assert list(files(tmp_path / "files")) == [
        "0/a.jpg", "0/a.txt", "0/sub/b.png", "0~2/a.jpg",
        *(f"2/{number:04}.{end}" for number in range(3) for end in ("jpg", "txt")), "deep/1/c.json",
    ]  # fmt: skip
    assert (tmp_path / "files" / "0" / "a.jpg").read_bytes() == A
    assert (tmp_path / "files" / "2" / "0001.jpg").read_bytes() == picture(1)
    out(f"{source}/0.tar", tmp_path / "one")
    assert list(files(tmp_path / "one")) == ["0/a.jpg", "0/a.txt", "0/sub/b.png"]


def test_no_name_leaves_the_folder(tmp_path: Path) -> None:
    members: list[tuple[str | tarfile.TarInfo, bytes]] = [
        ("../out.jpg", A), ("/abs.jpg", A), ("a/../../x.jpg", A), ("ok.jpg", A),
        odd("link.jpg", tarfile.SYMTYPE, "/etc/passwd"), odd("hard.jpg", tarfile.LNKTYPE, "ok.jpg"),
        odd("pipe", tarfile.FIFOTYPE), odd("folder/", tarfile.DIRTYPE), ("..\\win.jpg", A), ("con.txt", b"x"),
        odd("d", tarfile.SYMTYPE, "/tmp"), ("d/inside.txt", b"x"), ("\x01\n.jpg", A), ("ok.jpg", B),
    ]  # fmt: skip
    put(tmp_path / "in", {"0.tar": tar(members)})
    done = out(tmp_path / "in", tmp_path / "files")
    assert (done.files, done.left_out, done.renamed) == (6, 7, 4)
    names = sorted(files(tmp_path / "files"))
    assert [name.partition("~")[0] for name in names] == [
        "0/.._win", "0/__", "0/_con", "0/d/inside.txt", "0/ok.jpg", "0/ok"
    ]  # fmt: skip
    assert {"0/ok.jpg", "0/ok~2.jpg", "0/d/inside.txt"} <= set(names)
    assert not list(tmp_path.glob("*.jpg"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "in"]
    assert not any(path.is_symlink() for path in (tmp_path / "files").rglob("*"))


def test_a_link_in_the_output_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "in", {"0.tar": tar([("sub/a.jpg", A)])})
    put(tmp_path / "elsewhere", {"x": b""})
    (tmp_path / "files" / WORK).mkdir(parents=True)
    out(tmp_path / "in", tmp_path / "files")
    (tmp_path / "again" / WORK).mkdir(parents=True)
    (tmp_path / "again" / WORK / "settings.json").write_text('{"max_short_edge": null}')
    (tmp_path / "again" / "0").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BuildError, match=r"leads out of .* by a link: take the link away"):
        out(tmp_path / "in", tmp_path / "again")
    assert os.listdir(tmp_path / "elsewhere") == ["x"]


def test_images_are_made_smaller(tmp_path: Path) -> None:
    broken = A[: len(A) // 2]
    turned = image(200, 100, orientation=6)
    members = [("big.jpg", A), ("big.txt", b"c"), ("p.png", B), ("small.png", picture(4, "PNG")),
               ("broken.jpg", broken), ("turned.jpg", turned), ("no.jpg", b"text")]  # fmt: skip
    put(tmp_path / "in", {"0.tar": tar(members), "1.tar.gz": tar(members, mode="w:gz")})
    done = out(tmp_path / "in", tmp_path / "files", max_short_edge=90)
    assert (done.files, done.shrunk, done.not_decoded) == (14, 6, 4)
    one = tmp_path / "files" / "0"
    sizes = {}
    for name in ("big.jpg", "p.jpg", "turned.jpg"):
        with Image.open(one / name) as picture_there:
            sizes[name] = picture_there.size
    assert sizes == {"big.jpg": (120, 90), "p.jpg": (90, 120), "turned.jpg": (90, 180)}
    assert (one / "small.png").read_bytes() == picture(4, "PNG")
    assert (one / "broken.jpg").read_bytes() == broken
    assert (one / "no.jpg").read_bytes() == b"text"
    assert files(one) == files(tmp_path / "files" / "1")
    with pytest.raises(BuildError, match="was extracted with max_short_edge 90, not off: choose another folder"):
        out(tmp_path / "in", tmp_path / "files")


def test_what_is_done_stays_done(tmp_path: Path) -> None:
    source = put(tmp_path / "in", {f"{n}.tar": tar([("a.jpg", picture(n))]) for n in range(5)})
    events: list[Event] = []
    first = extract(source, tmp_path / "files", workers=2, end=2)
    assert (first.tars, sorted(files(tmp_path / "files"))) == (2, ["0/a.jpg", "1/a.jpg"])
    kept = (tmp_path / "files" / "0" / "a.jpg").stat().st_mtime_ns
    rest = extract(source, tmp_path / "files", workers=2, start=1, on_event=events.append)
    assert (rest.tars, rest.done.files) == (4, 4)
    assert any("3 of 4 tars to unpack" in event.text and "1 are there already" in event.text
               for event in events if isinstance(event, Notice))  # fmt: skip
    assert [event for event in events if isinstance(event, Progress)][-1].unit == "B"
    assert (tmp_path / "files" / "0" / "a.jpg").stat().st_mtime_ns == kept
    whole = extract(source, tmp_path / "whole", workers=0)
    assert files(tmp_path / "files") == files(tmp_path / "whole")
    assert extract(source, tmp_path / "files", workers=0).done == whole.done
    put(source, {"3.tar": tar([("a.jpg", picture(9)), ("b.txt", b"new")])})
    extract(source, tmp_path / "files", workers=0)
    assert (tmp_path / "files" / "3" / "a.jpg").read_bytes() == picture(9)


def test_a_damaged_tar_gives_what_is_whole(tmp_path: Path) -> None:
    data = tar([("a.jpg", A), ("b.jpg", B)])
    zipped = tar([("a.jpg", A), ("b.jpg", os.urandom(40_000))], mode="w:gz")
    put(tmp_path / "in", {"0.tar": data[: 512 + len(A) + 1024], "1.tar.gz": zipped[: len(zipped) // 2]})
    done = out(tmp_path / "in", tmp_path / "files")
    assert sorted(files(tmp_path / "files")) == ["0/a.jpg", "1/a.jpg"]
    assert done.cut_off == 2
    assert "0.tar ends inside member b.jpg" in done.notes


KILLED = """
import os, sys
from hfbucket.stages.extract import extract
from tests.system_calls import tell_pathlib
count = 0
replace = os.replace
def dying(*names, **options):
    global count
    count += 1
    if count == int(sys.argv[3]):
        os.kill(os.getpid(), 9)
    return replace(*names, **options)
os.replace = dying
tell_pathlib()
extract(sys.argv[1], sys.argv[2], workers=0, max_short_edge=100)
"""


@pytest.mark.parametrize("place", [1, 2, 5, 9, 11])
def test_a_killed_one_goes_on(tmp_path: Path, place: int) -> None:
    source = tmp_path / "in"
    for number in range(2):
        draw_tar(source / f"{number}.tar", 5)
    out(source, tmp_path / "whole", max_short_edge=100)
    command = [sys.executable, "-c", KILLED, str(source), str(tmp_path / "files"), str(place)]
    ended = subprocess.run(command, check=False, capture_output=True, cwd=Path(__file__).parents[2])
    assert ended.returncode == -signal.SIGKILL
    done = out(source, tmp_path / "files", max_short_edge=100)
    assert files(tmp_path / "files") == files(tmp_path / "whole")
    assert done == out(source, tmp_path / "whole", max_short_edge=100)
    assert not [path for path in (tmp_path / "files" / WORK).iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (
            {"0.tar.00": tar([("a.jpg", A)])[: 512 - len(A) // -512 * 512]},
            {},
            "0.tar: a part is missing after 0.tar.00: has no end mark: it may have been cut off. Put all parts into",
        ),
        ({"0.tar": b"x" * 600}, {}, "0.tar: is no tar: its first 512 bytes are no tar header"),
        ({"a.jpg": A}, {}, "holds no images: found 1 .jpg. Is the path right"),
        ({"0.tar": tar([])}, {"start": 1}, "start must be below end and both among the 1 tars, got start 1"),
        ({"0.tar": tar([])}, {"start": 1, "end": 1}, "got start 1 and end 1"),
        ({"0.tar": tar([])}, {"max_short_edge": 0}, "max_short_edge must be at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_stops(
    tmp_path: Path, make: dict[str, bytes], options: dict[str, int], message: str
) -> None:
    put(tmp_path / "in", make)
    with pytest.raises((BuildError, ConfigError, SourceError), match=message):
        out(tmp_path / "in", tmp_path / "files", **options)


def test_other_files_are_not_mixed_with(tmp_path: Path, export: Path) -> None:
    put(tmp_path / "files", {"mine.txt": b""})
    with pytest.raises(BuildError, match="files holds other files: choose an empty folder"):
        out(export, tmp_path / "files")
    with pytest.raises(ConfigError, match=r"the output .* lies in the export"):
        out(export, export / "files")
    with pytest.raises(SourceError, match="no such file or folder"):
        out(tmp_path / "none", tmp_path / "new")


def test_with_care_the_same_comes_out(tmp_path: Path) -> None:
    put(tmp_path / "in", {"0.tar": tar([("a.jpg", A), ("b.jpg", A[:900]), ("c.jpg", B)])})
    task = Unpack(
        name="0.tar", url=str(tmp_path / "in" / "0.tar"), parts=(), last_part="", size_bytes=1, version="1",
        root=tmp_path / "files", folder="0", receipt=tmp_path / "files" / WORK / "0.json",
        begun=tmp_path / "files" / WORK / "0.begun",
        staging=tmp_path / "files" / WORK / "0", max_short_edge=50, max_pixels=10**6, care=Care.CHILD,
    )  # fmt: skip
    assert stage.unpack(task) is None
    done = out(tmp_path / "in", tmp_path / "plain", max_short_edge=50)
    assert stage.read_receipt(task) == done
    assert files(tmp_path / "files") == files(tmp_path / "plain")


def test_tars_at_a_url(tmp_path: Path) -> None:
    base = put(f"memory://extract/{tmp_path.name}", {"0.tar": tar([("a.jpg", A)])})
    out(base, tmp_path / "files")
    assert (tmp_path / "files" / "0" / "a.jpg").read_bytes() == A


def test_large_members_are_copied_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_PIECE_BYTES", 1000)
    data = os.urandom(12_345)
    put(tmp_path / "in", {"0.tar": tar([("a.bin", data)]), "1.tar.gz": tar([("a.bin", data)], mode="w:gz")})
    out(tmp_path / "in", tmp_path / "files")
    assert {(tmp_path / "files" / n / "a.bin").read_bytes() for n in "01"} == {data}


def test_a_shard_that_is_gone_is_named(tmp_path: Path, export: Path) -> None:
    shutil.copytree(export, tmp_path / "copy")
    shard = sorted((tmp_path / "copy").rglob("*.tar"))[0]
    shard.unlink()
    name = shard.relative_to(tmp_path / "copy").as_posix()
    with pytest.raises(BuildError, match=rf"{name}: no such file \(any more\): .*the same command again"):
        out(tmp_path / "copy", tmp_path / "files")


def test_an_export_elsewhere_without_hashes_in_its_manifest(tmp_path: Path, export: Path) -> None:
    base = f"memory://export/{tmp_path.name}"
    files_there = {path.relative_to(export).as_posix(): path.read_bytes() for path in export.rglob("*.tar")}
    manifest = json.loads((export / "manifest.json").read_bytes())
    for entry in manifest["buckets"].values():
        entry["shards"] = [shard["file"] for shard in entry["shards"]]
    put(base, files_there | {"manifest.json": json.dumps(manifest).encode()})
    out(base, tmp_path / "there")
    out(export, tmp_path / "here")
    assert files(tmp_path / "there") == files(tmp_path / "here")


def test_a_full_disk_names_the_file(tmp_path: Path, export: Path) -> None:
    words = rf"takes no file of that size: {tmp_path}/files/.*\.jpg; what is done stays done"
    with no_file_larger_than(300), pytest.raises(BuildError, match=words):
        extract(export, tmp_path / "files", workers=0)
