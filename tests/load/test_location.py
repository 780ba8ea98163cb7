"""What users write, and where that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfbucket.errors import ConfigError, FormatError, SourceError
from hfbucket.io.hub import read as hub_read
from hfbucket.io.hub.file import HubFile
from hfbucket.load.location import Location, locate


@pytest.fixture(autouse=True)
def hub_asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    asked: list[tuple[object, ...]] = []

    def commit(file: HubFile, token: object) -> str:
        if "nowhere" in file.path:
            raise FileNotFoundError
        asked.append((file.repo_id, file.revision, token, file.path.removesuffix("manifest.json")))
        return "c0ffee"

    monkeypatch.setattr(hub_read, "commit_of", commit)
    return asked


def test_a_folder_wins_over_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "user" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    here = Location(url=str(tmp_path / "user" / "name"))
    assert locate("user/name") == locate("user/name/") == locate(Path("user/name")) == here
    assert locate("user/name/manifest.json") == here


@pytest.mark.parametrize(
    ("path", "revision", "url", "asked"),
    [
        ("user/name", None, "hf://datasets/user/name@c0ffee", ("user/name", None, "t", "")),
        ("datasets/user/name", None, "hf://datasets/user/name@c0ffee", ("user/name", None, "t", "")),
        ("user/name", "v1", "hf://datasets/user/name@c0ffee", ("user/name", "v1", "t", "")),
        ("user/name@v1", None, "hf://datasets/user/name@c0ffee", ("user/name", "v1", "t", "")),
        ("user/name@refs/pr/1", None, "hf://datasets/user/name@c0ffee", ("user/name", "refs/pr/1", "t", "")),
        ("hf://datasets/user/name", None, "hf://datasets/user/name@c0ffee", ("user/name", None, "t", "")),
        (
            "hf://datasets/user/name@v1/a/b/",
            None,
            "hf://datasets/user/name@c0ffee/a/b",
            ("user/name", "v1", "t", "a/b/"),
        ),
        ("hf://datasets/u/n@v1/manifest.json", "v1", "hf://datasets/u/n@c0ffee", ("u/n", "v1", "t", "")),
        ("hf://datasets/u/n@refs%2Fpr%2F1/a", None, "hf://datasets/u/n@c0ffee/a", ("u/n", "refs/pr/1", "t", "a/")),
    ],
)
def test_repositories_are_pinned_to_a_commit(
    path: str, revision: str | None, url: str, asked: tuple[object, ...], hub_asked: list[tuple[object, ...]]
) -> None:
    assert locate(path, revision, "t") == Location(url=url, repo_id=str(asked[0]), commit="c0ffee")
    assert hub_asked == [asked]


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("buckets/user/bucket/sets/one", "hf://buckets/user/bucket/sets/one"),
        ("hf://buckets/user/bucket", "hf://buckets/user/bucket"),
        ("s3://bucket/export/", "s3://bucket/export"),
        ("memory://export/manifest.json", "memory://export"),
    ],
)
def test_urls_stay_as_they_are(path: str, url: str) -> None:
    assert locate(path) == Location(url=url)


@pytest.mark.parametrize("path", ["/no/such/folder", "a/b/c", "word", "./folder"])
def test_what_is_nowhere_is_an_error(path: str, hub_asked: list[tuple[object, ...]]) -> None:
    if path == "./folder":
        assert locate(path).repo_id == "./folder"  # the Hub's own words say what is wrong with the name
        return
    with pytest.raises(SourceError, match=f"{path}: no such folder, and not the name of a dataset on the Hub"):
        locate(path)
    assert not hub_asked


def test_a_revision_of_what_has_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="revision is for dataset repositories on the Hub, got 'v1' for memory://x"):
        locate("memory://x", "v1")
    with pytest.raises(ConfigError, match="got 'v1' for /"):
        locate(tmp_path, "v1")


def test_two_revisions_are_an_error() -> None:
    with pytest.raises(ConfigError, match="revision must be given once, got 'v1' in the path and 'v2'"):
        locate("user/name@v1", "v2")


def test_a_repository_without_a_manifest_is_no_export() -> None:
    with pytest.raises(FormatError, match=r"user/name@v1/nowhere/manifest.json: no such file: this is no export"):
        locate("hf://datasets/user/name@v1/nowhere")
