"""`hfbucket push` as users see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hfbucket.cli.main import main
from tests.factories import make_export


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_export(tmp_path / "export", bases=(64,), divisible=8)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "export"


def test_line_one_of_its_help_says_which_buckets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "--help"]) == 0
    text = capsys.readouterr().out.split("\n\n")[1]
    assert "aspect-ratio buckets, which may lie in the Hub's Storage Buckets but are not those" in " ".join(
        text.split()
    )


@pytest.mark.usefixtures("export")
def test_it_asks_and_shows_what_will_travel(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["push", "export", "./there"]) == 1
    assert "nothing was sent: nobody is here to ask; --yes answers" in capsys.readouterr().err
    asked: list[str] = []

    def no(question: str, **options: object) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.confirm", no)
    assert main(["push", "export", "./there"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith(f" to {tmp_path}/there (new)")
    assert lines[1].startswith("  send    7 files, ")
    assert lines[1].endswith(": 4 shards, 1 sample tables, 2 others")
    assert lines[2:] == ["  by      card and manifest last", "Error: nothing was sent"]
    assert asked == ["Push?"]
    assert not (tmp_path / "there").exists()


@pytest.mark.usefixtures("export")
def test_a_dry_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "export", "./there", "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith("Nothing was sent: this was a dry run.\n")


def test_json(export: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (export / "README.md").write_text("[More Information Needed]")
    assert main(["push", "export", "./there", "--dry-run", "--json"]) == 1
    codes = {found["code"] for found in json.loads(capsys.readouterr().out)["problems"]}
    assert codes == {"card", "placeholder"}
    make_export(export, bases=(64,), divisible=8)
    assert main(["push", "export", "./there", "--yes", "--json"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["published"] == {
        "url": f"{tmp_path}/there", "loads_as": f"{tmp_path}/there", "commit": None, "pull_request": None,
    }  # fmt: skip
    assert report["checked"] == ["all", "r64"]
    assert printed.err == ""
