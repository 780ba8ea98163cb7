"""A build that is told to end does so at once and as a whole, and the same command goes on with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import hfbucket
from hfbucket.config import Config
from hfbucket.io.manifest_file import read_manifest
from tests.processes import descendants, wait_until_gone

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")

# A process started in a shell's background ignores SIGINT, and so would its children: here an interrupt interrupts.
MAIN = """
import signal
from hfbucket.cli.main import console
signal.signal(signal.SIGINT, signal.default_int_handler)
console()
"""
TOLD = "Interrupted. What is done stays done; the same command continues."


# To whom it is sent, what, and how the command ends.
INTERRUPTS = (
    ("group", signal.SIGINT, 130),  # Ctrl-C
    ("parent", signal.SIGINT, 130),
    ("parent", signal.SIGTERM, 130),
    ("parent", signal.SIGKILL, -signal.SIGKILL),
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(100):
        noise = Image.effect_noise((400 + number % 7 * 10, 350), 60).convert("RGB")
        noise.save(folder / f"{number:03d}.jpg", quality=90)
    return folder


def test_a_build_that_is_told_to_end_leaves_nothing_running_and_goes_on(photos: Path, tmp_path: Path) -> None:
    export, receipts = tmp_path / "export", tmp_path / "export.work" / "receipts"
    words = ["build", str(photos), "-o", str(export), "--base", "256", "--max-shard-samples", "4"]
    command = [sys.executable, "-c", MAIN, *words, "--missing-caption", "empty", "--workers", "2"]
    environment = {**os.environ, "HFBUCKET_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(Path.cwd())}
    for to, number, code in INTERRUPTS:
        done = set(receipts.glob("*/*.parquet"))
        driver = subprocess.Popen(
            command,
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while set(receipts.glob("*/*.parquet")) == done:
            assert time.monotonic() < deadline
            assert driver.poll() is None, driver.communicate()[1]
            time.sleep(0.005)
        workers = descendants(driver.pid)
        assert len(workers) == 2
        (os.killpg if to == "group" else os.kill)(driver.pid, number)
        _, said = driver.communicate(timeout=30)
        assert driver.returncode == code, said
        assert ("Traceback" in said, said.splitlines()[-1:] == [TOLD]) == (False, number != signal.SIGKILL)
        wait_until_gone(workers)
        assert not (export / "manifest.json").exists()
    assert subprocess.run(command, env=environment).returncode == 0
    config = Config(base=(256,), max_shard_samples=4, missing_caption="empty", workers=1)
    whole = hfbucket.build(str(photos), tmp_path / "whole", config)
    assert read_manifest(export).content_sha256 == whole.content_sha256
    assert not hfbucket.verify(export).problems
    assert not [path for path in export.rglob("*") if path.name.startswith(".")]
