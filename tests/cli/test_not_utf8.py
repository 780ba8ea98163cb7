"""Arguments that are no UTF-8, as a shell gives them: text stands for what image ids have in its place."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hfbucket.cli.main import main
from tests.stages.pictures import picture

NAME = b"\xff\xfe bad.jpg"
SETTINGS = ("--base", "64", "--workers", "1", "--missing-caption", "empty")


@pytest.fixture
def source(tmp_path: Path) -> str:
    folder = os.fsencode(tmp_path / "s")
    os.mkdir(folder)
    for number, name in enumerate((NAME, b"good.jpg")):
        with open(folder + b"/" + name, "wb") as file:
            file.write(picture(number))
    return f"n={os.fsdecode(folder)}"


@pytest.fixture
def export(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["build", source, "-o", str(tmp_path / "export"), *SETTINGS]) == 0
    capsys.readouterr()
    return tmp_path / "export"


def given(text: bytes) -> str:
    return os.fsdecode(text)


def test_why(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", str(export), given(b"n/" + NAME)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("n/%FF%FE bad.jpg\n  images_exported: it is in the export\n")
    assert main(["why", str(export), "n/%FF%FE bad.jpg"]) == 0
    assert capsys.readouterr().out == said
    assert main(["why", str(export), given(b"n/\xff bad.jpg")]) == 2
    assert capsys.readouterr().err.startswith("Error: no input has the image_id or key 'n/%FF bad.jpg'. ")
    assert main(["why", str(export), "--reason", given(b"\xff")]) == 2
    assert capsys.readouterr().err.startswith("Error: no outcome is called '%FF'; ")


def test_explain(capsys: pytest.CaptureFixture[str]) -> None:
    outputs = []
    for text in (given(b"n/" + NAME), "n/%FF%FE bad.jpg"):
        assert main(["explain", "4000x3000", "--image-id", text]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_remove(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("duckdb")
    where = f"image_id = '{given(b'n/' + NAME)}'"
    assert main(["remove", str(export), "--where", where, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 1


def test_names_of_captions_and_of_who_wrote_them(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, captions, odd = str(tmp_path / "w.sqlite"), tmp_path / "c.jsonl", given(b"\xff")
    captions.write_text('{"image_id": "n/good.jpg", "caption": "x"}\n')
    assert main(["workspace", "init", source, "-o", workspace]) == 0
    made = ("--model", odd, "--prompt", odd, "--source-id", odd)
    assert main(["workspace", "import", workspace, str(captions), "--variant", odd, *made]) == 0
    with closing(sqlite3.connect(workspace)) as opened:
        sources = opened.execute("SELECT id, variant, model, prompt FROM caption_sources").fetchall()
    assert sources == [("%FF", "%FF", "%FF", "%FF")]
    capsys.readouterr()
    assert main(["workspace", "todo", workspace, "--variant", odd]) == 0
    assert [json.loads(line)["image_id"] for line in capsys.readouterr().out.splitlines()] == ["n/%FF%FE bad.jpg"]
    assert main(["plan", source, "--captions", workspace, "--priority", odd, *SETTINGS]) == 0
    assert "  %FF              0       1" in capsys.readouterr().out


def test_names_of_sources(source: str, tmp_path: Path) -> None:
    named = f"{given(NAME)}={source.partition('=')[2]}"
    assert main(["workspace", "init", named, "-o", str(tmp_path / "w.sqlite")]) == 0
    with closing(sqlite3.connect(tmp_path / "w.sqlite")) as opened:
        ids = [image_id for (image_id,) in opened.execute("SELECT image_id FROM images ORDER BY image_id")]
    assert ids == ["%FF%FE bad.jpg/%FF%FE bad.jpg", "%FF%FE bad.jpg/good.jpg"]
