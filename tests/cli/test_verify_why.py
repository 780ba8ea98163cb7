"""`hfbucket verify` and `hfbucket why`: what is printed, as text and as JSON, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hfbucket.cli.main import main
from tests.factories import make_foreign_export
from tests.mutations import BROKEN_ID, KEY, SQUARE, flip, small


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def test_a_whole_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small(tmp_path)
    for depth in ("structure", "quick", "full"):
        assert run("verify", tmp_path, f"--{depth}") == 0
        assert capsys.readouterr().out == f"no problems ({depth}): 12 samples in 4 shards, 99,840 bytes\n"
    assert run("verify", tmp_path) == 0
    assert "(full)" in capsys.readouterr().out


def test_a_broken_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small(tmp_path)
    flip(tmp_path / SQUARE, 3000)
    assert run("verify", tmp_path, "--quick", "--workers", "1") == 1
    first, remedy, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{SQUARE}: sha256 must be ")
    assert first.endswith("some byte has changed [hash]")
    assert remedy == "    delete the file and run the build command again, or fetch it again"
    assert last.startswith("1 problem (quick): 12 samples in 4 shards")
    assert run("verify", tmp_path, "--quick", "--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["ok"], data["depth"], [p["code"] for p in data["problems"]]) == (False, "quick", ["hash"])
    assert data["problems"][0]["file"] == SQUARE


def test_an_export_of_another_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_foreign_export(tmp_path)
    assert run("verify", tmp_path) == 0
    out = capsys.readouterr().out
    assert "lacks (another tool wrote it):\n    hashes of shards: damage inside an image may stay unseen: 4\n" in out
    assert out.endswith("no problems (full): 12 samples in 4 shards, 113,664 bytes\n")


def test_no_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", tmp_path) == 1
    assert "or its build has not finished" in capsys.readouterr().err


def test_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small(tmp_path)
    assert run("why", tmp_path, BROKEN_ID) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [BROKEN_ID, "  images_exported: it is in the export", f"  key      {KEY}"]
    assert lines[3] == "  bucket   p1024x1024, 64x64"
    assert lines[4].startswith(f"  shard    {SQUARE}: jpg at byte ")
    assert lines[5] == "  crop     73x76 resized to 64x67, cropped at (0, 3)"
    assert lines[7].startswith("  caption  Picture 1 of p1024x1024\\nwith ein Bild")  # on one line
    assert run("why", tmp_path, KEY, "--json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert (answer["image_id"], answer["placed"]["shard"]) == (BROKEN_ID, SQUARE)


def test_why_lists_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small(tmp_path)
    assert run("why", tmp_path, "--reason", "skipped_too_small", "--limit", "1") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "drawn/tiny-0.png  (20x30)"
    assert out.endswith(", 1 shown; --limit 0 lists all\n")
    assert run("why", tmp_path, "--reason", "skipped_too_small", "--limit", "0", "--json") == 0
    assert json.loads(capsys.readouterr().out)["total"] == 2


@pytest.mark.parametrize("arguments", [[], [BROKEN_ID, "--reason", "removed"], ["--reason", "ugly"], ["unknown.jpg"]])
def test_wrong_use(tmp_path: Path, arguments: list[str]) -> None:
    small(tmp_path)
    assert run("why", tmp_path, *arguments) == 2
