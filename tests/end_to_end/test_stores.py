"""Builds into an S3 over HTTP, and into an FTP server: the same bytes as into a folder, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest
from PIL import Image

import hfbucket
from hfbucket.config import Config
from hfbucket.core.events import Event, Notice, OnEvent, ignore
from hfbucket.errors import BuildError, ChangeError, ConfigError, PlanMismatchError
from tests.stores import ftp, s3

ENGINES = {"ray": "ray", "spark": "pyspark"}
Files = dict[str, dict[str, bytes]]
"""Of both modes, every file of an export."""

SETTINGS: dict[str, Any] = {"base": (64,), "max_shard_samples": 4, "missing_caption": "empty", "max_failure_ratio": 1}
FLAGS = ["--base", "64", "--max-shard-samples", "4", "--missing-caption", "empty", "--max-failure-ratio", "1"]

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]  # what clients and engines warn of


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    for package in ("s3fs", "moto", "flask_cors"):
        pytest.importorskip(package, reason="needs an S3: pip install s3fs 'moto[s3]' flask flask-cors")
    with s3.serving() as url, pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("AWS_"):
                patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-mine")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")  # what fails comes to us, and not to the client's own patience
        patch.setenv("AWS_CONFIG_FILE", str(tmp_path_factory.mktemp("aws") / "none"))
        patch.setenv("SOURCE_DATE_EPOCH", "1767225600")
        fsspec.filesystem("s3").mkdir("bucket")
        yield url


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A folder of photos, one of which is broken, and a tar that can only be read from its beginning."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    folder.mkdir()
    for number in range(30):
        noise = Image.effect_noise((90 + number % 7 * 10, 80), 60).convert("RGB")
        noise.save(folder / f"{number:03d}.jpg", quality=90)
    (folder / "broken.jpg").write_bytes((folder / "000.jpg").read_bytes()[:600])
    packed = folder.parent / "packed.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        for number in range(0, 30, 3):
            tar.add(folder / f"{number:03d}.jpg", f"again-{number}.jpg")
    return [str(folder), f"packed={packed}"]


@pytest.fixture(scope="module")
def expected(endpoint: str, sources: list[str], tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Of both modes, every file of an export that was built in a folder."""
    return {
        mode: files_of(built(sources, str(tmp_path_factory.mktemp(mode) / "export"), image_mode=mode))
        for mode in ("reencode_jpeg", "passthrough_jpeg")
    }


@pytest.fixture
def place(endpoint: str, tmp_path: Path) -> str:
    return f"s3://bucket/{tmp_path.name}/export"


def built(sources: list[str], place: str, *, on_event: OnEvent = ignore, **changes: Any) -> str:
    hfbucket.build(sources, place, Config(**{"workers": 0, **SETTINGS, **changes}), on_event=on_event)
    return place


def files_of(place: str) -> dict[str, bytes]:
    """Return every file below a place, hidden ones, too."""
    fs, path = fsspec.core.url_to_fs(place)
    fs.invalidate_cache()
    return {name.removeprefix(f"{path}/"): fs.cat_file(name) for name in fs.find(path)}


def command(sources: list[str], place: str, *more: str) -> list[str]:
    words = ["build", *sources, "-o", place, *FLAGS, *(more or ("--workers", "2"))]
    return [sys.executable, "-c", "from hfbucket.cli.main import console; console()", *words]


@contextmanager
def driving(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Yield a build at work in a process of its own."""
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as driver:
        try:
            yield driver
        finally:
            driver.kill()


def wait_for_receipts(place: str, count: int, driver: subprocess.Popen[str]) -> None:
    fs, path = fsspec.core.url_to_fs(place)
    deadline = time.monotonic() + 300
    while True:
        fs.invalidate_cache()
        if len(fs.find(f"{path}.work/receipts")) >= count:
            return
        assert time.monotonic() < deadline
        assert driver.poll() is None, "the build ended before anything could be killed"
        time.sleep(0.01)


@pytest.mark.parametrize("mode", ["reencode_jpeg", "passthrough_jpeg"])
def test_the_bytes_are_those_of_a_build_in_a_folder(sources: list[str], place: str, expected: Files, mode: str) -> None:
    built(sources, place, image_mode=mode)
    assert files_of(place) == expected[mode]
    left = {name.partition("/")[0] for name in files_of(f"{place}.work")}
    assert left == {"finished.json", "receipts", "settings.json", "tasks", "units.json"}
    assert not hfbucket.verify(place, depth="full").problems
    told: list[Event] = []
    built(sources, place, on_event=told.append, image_mode=mode)
    assert any(isinstance(event, Notice) and "is complete already" in event.text for event in told)
    with pytest.raises(PlanMismatchError, match=f"{place} was built with other settings: quality"):
        built(sources, place, image_mode=mode, quality=80)


def test_what_is_there_is_read_where_it_is_and_changed_elsewhere(
    sources: list[str], place: str, expected: Files, tmp_path: Path
) -> None:
    built(sources, place)
    rows = list(hfbucket.load_dataset(place, "r64", split="train", streaming=True))
    assert len(rows) == 40
    hfbucket.pull(place, tmp_path / "pulled" / "export")
    assert files_of(str(tmp_path / "pulled" / "export")) == expected["reencode_jpeg"]
    for change in (
        lambda: hfbucket.recaption(place, Config(priority=("original",))),
        lambda: hfbucket.remove(place, ids=["000.jpg"]),
        lambda: built(sources, place, update=True),
    ):
        with pytest.raises(ChangeError, match="an export is changed on this machine; pull it, change it, push it"):
            change()


def test_a_killed_driver_goes_on(sources: list[str], place: str, expected: Files) -> None:
    with driving(command(sources, place)) as driver:
        wait_for_receipts(place, 2, driver)
        driver.kill()
    there = files_of(place)
    assert "manifest.json" not in there
    assert all(expected["reencode_jpeg"][name] == data for name, data in there.items())  # whole shards, no halves
    assert subprocess.run(command(sources, place)).returncode == 0
    assert files_of(place) == expected["reencode_jpeg"]


def test_a_killed_worker_costs_nothing(sources: list[str], place: str, expected: Files) -> None:
    with driving(command(sources, place)) as driver:
        wait_for_receipts(place, 1, driver)
        workers = [path.read_text().split() for path in Path(f"/proc/{driver.pid}/task").glob("*/children")]
        os.kill(int(next(ids[0] for ids in workers if ids)), signal.SIGKILL)
        told = driver.communicate()[1]
    assert driver.returncode == 0, told
    assert files_of(place) == expected["reencode_jpeg"]


def test_shards_without_receipt_are_written_again_and_others_go(
    sources: list[str], place: str, expected: Files
) -> None:
    built(sources, place)
    fs = fsspec.filesystem("s3")
    root = place.removeprefix("s3://")
    shards = sorted(name for name in expected["reencode_jpeg"] if name.endswith(".tar"))
    for receipt in sorted(fs.find(f"{root}.work/receipts"))[:2]:
        fs.rm_file(receipt)
    fs.pipe_file(f"{root}/{shards[0]}", b"half of a shard")
    fs.pipe_file(f"{root}/{shards[-1]}", b"another size than its receipt says")
    fs.pipe_file(f"{root}/buckets/p64x64/shard-00099.tar", b"no receipt names it")
    built(sources, place)
    assert files_of(place) == expected["reencode_jpeg"]


@pytest.mark.parametrize("kind", ["error", "reset"])
def test_uploads_that_fail_are_done_again(
    endpoint: str, sources: list[str], place: str, expected: Files, kind: str
) -> None:
    with driving(command(sources, place)) as driver:
        wait_for_receipts(place, 1, driver)
        s3.fail(endpoint, kind, 9)
        told = driver.communicate()[1]
    assert driver.returncode == 0, told
    assert s3.fail(endpoint, kind, 0) == 0
    assert files_of(place) == expected["reencode_jpeg"]


def test_a_store_that_stays_away_ends_a_build_that_goes_on_later(
    endpoint: str,
    sources: list[str],
    place: str,
    expected: Files,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hfbucket.io.patience.WAIT_S", 0.001)
    monkeypatch.setattr("hfbucket.stages.rounds._PAUSE_S", 0.001)
    s3.fail(endpoint, "error", 10_000)
    with pytest.raises(BuildError) as caught:
        built(sources, place)
    s3.fail(endpoint, "error", 0)
    assert place in str(caught.value)
    assert "run the same command again to go on" in str(caught.value)
    assert "secret-of-mine" not in str(caught.value)
    built(sources, place)
    assert files_of(place) == expected["reencode_jpeg"]


def test_other_places_for_the_work_folder_and_the_cache(
    sources: list[str],
    place: str,
    expected: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A shared cache serves another machine; here that is one whose own cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    monkeypatch.setenv("HFBUCKET_CACHE", f"{place}-cache")
    built(sources, place, work_dir=str(tmp_path / "work"))
    assert (tmp_path / "work" / "finished.json").exists()
    assert not files_of(f"{place}.work")
    indexed = files_of(f"{place}-cache")
    assert {name.partition("/")[0] for name in indexed} == {"index"}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    built(sources, f"{place}-2/export", work_dir=f"{place}-work")
    assert files_of(f"{place}-cache") == indexed
    assert files_of(f"{place}-2/export") == expected["reencode_jpeg"] == files_of(place)


def test_duplicates_are_looked_for_with_a_shared_cache(
    sources: list[str], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = files_of(built(sources, str(tmp_path / "here" / "export"), dedupe="pixels", min_bucket=2))
    monkeypatch.setenv("HFBUCKET_CACHE", f"{place}-cache")
    assert files_of(built(sources, place, dedupe="pixels", min_bucket=2)) == here
    assert {name.partition("/")[0] for name in files_of(f"{place}-cache")} == {"index", "fingerprints"}


def test_what_is_no_place_for_an_export_is_refused(sources: list[str], place: str) -> None:
    for output, message in (
        ("s3://bucket", "an export is a folder in a store, got s3://bucket; give one, such as s3://bucket/export"),
        ("hf://datasets/me/photos", "an export cannot be built at hf://datasets/me/photos; build it in a folder"),
        ("ftp://me:word@there/data/export", "the password of ftp://there would be told in messages; give it by"),
    ):
        with pytest.raises(ConfigError, match=message):
            built(sources, output)
    with pytest.raises(BuildError, match=r"s3://no-such-bucket/export\.work/settings\.json"):
        built(sources, "s3://no-such-bucket/export")
    fs = fsspec.filesystem("s3")
    fs.pipe_file(f"{place.removeprefix('s3://')}/letter.txt", b"mine")
    with pytest.raises(BuildError, match=f"{place} exists and is no export; choose another output"):
        built(sources, place)


@pytest.mark.parametrize("engine", ["ray", "spark"])
def test_a_cluster_without_a_common_disk(
    sources: list[str], place: str, expected: Files, engine: str, tmp_path: Path
) -> None:
    pytest.importorskip(ENGINES[engine], reason=f"no engine {engine}: pip install hfbucket[{engine}]")
    build = command(sources, place, "--executor", engine, "--workers", "2")
    with driving(build) as driver:
        wait_for_receipts(place, 2, driver)
        driver.kill()
    assert "manifest.json" not in files_of(place)
    ran = subprocess.run(build, stderr=subprocess.PIPE, text=True)
    assert ran.returncode == 0, ran.stderr
    assert files_of(place) == expected["reencode_jpeg"]
    assert any(name.startswith("cache/index/") for name in files_of(f"{place}.work"))


def test_a_store_that_moves_files_gets_the_same(sources: list[str], expected: Files, tmp_path: Path) -> None:
    pytest.importorskip("pyftpdlib", reason="needs an FTP server: pip install pyftpdlib")
    folder = tmp_path / "served"
    folder.mkdir()
    with ftp.serving(folder) as url:
        with driving(command(sources, f"{url}/data/export")) as driver:
            while not list(folder.glob("data/export.work/receipts/*/*.parquet")):
                assert driver.poll() is None
                time.sleep(0.01)
            driver.kill()
        shards = folder.glob("data/export/buckets/*/shard-*.tar")
        assert {str(path.relative_to(folder / "data/export")): path.read_bytes() for path in shards}.items() <= (
            expected["reencode_jpeg"].items()
        )
        left = folder / "data/export/buckets" / ".shard-00000.tar.elsewhere.123.tmp"
        left.write_bytes(b"half")
        built(sources, f"{url}/data/export")
        assert not left.exists()
        assert files_of(str(folder / "data/export")) == expected["reencode_jpeg"]
        assert not hfbucket.verify(f"{url}/data/export", depth="full").problems
