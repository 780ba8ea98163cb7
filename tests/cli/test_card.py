"""`hfbucket card`: words by flags, data on stdout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hfbucket.cli.main import main
from hfbucket.io.manifest_file import read_manifest
from tests.factories import make_export


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    make_export(tmp_path / "export", bases=(64,), shards_per_bucket=1, per_shard=1, card=False)
    return "export"


def test_words_by_flags(export: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "limits.md").write_text("Few owls.")
    flags = ["--title", "Birds", "--license-name", "Isle", "--license-link", "https://example.org", "--language", "en"]
    assert main(["card", export, *flags, "--tag", "birds", "--tag", "isle", "--sections", "words", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["changed"] == ["title", "license", "language", "tags", "sections"]
    manifest = read_manifest(tmp_path / export)
    assert result["export_id"] == manifest.export_id
    assert (manifest.title, manifest.tags, manifest.sections) == ("Birds", ("birds", "isle"), {"limits": "Few owls."})
    assert main(["card", export, "--title", "Birds"]) == 0
    assert capsys.readouterr().out == "No word changed; README.md is up to date.\n"
    assert main(["card", export, "--title", "", "--citation", "Me"]) == 0
    assert capsys.readouterr().out == "Changed title, citation.\n"


def test_wrong_words_exit_with_two(export: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (tmp_path / export / "manifest.json").read_bytes()
    assert main(["card", export, "--language", "English"]) == 2
    assert "Error: language must be an ISO 639 code such as en or zh, got 'English'" in capsys.readouterr().err
    assert main(["card", export, "--sections", "nowhere"]) == 2
    assert (tmp_path / export / "manifest.json").read_bytes() == before


def test_settings_file_gives_words(export: str, tmp_path: Path) -> None:
    (tmp_path / "hfbucket.toml").write_text('title = "From the file"\ndescription = "Kept."\n')
    assert main(["card", export, "--title", "From the flag"]) == 0
    manifest = read_manifest(tmp_path / export)
    assert (manifest.title, manifest.description) == ("From the flag", "Kept.")


def test_help_names_the_sections(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", "--help"]) == 0
    assert "about.md, filtering.md, source_and_license.md, limits.md" in " ".join(capsys.readouterr().out.split())


def test_check_tells_where_card_and_manifest_disagree(
    export: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", export, "--check"]) == 1
    assert "README.md: there is none" in capsys.readouterr().out
    assert main(["card", export, "--license", "cc0-1.0"]) == 0
    before = (tmp_path / export / "README.md").read_bytes()
    capsys.readouterr()
    assert main(["card", export, "--check"]) == 0
    assert capsys.readouterr().out == "card and manifest agree\n"
    (tmp_path / export / "README.md").write_bytes(before.replace(b"license: cc0-1.0", b"license: mit"))
    assert main(["card", export, "--check", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is False
    assert result["problems"][0]["message"] == 'metadata \'license\' must be "cc0-1.0", got "mit"'
    assert main(["card", export, "--check", "--title", "x"]) == 2
    assert "--check changes nothing; leave title away" in capsys.readouterr().err
    (tmp_path / export / "README.md").write_bytes(before)
    croissant = tmp_path / export / "croissant.json"
    shown = croissant.read_bytes()
    croissant.write_bytes(shown.replace(b'"sha256": "', b'"sha256": "0', 1))
    assert main(["card", export, "--check"]) == 1
    assert "croissant.json: gives buckets/p1024x1024/shard-00000.tar the sha256 0" in capsys.readouterr().out
    croissant.write_bytes(shown.replace(b"text-to-image", b"other"))
    assert main(["card", export, "--check"]) == 1
    assert "croissant.json: is not what the manifest gives" in capsys.readouterr().out


def test_own_templates_stay(export: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "removal.md.jinja").write_text("## Gone\n\nAsk us.\n")
    assert main(["card", export, "--template", "mine"]) == 0
    card = (tmp_path / export / "README.md").read_text()
    assert "## Gone\n\nAsk us.\n" in card
    assert main(["card", export, "--check"]) == main(["card", export, "--check", "--template", "mine"]) == 0
    assert main(["verify", export]) == 0
    assert main(["card", export, "--title", "Birds"]) == 2
    assert "was made with templates of its own" in capsys.readouterr().err
    (tmp_path / "mine" / "removal.md.jinja").write_text("## Gone\n\nAsk them.\n")
    assert main(["card", export, "--check", "--template", "mine"]) == 1
    assert main(["card", export, "--template", ""]) == 0
    assert "Ask us." not in (tmp_path / export / "README.md").read_text()
