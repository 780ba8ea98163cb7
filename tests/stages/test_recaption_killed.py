"""recaption killed with SIGKILL, anywhere, leaves the old export or one that the same command brings to its end."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from hfbucket.config import Config
from hfbucket.io.workspace.database import writing
from hfbucket.stages.write.build import build
from tests.io.workspace.made import make_workspace, write_captions
from tests.stages.pictures import draw_folder

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
    step, offset = 20, random.randrange(20)  # each run other places
    script = str(ROOT / "tests/stages/kill_recaption.py")
    command = [sys.executable, script, str(tmp_path), str(step), str(offset)]
    done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"offset {offset}: {done.stderr}"
    assert int(done.stdout) > (80 if sys.version_info >= (3, 11) else 30)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    from scripts.kill_recaption import check

    assert len(check(tmp_path, None, 1_500_000, 300_000, 3)) == 3
