"""Spot checks: some samples, by their own bytes."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from hfbucket.errors import ConfigError
from hfbucket.io import store
from hfbucket.stages.verify.run import verify
from tests.factories import make_export, make_foreign_export
from tests.mutations import SQUARE, TABLE, flip, found, small

URL = "memory://verify/sampled"


def publish(folder: Path) -> None:
    fs = fsspec.filesystem("memory")
    if fs.exists("/verify/sampled"):
        fs.rm("/verify/sampled", recursive=True)
    fs.put(str(folder), "/verify/sampled", recursive=True)


@pytest.mark.parametrize("image_mode", ["reencode_jpeg", "passthrough_jpeg"])
def test_whole_samples_pass(tmp_path: Path, image_mode: str) -> None:
    make_export(tmp_path, bases=(64,), image_mode=image_mode)
    publish(tmp_path)
    for number, opened in ((1, 1), (5, 5), (99, 12)):
        for place in (URL, tmp_path):
            report = verify(place, depth="structure", sample=number)
            assert (report.problems, report.sampled) == ((), opened)


def test_only_the_bytes_of_samples_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_export(tmp_path, bases=(64,), per_shard=20)
    publish(tmp_path)
    read: list[int] = []

    class Counted(store.RandomFile):
        def pread(self, offset: int, size: int) -> bytes:
            read.append(size)
            return super().pread(offset, size)

    monkeypatch.setattr(store, "RandomFile", Counted)
    assert verify(URL, sample=4).ok
    assert len(read) == 4
    assert sum(read) < (tmp_path / SQUARE).stat().st_size / 2


@pytest.mark.parametrize("at", [10, 600])
def test_damage_in_a_sample_is_found(tmp_path: Path, at: int) -> None:
    make_export(tmp_path, bases=(64,), image_mode="passthrough_jpeg")
    flip(tmp_path / SQUARE, at)
    publish(tmp_path)
    assert verify(URL).ok
    problems = verify(URL, sample=12).problems
    assert {problem.file for problem in problems} == {SQUARE}
    assert all("of the sample at byte 0" in problem.message for problem in problems)


def test_tables_that_lead_elsewhere(tmp_path: Path) -> None:
    small(tmp_path)
    data = (tmp_path / SQUARE).read_bytes()
    (tmp_path / SQUARE).write_bytes(data[:1024])
    publish(tmp_path)
    problems = found(verify(URL, sample=12))
    assert ("size", SQUARE, None) in problems
    assert sum(code == "samples" and file == TABLE for code, file, _ in problems) == 3


def test_exports_without_tables(tmp_path: Path) -> None:
    make_foreign_export(tmp_path)
    with pytest.raises(ConfigError, match="sample needs the sample tables"):
        verify(tmp_path, depth="structure", sample=1)
