"""Builds by every engine that is installed: the same bytes as on one machine, whatever dies on the way."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import hfbucket
from hfbucket.config import Config
from hfbucket.core.events import Event, Progress
from tests.end_to_end.test_interrupted import MAIN, TOLD
from tests.processes import descendants, wait_until_gone, words_of

PACKAGES = {"ray": "ray", "spark": "pyspark"}
SETTINGS: dict[str, Any] = {"base": (64,), "max_shard_samples": 4, "missing_caption": "empty", "max_failure_ratio": 1}

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]  # what the engines themselves warn of


@pytest.fixture(scope="module", params=["ray", "spark"])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    pytest.importorskip(PACKAGES[name], reason=f"no engine {name}: pip install hfbucket[{name}]")
    return name


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(60):
        noise = Image.effect_noise((90 + number % 7 * 10, 80), 60).convert("RGB")
        noise.save(folder / f"{number:03d}.jpg", quality=90)
    (folder / "broken.jpg").write_bytes((folder / "000.jpg").read_bytes()[:600])
    return folder


@pytest.fixture(scope="module")
def expected(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str | None:
    export = tmp_path_factory.mktemp("local") / "export"
    return hfbucket.build(str(photos), export, Config(workers=1, **SETTINGS)).content_sha256


def command(photos: Path, export: Path, engine: str, *more: str) -> list[str]:
    words = ["build", str(photos), "-o", str(export), "--base", "64", "--max-shard-samples", "4"]
    words += ["--missing-caption", "empty", "--max-failure-ratio", "1", "--executor", engine, "--workers", "2", *more]
    return [sys.executable, "-c", MAIN, *words]


def content(export: Path) -> str:
    return str(json.loads((export / "manifest.json").read_bytes())["content_sha256"])


def test_a_build_is_the_same_and_goes_on_after_its_driver_was_killed(
    engine: str, photos: Path, expected: str, tmp_path: Path
) -> None:
    export = tmp_path / "export"
    environment = {**os.environ, "HFBUCKET_CACHE": str(tmp_path / "cache")}
    receipts = Path(f"{export}.work", "receipts")
    for number, code in ((signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)):
        done = set(receipts.glob("*/*.parquet"))
        driver = subprocess.Popen(command(photos, export, engine), env=environment, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 300
        while set(receipts.glob("*/*.parquet")) == done:
            assert time.monotonic() < deadline
            assert driver.poll() is None, driver.communicate()[1]
            time.sleep(0.01)
        below = descendants(driver.pid)
        driver.send_signal(number)
        _, said = driver.communicate()
        assert driver.returncode == code, said
        assert (TOLD in said.splitlines()) == (number == signal.SIGTERM)
        wait_until_gone(below, 120)  # Ray's own agents look around now and then
        assert not (export / "manifest.json").exists()
    assert subprocess.run(command(photos, export, engine), env=environment).returncode == 0
    assert content(export) == expected
    assert not hfbucket.verify(export).problems


def test_a_lost_node_of_a_ray_cluster_costs_no_image(photos: Path, expected: str, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="no engine ray: pip install hfbucket[ray]")
    cluster = importlib.import_module("ray.cluster_utils").Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    lost: list[object] = []

    def lose_node(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "write" and event.done and not lost:
            lost.append(cluster.remove_node(second, allow_graceful=False))

    try:
        config = Config(executor="ray", ray_address=cluster.address, **SETTINGS)
        manifest = hfbucket.build(str(photos), tmp_path / "export", config, on_event=lose_node)
        assert lost
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert manifest.content_sha256 == expected


def wait_for_receipt(export: Path, driver: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not list(Path(f"{export}.work", "receipts").glob("*/*.parquet")):
        assert time.monotonic() < deadline
        assert driver.poll() is None, driver.communicate()[1]
        time.sleep(0.01)


def test_a_lost_executor_of_a_spark_cluster_costs_no_image(photos: Path, expected: str, tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="no engine spark: pip install hfbucket[spark]")
    export = tmp_path / "export"
    environment = {
        **os.environ, "HFBUCKET_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(Path.cwd()),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }  # fmt: skip
    build = command(photos, export, "spark", "--spark-master", "local-cluster[2,1,1024]")
    driver = subprocess.Popen(build, env=environment, stderr=subprocess.PIPE, text=True)
    wait_for_receipt(export, driver)
    executors = [each for each in descendants(driver.pid) if "CoarseGrainedExecutorBackend" in words_of(each)]
    os.kill(executors[0], signal.SIGKILL)
    assert driver.wait(timeout=500) == 0, driver.communicate()[1]
    assert content(export) == expected
