"""Writing a shard, in a process that does nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from hfbucket.config import Config
from hfbucket.executors.process import Process
from hfbucket.io.receipts import read_receipt, receipt_file
from hfbucket.stages.write.shard import write_shard
from hfbucket.stages.write.task import ShardTask
from tests.stages.write.tasks import tasks_of

HEAVY = ("asyncio", "datasets", "duckdb", "fsspec", "huggingface_hub", "jinja2", "pandas", "pyarrow.compute", "sqlite3")


# Asked by eval: a function of this module would bring in all that the module imports.
LOADED = f"[name for name in {HEAVY} if name in __import__('sys').modules]"
THREADS = "__import__('pyarrow').cpu_count()"


@pytest.fixture
def worker() -> Iterator[Process]:
    process = Process()
    yield process
    process.kill()
    process.close()


@pytest.fixture(params=["reencode_jpeg", "passthrough_jpeg"])
def task(request: pytest.FixtureRequest, tmp_path: Path) -> ShardTask:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        Image.effect_noise((90, 80 + number), 60).convert("RGB").save(photos / f"{number}.jpg")
        (photos / f"{number}.txt").write_text(f"photo {number}")
    (one,) = tasks_of(photos, tmp_path / "export", Config(base=(64,), image_mode=request.param, workers=0))
    return one


def test_a_worker_imports_only_what_a_shard_needs(task: ShardTask, worker: Process) -> None:
    assert worker.call(write_shard, task) is None
    receipt = read_receipt(receipt_file(task.job.work.receipts, task.file))
    assert receipt is not None
    assert (receipt.count, receipt.task_sha256) == (3, task.task_sha256)
    assert worker.call(eval, LOADED) == []


def test_a_worker_has_no_threads_for_computing(
    task: ShardTask, monkeypatch: pytest.MonkeyPatch, worker: Process
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert worker.call(write_shard, task) is None
    assert worker.call(eval, THREADS) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # what a user says stays
    other = Process()
    try:
        assert other.call(write_shard, task) is None
        assert other.call(eval, THREADS) == 7
    finally:
        other.kill()
        other.close()


def test_a_preview_comes_from_the_pixels_that_are_at_hand(monkeypatch: pytest.MonkeyPatch, task: ShardTask) -> None:
    if task.job.config.image_mode == "reencode_jpeg":  # no source is decoded a second time
        monkeypatch.setattr("hfbucket.stages.write.shard.make_preview", None)
    seen = []
    for kernel in ("auto", "pillow"):
        monkeypatch.setenv("HFBUCKET_KERNEL", kernel)
        assert write_shard(task) is None
        receipt = read_receipt(receipt_file(task.job.work.receipts, task.file))
        assert receipt is not None
        seen.append((receipt.sha256, receipt.previews))
    assert len(seen[0][1]) == 3
    assert seen[0] == seen[1]
