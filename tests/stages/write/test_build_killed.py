"""A build killed with SIGKILL, anywhere, goes on to the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from hfbucket.io.manifest_file import read_manifest
from tests.stages.pictures import draw_folder, draw_parquet, tree

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL and fork")

ROOT = Path(__file__).resolve().parents[3]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    ("kind", "words"),
    [("folder", ["reencode_jpeg"]), ("folder", ["reencode_jpeg", "parts"]), ("parquet", ["passthrough_jpeg"])],
)
def test_killed_at_its_changes_of_the_disk(tmp_path: Path, kind: str, words: list[str]) -> None:
    source = draw_folder(tmp_path / "photos", 10) if kind == "folder" else draw_parquet(tmp_path / "a.parquet", 10)
    step, offset = 16, random.randrange(16)  # each run other places
    script = str(ROOT / "tests/stages/kill_everywhere.py")
    command = [sys.executable, script, str(source), str(tmp_path), words[0], str(step), str(offset), *words[1:]]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"offset {offset}: {done.stderr}"
    # pathlib of Python 3.10 keeps references of its own to what os does, so fewer changes are seen there.
    assert int(done.stdout) > (50 if sys.version_info >= (3, 11) else 20)


def start(source: Path, export: Path, workers: int) -> subprocess.Popen[bytes]:
    words = ["--base", "128", "--base", "64", "--max-shard-samples", "3", "--workers", str(workers)]
    script = "from hfbucket.cli.main import console; console()"
    command = [sys.executable, "-c", script, "build", str(source), "-o", str(export), *words]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_killed_at_random_moments_with_workers(tmp_path: Path) -> None:
    source = draw_folder(tmp_path / "photos", 60)
    began = time.monotonic()
    assert start(source, tmp_path / "whole", 1).wait() == 0
    whole_s = time.monotonic() - began
    kills = 0
    for _ in range(3):
        build = start(source, tmp_path / "killed", 2)
        time.sleep(random.uniform(0.1, 0.6) * whole_s)  # the whole one scanned as well
        build.send_signal(signal.SIGKILL)
        kills += build.wait() == -signal.SIGKILL
    assert kills
    assert start(source, tmp_path / "killed", 2).wait() == 0
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")
    hashes = [read_manifest(tmp_path / name).content_sha256 for name in ("killed", "whole")]
    assert hashes[0] == hashes[1]


def children(process_id: int) -> list[int]:
    """Return the process ids of the children that any thread of a process started."""
    found: list[int] = []
    for path in Path(f"/proc/{process_id}/task").glob("*/children"):
        with suppress(OSError):  # the thread is gone
            found += map(int, path.read_text().split())
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
def test_a_killed_worker_costs_only_its_task(tmp_path: Path) -> None:
    source = draw_folder(tmp_path / "photos", 60)
    build = start(source, tmp_path / "killed", 2)
    killed = False
    while build.poll() is None:
        workers = children(build.pid)
        if workers and not killed and any((tmp_path / "killed").glob("buckets/*/*.tar")):
            os.kill(workers[0], signal.SIGKILL)
            killed = True
        time.sleep(0.005)
    assert killed
    assert build.returncode == 0
    assert start(source, tmp_path / "whole", 1).wait() == 0
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")
