"""A build writes beside its sources, never into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfbucket.core.units import SourceSpec
from hfbucket.errors import BuildError, SourceError
from hfbucket.stages.write.places import check_apart
from hfbucket.stages.write.work import work_of


def check(url: str, output: Path, work_dir: str | None = None) -> None:
    source = SourceSpec(name="s", url=url, kind="folder")
    check_apart([source], output, work_of(output, work_dir))


@pytest.mark.parametrize("url", ["photos", "photos/**/*.tar", "photos/out/a.tar", "photos/out/*.tar"])
def test_inside_one_another(tmp_path: Path, url: str) -> None:
    with pytest.raises(SourceError, match="lie inside one another"):
        check(str(tmp_path / url), tmp_path / "photos" / "out")


@pytest.mark.parametrize("url", ["photos", "out-of-range", "*.tar", "a.tar"])
def test_side_by_side(tmp_path: Path, url: str) -> None:
    check(str(tmp_path / url), tmp_path / "out")


def test_the_work_folder_counts_too(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"the work folder .*photos.tmp and the source .*; choose another work folder"
    ):
        check(str(tmp_path / "photos"), tmp_path / "out", str(tmp_path / "photos" / "photos.tmp"))


@pytest.mark.parametrize("work_dir", [None, "scratch"])
@pytest.mark.parametrize("name", ["tasks/notes.txt", "spool/notes.txt", "letter.txt", "copies.txt"])
def test_a_folder_of_others_is_no_work_folder(tmp_path: Path, work_dir: str | None, name: str) -> None:
    folder = tmp_path / (work_dir or "out.work")
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("mine")
    with pytest.raises(BuildError, match=r"exists and is no work folder of a build, .*; choose another --work-dir"):
        check(str(tmp_path / "photos"), tmp_path / "out", work_dir and str(folder))
    folder.rename(tmp_path / "moved")
    folder.write_text("no folder")
    with pytest.raises(BuildError, match="is no work folder"):
        check(str(tmp_path / "photos"), tmp_path / "out", work_dir and str(folder))


@pytest.mark.parametrize("made", [[], ["copies/0.tar"], ["cache/index", "copies/0.tar"], ["tasks/part", "lock"]])
def test_a_work_folder_is_known_again_however_far_it_came(tmp_path: Path, made: list[str]) -> None:
    (tmp_path / "out.work").mkdir()
    for name in made:
        (tmp_path / "out.work" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "out.work" / name).touch()
    check(str(tmp_path / "photos"), tmp_path / "out")


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(SourceError):
        check(str(tmp_path / "photos"), tmp_path / "link" / "out")


def test_remote_sources_are_elsewhere(tmp_path: Path) -> None:
    check("s3://bucket/photos", tmp_path / "out")
