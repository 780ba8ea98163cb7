from __future__ import annotations

from pathlib import Path

import pytest

from scripts import bench_workspace
from scripts.bench_workspace import STEPS, make, measure, table


def test_every_step_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_workspace, "UNIT_IMAGES", 150)
    make(tmp_path, 400)
    steps = [measure(tmp_path, step) for step in STEPS]
    rows = {str(step["step"]): step["rows"] for step in steps}
    assert rows["init"] == rows["todo"] == rows["plan with selection"] == 400
    assert rows["import .parquet"] == rows["import .jsonl"] == 360
    assert rows["stats"] == 400 + 3 * 360
    assert "import .csv, in no order" in table({"images": 400, "variants": 3, "workspace_mb": 1, "steps": steps})
