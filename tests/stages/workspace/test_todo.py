from __future__ import annotations

import json
import multiprocessing
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hfbucket.cli.main import main
from hfbucket.config import Config
from hfbucket.errors import ConfigError, SourceError, WorkspaceError
from hfbucket.io.workspace import todo as pages
from hfbucket.stages.workspace.init import init
from hfbucket.stages.workspace.todo import Image, todo
from tests.io.workspace.made import make_workspace, run_sql, write_captions
from tests.stages.pictures import draw_folder, draw_parquet, draw_tar, picture

IDS = [f"{number:03d}.jpg" for number in range(40)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "w.sqlite", IDS)


def ids(images: Iterator[Image]) -> list[str]:
    return [image.image_id for image in images]


def test_any_caption_counts_as_done_unless_asked_again(path: Path) -> None:
    for number, status in enumerate(("ok", "refused", "error", "empty")):
        write_captions(path, "v", {IDS[number]: "x"}, status)
    write_captions(path, "w", {IDS[9]: "x"})
    assert ids(todo(path, "v")) == IDS[4:]
    assert ids(todo(path, "v", retry=["error"])) == [IDS[2], *IDS[4:]]
    assert ids(todo(path, "v", retry=["error", "refused", "empty"], limit=4)) == [*IDS[1:5]]
    assert ids(todo(path, "new")) == IDS


def test_pages_do_not_show(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_PAGE", 7)
    write_captions(path, "v", {name: "x" for name in IDS[3:20]})
    assert ids(todo(path, "v")) == IDS[:3] + IDS[20:]
    assert ids(todo(path, "v", limit=15)) == IDS[:3] + IDS[20:32]
    assert ids(todo(path, "v", limit=0)) == []


def test_what_is_written_meanwhile_is_left_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_PAGE", 10)
    images = todo(path, "v")
    first = [next(images).image_id for _ in range(10)]
    write_captions(path, "v", {name: "x" for name in IDS[5:35]})
    assert first + ids(images) == IDS[:10] + IDS[35:]


def test_shards_are_parts_of_the_whole(path: Path) -> None:
    parts = [ids(todo(path, "v", shard=(number, 3))) for number in (1, 2, 3)]
    assert sorted(name for part in parts for name in part) == IDS
    assert all(5 <= len(part) <= 25 for part in parts)
    keys = {image.image_id: image.key for image in todo(path, "v")}
    assert parts[0] == [name for name in IDS if int(keys[name][:12], 16) % 3 == 0]


def test_arguments_are_checked_at_once(path: Path) -> None:
    with pytest.raises(ConfigError, match="shard must be i of n with 1 <= i <= n, got 0 of 2"):
        todo(path, "v", shard=(0, 2))
    with pytest.raises(ConfigError, match="retry must be of refused, error, empty, got 'ok'"):
        todo(path, "v", retry=["ok"])
    with pytest.raises(ConfigError, match="limit must be at least 0, got -1"):
        todo(path, "v", limit=-1)
    with pytest.raises(WorkspaceError, match="no such caption workspace"):
        ids(todo(path.with_name("none.sqlite"), "v"))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    draw_folder(tmp_path / "f", 3)
    draw_tar(tmp_path / "t" / "0.tar", 3)
    draw_tar(tmp_path / "g" / "0.tar.gz", 4, mode="w:gz")
    draw_parquet(tmp_path / "p" / "0.parquet", 4)
    whole = draw_tar(tmp_path / "whole.tar", 3).read_bytes()
    (tmp_path / "s").mkdir()
    for number in range(3):
        start, stop = (len(whole) * edge // 3 for edge in (number, number + 1))
        (tmp_path / "s" / f"x.tar.{number:02d}").write_bytes(whole[start:stop])
    init([f"{name}={tmp_path / name}" for name in "ftgps"], tmp_path / "all.sqlite", Config(workers=0))
    return tmp_path / "all.sqlite"


def test_bytes_of_every_kind_of_source(sources: Path) -> None:
    images = list(todo(sources, "v"))
    assert len(images) == 17
    assert {image.kind for image in images} == {"file", "tar", "packed", "parquet"}
    expected = [picture(int(image.image_id.rpartition("/")[2].removesuffix(".jpg"))) for image in images]
    assert [image.read() for image in images] == expected
    assert [image.read() for image in reversed(images)] == expected[::-1]
    assert images[4].read() == images[4].read() == expected[4]


def test_bytes_that_are_gone(sources: Path) -> None:
    images = list(todo(sources, "v"))
    Path(images[0].path).unlink()
    with pytest.raises(SourceError, match=r"f/0000.jpg: cannot be read from .*/f/0000.jpg: .*No such file"):
        images[0].read()
    tar = next(image for image in images if image.kind == "tar")
    Path(tar.path).write_bytes(Path(tar.path).read_bytes()[:700])
    with pytest.raises(SourceError, match=r"it has 188 of 2279 bytes there; run `hfbucket workspace init` again"):
        tar.read()


def write_some(path: str, variant: str, part: int) -> None:
    """Caption every image of a part, one transaction each, as a captioner of its own would."""
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for image in todo(path, variant, shard=(part, 2)):
            with connection:
                connection.execute(
                    "INSERT INTO captions (image_id, variant, status, text) VALUES (?, ?, 'ok', ?)",
                    (image.image_id, variant, f"{variant} {image.image_id} by {part}"),
                )


def test_two_write_while_a_third_asks_what_is_to_do(tmp_path: Path) -> None:
    names = [f"{number:04d}.jpg" for number in range(600)]
    path = make_workspace(tmp_path / "w.sqlite", names)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_some, args=(str(path), "v", part)) for part in (1, 2)]
    for writer in writers:
        writer.start()
    left = []
    while any(writer.is_alive() for writer in writers):
        found = ids(todo(path, "v"))
        assert found == sorted(found)
        left.append(len(found))
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert left == sorted(left, reverse=True), "what is done once stays done"
    assert ids(todo(path, "v")) == []
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT image_id, text FROM captions ORDER BY image_id").fetchall()
    assert [name for name, _ in rows] == names
    assert {text.rpartition(" ")[2] for _, text in rows} == {"1", "2"}
    assert all(text.startswith(f"v {name} by ") for name, text in rows)


def test_a_killed_captioner_loses_nothing_it_committed(tmp_path: Path) -> None:
    path = make_workspace(tmp_path / "w.sqlite", IDS)
    run_sql(path, "INSERT INTO captions (image_id, variant, status, text) VALUES ('000.jpg', 'v', 'ok', 'x')")
    program = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute(\"INSERT INTO captions (image_id, variant, status, text) VALUES ('001.jpg', 'v', 'ok', 'x')\")\n"
        "c.execute('BEGIN')\n"
        "c.execute(\"INSERT INTO captions (image_id, variant, status, text) VALUES ('002.jpg', 'v', 'ok', 'x')\")\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == -9
    assert ids(todo(path, "v")) == IDS[2:]


def test_the_command_prints_json_lines(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workspace", "todo", str(path), "--variant", "v", "--limit", "2"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["image_id"], second["image_id"]) == ("000.jpg", "001.jpg")
    assert set(first) == {"image_id", "key", "width", "height", "kind", "path", "offset", "size_bytes"}
    assert main(["workspace", "todo", str(path), "--variant", "v", "--shard", "half"]) == 2
    assert "must be I/N, such as 1/4, got 'half'" in capsys.readouterr().err
