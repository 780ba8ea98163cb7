"""A folder or file whose name is no UTF-8 is one like any other, in every command; what is printed stays printable."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import hfbucket
from hfbucket.cli.main import main
from tests.stages.pictures import draw_folder, tree

ODD = os.fsdecode(b"\xff")
SETTINGS = ("--base", "128", "--base", "64", "--max-shard-samples", "3", "--workers", "0", "--license", "cc0-1.0")
TITLE = ("--title", "one title")

Call = Callable[..., str]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return what runs a command in a folder of ten photos, and returns what it prints, or says where it fails."""
    if sys.platform != "linux":
        pytest.skip("file names are UTF-8 here")
    draw_folder(tmp_path / "photos", 10)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    def run(*words: str, code: int = 0) -> str:
        # As a process has them where the language is any but C.
        out, err = io.BytesIO(), io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, "utf-8", "strict", write_through=True))
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(err, "utf-8", "backslashreplace", write_through=True))
        returned = main(list(words))
        assert returned == code, err.getvalue().decode()
        return (err if code else out).getvalue().decode()

    return run


@pytest.mark.parametrize("mode", ["reencode_jpeg", "passthrough_jpeg"])
def test_builds_give_the_same_bytes(call: Call, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("build", str(Path("photos").absolute()), *SETTINGS, *TITLE, "--image-mode", mode)
    call(*words, "-o", "plain")
    expected = tree(Path("plain"))
    assert json.loads(call(*words, "-o", f"out{ODD}", "--json"))["export"] == f"out{ODD}"
    assert tree(Path(f"out{ODD}")) == expected
    call(*words, "-o", "aside", "--work-dir", f"work{ODD}", "--cache-dir", f"cache{ODD}")
    assert tree(Path("aside")) == expected
    Path(f"here{ODD}").mkdir()
    monkeypatch.chdir(f"here{ODD}")
    call(*words, "-o", "out", "--workers", "2")
    assert tree(Path("out")) == expected


def test_a_title_made_of_such_a_name(call: Call) -> None:
    assert call("build", "photos", *SETTINGS, "-o", f"out{ODD}").startswith("out\\udcff: export ")
    assert hfbucket.verify(f"out{ODD}").ok
    assert json.loads(Path(f"out{ODD}/manifest.json").read_bytes())["title"] == "out?"


def test_exports_are_read_and_changed(call: Call) -> None:
    export, copy, workspace = f"out{ODD}", f"copy{ODD}", f"words{ODD}.sqlite"
    call("build", "photos", "-o", export, *SETTINGS, "--priority", "original")
    assert "no problems (full)" in call("verify", export)
    assert "exported" in call("why", export, "0000.jpg")
    assert call("card", export, "--title", "another") == "Changed title.\n"
    draw_folder(Path("photos"), 2, start=10)
    call("build", "photos", "-o", export, *SETTINGS, "--priority", "original", "--update")
    assert call("pull", export, "-o", copy).startswith(str(Path("copy\\udcff").absolute()))
    assert tree(Path(copy)) == tree(Path(export))
    assert len(list(hfbucket.load_dataset(copy, streaming=True))) == 10
    assert "files of" in call("extract", export, "-o", f"files{ODD}", "--workers", "0")
    call("workspace", "init", export, "-o", workspace)
    rows = [{"image_id": f"{number:04d}.jpg", "text": f"a caption of {number}"} for number in range(12)]
    Path(f"rows{ODD}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    call("workspace", "import", workspace, f"rows{ODD}.jsonl", "--variant", "long")
    for kind in ("csv", "jsonl", "parquet"):
        file = f"captions{ODD}.{kind}"
        said = call("workspace", "export", workspace, file, "--variant", "long")
        assert said == f"captions\\udcff.{kind}: 10 captions\n"
        assert "there already, the same" in call("workspace", "import", workspace, file, "--variant", "long")
    select = ("--captions", workspace, "--priority", "long", "--workers", "0")
    call("recaption", export, *select, "-o", f"others{ODD}")
    assert "no problems (full)" in call("verify", f"others{ODD}")
    call("recaption", export, *select)
    Path(f"ids{ODD}").write_text("0000.jpg", encoding="utf-8")
    call("remove", export, "--ids", f"ids{ODD}")
    assert "no problems (full)" in call("verify", export)


def test_annotations_and_their_cache(call: Call) -> None:
    rows = [{"file_name": f"{number:04d}.jpg", "text": f"caption {number}"} for number in range(10)]
    Path(f"a{ODD}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    words = ("build", "photos", *SETTINGS, *TITLE, "--annotations", f"a{ODD}.jsonl")
    call(*words, "-o", f"out{ODD}", "--cache-dir", f"cache{ODD}")
    call(*words, "-o", "out")
    assert tree(Path(f"out{ODD}")) == tree(Path("out"))


def test_a_push_to_a_name_that_stock_datasets_cannot_open_is_refused_at_once(call: Call) -> None:
    export = f"out{ODD}"
    call("build", "photos", "-o", export, *SETTINGS)
    target = Path(f"there{ODD}").absolute()
    assert call("push", export, f"./there{ODD}", "--yes", code=2) == (
        f"Error: the target {target} needs a name in UTF-8: stock datasets opens no other; choose another\n"
    ).replace(ODD, "\\udcff")
    assert not target.exists()
    call("push", export, "./there", "--yes")
    Path(f"above{ODD}").mkdir()
    call("push", export, f"./above{ODD}/there", "--yes")
    assert tree(Path(f"above{ODD}/there")) == tree(Path("there"))


def test_errors_name_such_a_place(call: Call) -> None:
    for words, code in ((("verify",), 2), (("why", "--reason", "decode_errors"), 2), (("card", "--check"), 2)):
        assert "nothing\\udcff" in call(words[0], f"nothing{ODD}", *words[1:], code=code)
    Path(f"file{ODD}").write_bytes(b"")
    assert "file\\udcff" in call("build", "photos", "-o", f"file{ODD}/out", *SETTINGS, code=1)
