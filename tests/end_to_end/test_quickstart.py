"""The README's first command, after the installing: the whole way, and again over what is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "quickstart.py"


def test_it_ends_in_a_batch_of_one_size_and_can_be_run_again(tmp_path: Path) -> None:
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, SCRIPT, tmp_path / "here"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Base 512: 12 images in 4 buckets" in done.stdout
        assert "no problems (full): 20 samples" in done.stdout
        assert "A batch of bucket r512_p1024x1024: uint8 (4, 512, 512, 3)" in done.stdout
        assert "A loopback Hub runs at http://127.0.0.1:" in done.stdout
        assert "Opened with stock datasets: all, r512, r256" in done.stdout
        assert done.stdout.endswith("(512, 512) Color image of the astronaut Eileen Collins.\n")
    assert "is complete already; nothing was written" in done.stderr
