from __future__ import annotations

import pytest

pytest.importorskip("skimage")

from scripts.bench_write import measure, show


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves tars open
def test_every_kind_of_run_is_measured_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    result = measure(None, images=6, bases=(256,), repeats=1)
    assert [found["images"] for found in result["sources"].values()] == [6, 6]
    show(result)
    table = capsys.readouterr().out.splitlines()
    names = [line[:28].strip() for line in table]
    for found in result["sources"].values():
        assert "hfbucket, whole build" in found["runs"]
        start = names.index(next(iter(found["runs"])))
        assert names[start : start + len(found["runs"])] == list(found["runs"])
