"""`hfbucket recaption` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hfbucket.cli.main import main
from tests.io.workspace.made import make_workspace, write_captions
from tests.stages.pictures import draw_folder

IDS = [f"{number:04d}.jpg" for number in range(10)]


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    draw_folder(tmp_path / "photos", 10)
    make_workspace(tmp_path / "w.sqlite", IDS)
    write_captions(tmp_path / "w.sqlite", "short", {"0000.jpg": "no. 0", "0005.jpg": "no. 5"})
    words = ["--base", "128", "--base", "64", "--max-shard-samples", "3", "--workers", "0"]
    assert main(["build", "photos", "-o", "export", *words, "--priority", "original"]) == 0
    return "export"


def test_words_and_data(export: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["recaption", export, "--captions", "w.sqlite", "--priority", "original,short", "--workers", "0"]
    capsys.readouterr()
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(
        "export: 0 captions changed, 0 shards (0 bytes) written anew\n  original: 8\n"
    )
    words[words.index("original,short")] = "short,original"
    assert main([*words, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing was written: this was a dry run."
    assert main([*words, "-o", "new", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["captions"], told["selected"]) == (8, {"original": 6, "short": 2})
    assert main(words) == 0
    assert f"Now export {told['export_id']}. Push it: hfbucket push export" in capsys.readouterr().out
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing was to be done."


def test_missing_captions(export: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["recaption", export, "--captions", "w.sqlite", "--priority", "short", "--workers", "0"]
    assert main(words) == 1
    assert "Error: 6 of 8 images would be left without a caption; keep them" in capsys.readouterr().err
    assert main([*words, "--missing-caption", "empty"]) == 0
    assert "6 images are left with an empty caption" in capsys.readouterr().out
    assert main([*words, "--drop-missing"]) == 0
    assert "6 images without a caption are dropped" in capsys.readouterr().out
    assert main(["verify", export]) == 0
