from __future__ import annotations

from pathlib import Path

import pytest

from scripts.bench_plan import STEPS, bench, table


@pytest.mark.parametrize("through", ["plan", "fold"])
def test_every_step_is_measured(through: str, tmp_path: Path) -> None:
    found = bench(3000, through, str(tmp_path))
    steps = STEPS if through == "fold" else STEPS[:2]
    assert tuple(found["steps"]) == steps
    assert sum(found["outcomes"].values()) == 3000
    assert all(step["peak_mb"] > 0 for step in found["steps"].values())
    assert len(table([found]).splitlines()) == 1 + len(steps)
    assert list(tmp_path.iterdir()) == []
