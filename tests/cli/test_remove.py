"""`hfbucket remove` as users see it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hfbucket.cli.main import main
from tests.factories import make_export


@pytest.fixture
def ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The image ids of an export in the current folder."""
    make_export(tmp_path / "export", bases=(64,), divisible=8)
    monkeypatch.chdir(tmp_path)
    found: list[str] = pq.read_table("export/samples/part-00000.parquet")["image_id"].to_pylist()
    return found


def test_files_of_ids_and_hashes(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    row = pq.read_table("export/samples/part-00000.parquet").to_pylist()[5]
    Path("ids.txt").write_bytes(f"\ufeff{ids[0]}\r\n\r\nnowhere.jpg\n".encode())
    Path("sums.txt").write_text(f"{row['source_sha256']}  some name.jpg\n")
    arguments = ["remove", "export", "--ids", "ids.txt", "--sha256", "sums.txt"]
    assert main([*arguments, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "export: 2 images would go, 2 shards to write anew, 0 gone",
        "  p1024x1024: 2",
        "1 not known to this export",
        "Nothing was written: this was a dry run.",
    ]  # fmt: skip
    assert main([*arguments, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["images"], done["unknown"], done["dry_run"]) == (2, 1, False)
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "export: 0 images removed, 0 shards written anew, 0 gone"
    assert main(["verify", "export"]) == 0


def test_nothing_it_prints_tells_what_went(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    row = pq.read_table("export/samples/part-00000.parquet").to_pylist()[0]
    assert main(["remove", "export", "--where", f"source_sha256 = '{row['source_sha256']}'"]) == 0
    printed = capsys.readouterr()
    for told in (ids[0], row["key"], row["source_sha256"], row["caption"]):
        assert told not in printed.out + printed.err


@pytest.mark.usefixtures("ids")
def test_what_makes_no_sense(capsys: pytest.CaptureFixture[str]) -> None:
    Path("latin.txt").write_bytes(b"a\nb\xe9\n")
    Path("sums.txt").write_text("abc\n")
    for arguments, words in (
        ([], "remove needs ids, hashes or a condition"),
        (["--ids", "latin.txt"], "latin.txt: must be UTF-8 text, one entry a line"),
        (["--ids", "none.txt"], "none.txt: cannot be read: No such file or directory"),
        (["--sha256", "sums.txt"], "sha256 must be 64 hex digits, got 'abc'"),
        (["--where", "width"], "Error: where"),
    ):
        assert main(["remove", "export", *arguments]) == 2
        assert words in capsys.readouterr().err
