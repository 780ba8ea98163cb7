"""recaption killed with SIGKILL, anywhere, leaves the old export or one that the same command brings to its end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hfbucket.config import Config
from hfbucket.io.workspace.database import writing
from hfbucket.stages.verify.run import verify
from hfbucket.stages.write.build import build
from tests.io.workspace.made import make_workspace, write_captions
from tests.stages.pictures import draw_folder, tree

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL and fork")

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}


def made(folder: Path, count: int) -> Path:
    """An export, and a workspace with captions for most of its images beside it."""
    photos = draw_folder(folder / "photos", count)
    ids = [f"{number:04d}.jpg" for number in range(count)]
    make_workspace(folder / "captions.sqlite", ids)
    write_captions(folder / "captions.sqlite", "long", {i: f"a long caption of {i}" for i in ids[4:]})
    with writing(folder / "captions.sqlite") as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # so that readers write nothing beside it
    build(str(photos), folder / "export", Config(base=(128, 64), max_shard_samples=3, workers=0))
    return folder / "export"


def test_killed_at_its_changes_of_the_disk(tmp_path: Path) -> None:
    made(tmp_path, 15)
    step, offset = 14, random.randrange(14)  # each run other places
    script = str(ROOT / "tests/stages/kill_recaption.py")
    command = [sys.executable, script, str(tmp_path), str(step), str(offset)]
    done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"offset {offset}: {done.stderr}"
    assert int(done.stdout) > (80 if sys.version_info >= (3, 11) else 30)


def start(export: Path) -> subprocess.Popen[bytes]:
    words = ["--captions", str(export.with_name("captions.sqlite")), "--priority", "long,original", "--workers", "2"]
    script = "from hfbucket.cli.main import console; console()"
    command = [sys.executable, "-c", script, "recaption", str(export), *words]
    return subprocess.Popen(
        command, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def test_killed_at_random_moments_with_workers(tmp_path: Path) -> None:
    export = made(tmp_path, 90)
    whole = tmp_path / "whole"
    subprocess.run(["cp", "-r", str(export), str(whole)], check=True)
    began = time.monotonic()
    assert start(whole).wait() == 0
    whole_s = time.monotonic() - began
    kills = 0
    for _ in range(5):
        run = start(export)
        time.sleep(random.uniform(0.1, 0.95) * whole_s)
        run.send_signal(signal.SIGKILL)
        kills += run.wait() == -signal.SIGKILL
    assert kills
    assert start(export).wait() == 0
    assert tree(export) == tree(whole)
    assert not verify(export).problems
