from __future__ import annotations

import json
from pathlib import Path

import pytest

from hfbucket.cli.main import main
from tests.stages.pictures import draw_folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["workspace", *arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_from_sources_to_stats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    draw_folder(Path("photos"), 3)
    Path("photos/broken.jpg").write_bytes(b"broken")
    init = ("init", "photos", "-o", "w.sqlite", "--workers", "0")
    assert run(capsys, *init)[:2] == (
        0,
        "w.sqlite: 3 images, 3 of them new\n  3 captions 'original'\n  1 images left out: decode_errors\n",
    )
    rows = [{"image_id": f"{n:04d}.jpg", "text": f"of {n}"} for n in (0, 1, 1, 7)]
    Path("c.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\nno json")
    Path("prompt.txt").write_text("Describe it.")
    made = ("--model", "m", "--prompt", "@prompt.txt", "--parameters", '{"a": 1}', "--source-id", "run 1")
    assert run(capsys, "import", "w.sqlite", "c.jsonl", "--variant", "v", *made)[:2] == (
        0,
        "w.sqlite: 5 rows for 'v'\n  2 written\n"
        "  1 rows of no image of the workspace: left out, such as 0007.jpg\n"
        "  1 rows of an image that an earlier row has: left out\n"
        "  1 rows that say nothing: left out, such as no json\n",
    )
    code, out, _ = run(capsys, "import", "w.sqlite", "c.jsonl", "--variant", "v", "--json")
    assert (code, json.loads(out)["counts"]["unchanged"]) == (0, 2)
    code, out, _ = run(capsys, "stats", "w.sqlite", "--json")
    assert (code, [variant["ok"] for variant in json.loads(out)["variants"]]) == (0, [2, 3])
    Path("photos/0002.jpg").unlink()
    assert "1 images are from before and not among these sources; they stay" in run(capsys, *init)[1]
    code, out, _ = run(capsys, *init, "--json")
    assert json.loads(out)["images_not_given"] == 1


def test_errors_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "stats", "none.sqlite") == (
        1,
        "",
        "Error: none.sqlite: no such caption workspace; `hfbucket workspace init` makes one\n",
    )
    code, _, err = run(capsys, "import", "none.sqlite", "x.jsonl", "--variant", "v", "--prompt", "@nowhere")
    assert code == 2
    assert err.startswith("Error: --prompt @nowhere: cannot be read: ")


def test_the_help_of_the_group_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name in ("init", "import", "export", "stats", "todo"):
        assert f"  {name} " in out
