"""A build writes beside its sources, never into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfbucket.core.units import SourceSpec
from hfbucket.errors import SourceError
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
    with pytest.raises(SourceError, match=r"photos.tmp"):
        check(str(tmp_path / "photos"), tmp_path / "out", str(tmp_path / "photos" / "photos.tmp"))


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(SourceError):
        check(str(tmp_path / "photos"), tmp_path / "link" / "out")


def test_remote_sources_are_elsewhere(tmp_path: Path) -> None:
    check("s3://bucket/photos", tmp_path / "out")
