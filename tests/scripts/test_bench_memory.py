"""The memory bounds: what the README tells is what the script holds commands against."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from scripts.bench_memory import Peak, judged, measured, table
from scripts.memory_limits import LIMITS, OTHERS, PLANNING

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_readme_tells_the_bounds() -> None:
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert f"{PLANNING.fixed_mb} MB and {PLANNING.bytes_per_image} bytes an image for `plan` and `build`" in text
    assert f"{OTHERS.fixed_mb} MB and {OTHERS.bytes_per_image} bytes an image for every other command" in text
    assert f"{OTHERS.worker_mb} MB in each worker, and in whatever opens images {OTHERS.bytes_per_pixel} bytes" in text


def test_a_broken_bound_is_told() -> None:
    peak = {"plan": Peak(parent=100 << 20, worker=2 << 30, together=3 << 30, seconds=1.0)}
    parent, worker = judged("rows", [10, 20], [peak, peak], 0)
    assert parent["ratio"] == pytest.approx(0.14)
    assert worker["ratio"] > 1
    assert [line.endswith("BROKEN") for line in table([parent, worker])] == [False, False, True]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs the kernel's own count")
def test_a_process_and_what_it_starts_are_measured(tmp_path: Path) -> None:
    child = "import time; b = b'x' * 80_000_000; time.sleep(0.5)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    peak = measured([sys.executable, "-c", code], dict(os.environ), tmp_path / "log")
    assert peak.worker > 70_000_000 > peak.parent > 1_000_000
    with pytest.raises(SystemExit, match="ended with 3"):
        measured([sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ), tmp_path / "log")


def test_every_command_has_a_bound() -> None:
    assert {"plan", "build, re-encode", "push to the Hub", "workspace todo"} < set(LIMITS)
