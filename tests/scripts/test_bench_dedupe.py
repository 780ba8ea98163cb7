from __future__ import annotations

from pathlib import Path

from scripts.bench_dedupe import TWINS, measure_hashes, measure_photos
from scripts.quickstart import make_photos


def test_twins_of_photos_are_found(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    found = measure_photos(tmp_path / "photos", 5)
    assert (found["photos"], found["images"]) == (5, 5 * (2 + len(TWINS)))
    for dedupe in ("sha256", "pixels"):
        assert (found[dedupe]["copies"], found[dedupe]["copies_gone"], found[dedupe]["others_gone"]) == (5, 5, 0)
    near = found["near"]["by_threshold"]
    assert near[8]["precision"] == 1
    assert near[0]["recall"] <= near[4]["recall"] <= near[8]["recall"]
    assert near[4]["recall"] > 0.9
    assert near[4]["photos_gone"] == []


def test_hashes_are_measured() -> None:
    found = measure_hashes(2000, 4)
    assert 60 < found["gone"] <= 100
    assert found["peak_mb"] >= found["before_mb"] > 0
