from __future__ import annotations

import pytest

pytest.importorskip("skimage")
pytest.importorskip("webdataset")

from scripts import bench_workers
from scripts.bench_workers import measure, show


def test_shards_and_builds_are_measured_with_one_worker_and_two(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_workers, "COMPUTED_MIB", 2)
    result = measure(None, images=4, base=256, workers=2, repeats=1)
    assert result["images"] == 4
    show(result)
    rows = capsys.readouterr().out.splitlines()[-3:]
    assert [row[:28].strip() for row in rows] == ["computing alone, the limit", "shards", "whole build"]
    assert all(len(row[28:].split()) == 7 for row in rows)
