from __future__ import annotations

from pathlib import Path

from scripts.bench_plan import STEPS, bench, table


def test_every_step_is_measured(tmp_path: Path) -> None:
    found = bench(3000, "fold", str(tmp_path))
    assert tuple(found["steps"]) == STEPS
    assert sum(found["outcomes"].values()) == 3000
    assert all(step["peak_mb"] > 0 for step in found["steps"].values())
    assert len(table([found]).splitlines()) == 1 + len(STEPS)
    assert list(tmp_path.iterdir()) == []
