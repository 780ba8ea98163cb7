from __future__ import annotations

import pytest

pytest.importorskip("skimage")
pytest.importorskip("webdataset")

from scripts.bench_scan import WAYS, measure, show


def test_every_way_is_measured_and_sees_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    result = measure(None, images=5, repeats=1)
    assert {spent["samples"] for ways in result["jobs"].values() for all_ in ways.values() for spent in all_} == {5}
    show(result)
    table = capsys.readouterr().out.splitlines()
    assert [line[:36].strip() for line in table[1:]] == [name for job, ways in WAYS.items() for name in (job, *ways)]
