"""Builds by every engine that is installed: the same bytes as on one machine, whatever dies on the way."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import hfbucket
from hfbucket.config import Config

PACKAGES = {"ray": "ray", "spark": "pyspark"}
SETTINGS: dict[str, Any] = {"base": (64,), "max_shard_samples": 4, "missing_caption": "empty", "max_failure_ratio": 1}

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]  # what the engines themselves warn of


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
    return [sys.executable, "-c", "from hfbucket.cli.main import console; console()", *words]


def content(export: Path) -> str:
    return str(json.loads((export / "manifest.json").read_bytes())["content_sha256"])


def test_a_build_is_the_same_and_goes_on_after_its_driver_was_killed(
    engine: str, photos: Path, expected: str, tmp_path: Path
) -> None:
    export = tmp_path / "export"
    environment = {**os.environ, "HFBUCKET_CACHE": str(tmp_path / "cache")}
    receipts = Path(f"{export}.work", "receipts")
    driver = subprocess.Popen(command(photos, export, engine), env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(receipts.glob("*/*.parquet"))) < 2:
        assert time.monotonic() < deadline
        assert driver.poll() is None, "the build ended before it could be killed"
        time.sleep(0.01)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert not (export / "manifest.json").exists()
    assert subprocess.run(command(photos, export, engine), env=environment).returncode == 0
    assert content(export) == expected
    assert not hfbucket.verify(export).problems


@pytest.fixture
def ray_cluster() -> Iterator[Any]:
    pytest.importorskip("ray", reason="no engine ray: pip install hfbucket[ray]")
    cluster_utils = importlib.import_module("ray.cluster_utils")
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "node_ip_address": "127.0.0.1"}
    )
    yield cluster
    importlib.import_module("ray").shutdown()
    cluster.shutdown()


def test_a_lost_node_of_a_ray_cluster_costs_no_image(
    ray_cluster: Any, photos: Path, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    second = ray_cluster.add_node(num_cpus=1)
    export = tmp_path / "export"
    lost = False

    def lose_node(event: object) -> None:
        nonlocal lost
        if not lost and getattr(event, "stage", "") == "write" and getattr(event, "done", 0) > 0:
            lost = True
            ray_cluster.remove_node(second, allow_graceful=False)

    config = Config(executor="ray", ray_address=ray_cluster.address, cache_dir=str(tmp_path / "cache"), **SETTINGS)
    manifest = hfbucket.build(str(photos), export, config, on_event=lose_node)
    assert lost
    assert manifest.content_sha256 == expected


def test_a_lost_executor_of_a_spark_cluster_costs_no_image(photos: Path, expected: str, tmp_path: Path) -> None:
    pytest.importorskip("pyspark", reason="no engine spark: pip install hfbucket[spark]")
    export = tmp_path / "export"
    environment = {
        **os.environ, "HFBUCKET_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(Path.cwd()),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }  # fmt: skip
    build = command(photos, export, "spark", "--spark-master", "local-cluster[2,1,1024]")
    driver = subprocess.Popen(build, env=environment, stderr=subprocess.PIPE, text=True)
    receipts = Path(f"{export}.work", "receipts")
    deadline = time.monotonic() + 150
    while not list(receipts.glob("*/*.parquet")):
        assert time.monotonic() < deadline
        assert driver.poll() is None, driver.communicate()[1]
        time.sleep(0.01)
    os.kill(executors_below(driver.pid)[0], signal.SIGKILL)
    assert driver.wait(timeout=240) == 0, driver.communicate()[1]
    assert content(export) == expected


def executors_below(process_id: int) -> list[int]:
    """Return the Spark executors among a process's descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = []
    for child in parents:
        above: int | None = child
        while above is not None and above != process_id:
            above = parents.get(above)
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if above == process_id and b"CoarseGrainedExecutorBackend" in words:
            found.append(child)
    return sorted(found)
