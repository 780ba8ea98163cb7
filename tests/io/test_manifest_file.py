"""manifest.json on disks and stores: whole or absent, and clear words about what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest

from hfbucket.core.manifest.plain import to_dict
from hfbucket.errors import FormatError
from hfbucket.io.manifest_file import manifest_bytes, parse_manifest, read_manifest, write_manifest
from tests.factories import make_export


def test_folder_file_and_url_are_the_same(tmp_path: Path) -> None:
    manifest = make_export(tmp_path, bases=(64,), card=False)
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/exports/a/manifest.json", (tmp_path / "manifest.json").read_bytes())
    for place in (tmp_path, str(tmp_path) + "/", tmp_path / "manifest.json", "memory://exports/a"):
        assert read_manifest(place) == manifest
    assert read_manifest("memory://exports/a/manifest.json") == manifest


def test_write_replaces_the_whole_file(tmp_path: Path) -> None:
    manifest = make_export(tmp_path, bases=(64,), card=False)
    before = (tmp_path / "manifest.json").read_bytes()
    write_manifest(tmp_path, manifest)
    assert (tmp_path / "manifest.json").read_bytes() == before == manifest_bytes(manifest)
    assert before.endswith(b"}\n")
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["manifest.json"]


def test_missing_manifest_says_what_to_do(tmp_path: Path) -> None:
    for place in (str(tmp_path), f"memory:/{tmp_path}"):
        with pytest.raises(FormatError, match="or its build has not finished"):
            read_manifest(place)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no JSON: Expecting value: line 1 column 1"),
        (b"{\xff}", "must be UTF-8: "),
        (b'{"format": NaN}', "has NaN, which is no JSON"),
        (b'{"a": 1, "a": 2}', "has the key 'a' twice"),
        (b"[]", "must be a JSON object, got an array"),
        (b"[" * 100_000, "is nested too deeply to be a manifest"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is no JSON: Exceeds the limit"),
        (b'{"a": "\\ud800"}', "must be UTF-8: "),
    ],
)
def test_what_is_no_manifest(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_manifest(data)
    assert str(caught.value).startswith(f"manifest.json: {message}")


def test_text_of_any_script_stays_readable(tmp_path: Path) -> None:
    make_export(tmp_path, bases=(64,), card=False, title="Bilder 一枚 \U0001f600")
    text = (tmp_path / "manifest.json").read_text("utf-8")
    assert "Bilder 一枚 \U0001f600" in text
    assert json.loads(text) == json.loads(json.dumps(to_dict(read_manifest(tmp_path))))
