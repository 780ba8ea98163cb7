from __future__ import annotations

import pytest

pytest.importorskip("skimage")

from scripts.bench_recaption import measure, show


def test_every_kind_of_run_is_measured_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    result = measure(None, size_bytes=1_500_000, shard_bytes=500_000, workers=[0], repeats=1)
    assert result["shards"] > 1
    show(result)
    table = capsys.readouterr().out.splitlines()
    assert [line[:24].strip() for line in table[3:]] == list(result["seconds"])
