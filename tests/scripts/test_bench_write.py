from __future__ import annotations

import pytest

pytest.importorskip("skimage")

from scripts.bench_write import measure, show


def test_every_kind_of_run_is_measured_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    result = measure(None, images=6, bases=(256,), repeats=1)
    assert result["images"] == 6
    show(result)
    table = capsys.readouterr().out.splitlines()
    assert [line[:24].strip() for line in table[4:]] == list(result["runs"])
    assert "hfbucket, whole build" in result["runs"]
