"""`hfbucket pull` against the loopback Hub: private repositories, revisions, faults, kills."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hfbucket.core.manifest.model import Manifest
from hfbucket.stages.verify.run import verify
from tests.factories import make_export
from tests.hub.client import client_environment
from tests.hub.loopback import TOKEN, LoopbackHub

REPO = "me/name"
# A process started in a shell's background ignores SIGINT, and so would its children: here an interrupt interrupts.
MAIN = """
import signal
from hfbucket.cli.main import console
signal.signal(signal.SIGINT, signal.default_int_handler)
console()
"""


@pytest.fixture
def export(hub: LoopbackHub, tmp_path: Path) -> Manifest:
    hub.create(REPO, private=True)
    manifest = make_export(tmp_path / "export", bases=(128, 64))
    hub.commit_folder(REPO, tmp_path / "export")
    return manifest


def start(hub: LoopbackHub, tmp_path: Path, *arguments: str, token: str | None = TOKEN) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, "pull", REPO, *arguments],
        env={**client_environment(hub, tmp_path / "home", token=token), "HF_DEBUG": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip


def pull(hub: LoopbackHub, tmp_path: Path, *arguments: str, code: int = 0, token: str | None = TOKEN) -> str:
    """Run the command and return what it printed, stderr where it fails; the token is in none of it."""
    process = start(hub, tmp_path, *arguments, token=token)
    out, err = process.communicate(timeout=100)
    assert process.returncode == code, err
    assert TOKEN not in out + err
    return out if code == 0 else err


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_whole_and_part_of_a_private_repository(hub: LoopbackHub, tmp_path: Path, export: Manifest) -> None:
    commit = hub.repository(REPO).history()[-1].oid
    said = pull(hub, tmp_path)
    assert f"export {export.export_id} at commit {commit}" in said
    assert "24 images in 8 shards" in said
    assert "the hash of every shard is right" in said
    assert contents(tmp_path / "name") == contents(tmp_path / "export")
    hub.log.clear()
    data = json.loads(pull(hub, tmp_path, "-o", "part", "--config", "r64", "--max-bytes", "100KB", "--json"))
    assert data["part_of"] == {
        "export_id": export.export_id, "selection": {"configs": ["r64"], "max_bytes": 100_000},
        "summary": dict(export.summary),
    }  # fmt: skip
    assert verify(tmp_path / "part").ok
    fetched = [request.path.rpartition("/")[2] for request in hub.log.requests if request.endpoint == "resolve"]
    assert sorted(set(fetched)) == ["manifest.json", "part-00000.parquet", "shard-00000.tar", "shard-00001.tar"]
    assert "log in with `hf auth login`" in pull(hub, tmp_path, "-o", "none", code=2, token=None)
    assert "no config is called 'r63'; did you mean r64?" in pull(hub, tmp_path, "--config", "r63", code=2)
    assert "max-bytes must be a size such as 500MB" in pull(hub, tmp_path, "--max-bytes", "lots", code=2)


def test_a_token_and_a_revision_on_the_command_line(hub: LoopbackHub, tmp_path: Path, export: Manifest) -> None:
    first = hub.repository(REPO).history()[-1].oid
    make_export(tmp_path / "new", bases=(64,))
    hub.commit_folder(REPO, tmp_path / "new")
    said = pull(hub, tmp_path, "--token", TOKEN, "--revision", first, "-o", "old", token=None)
    assert f"export {export.export_id} at commit {first}" in said
    assert "the Hub has no such dataset for you" in pull(hub, tmp_path, "--revision", "gone", code=2)


def test_wrong_bytes_on_the_way(hub: LoopbackHub, tmp_path: Path, export: Manifest) -> None:
    hub.faults.add("resolve", "wrong", match=".tar", calls={1})
    pull(hub, tmp_path, "-o", "out")
    assert verify(tmp_path / "out").ok
    hub.faults.add("resolve", "wrong", match="r64_p1024x1024/shard-00000.tar", calls=range(1, 9))
    said = pull(hub, tmp_path, "-o", "again", code=1)
    assert "shard-00000.tar: sha256 must be" in said
    assert not (tmp_path / "again" / "manifest.json").exists()


def test_killed_it_continues(hub: LoopbackHub, tmp_path: Path, export: Manifest) -> None:
    hub.faults.add("resolve", "slow", match=".tar", calls=range(1, 99), pause_s=0.02)
    shards = [f"/{shard.file}" for entry in export.buckets.values() for shard in entry.shards]

    def fetched() -> list[str]:
        return [request.path for request in hub.log.requests if request.path.endswith(".tar")]

    for _ in range(3):
        process = start(hub, tmp_path, "-o", "out", "--workers", "1")
        before = len(fetched())
        while process.poll() is None and len(fetched()) < before + 2:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (tmp_path / "out" / "manifest.json").exists()
    pull(hub, tmp_path, "-o", "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "export")
    # What had come whole before a kill was not asked for again; the shard that was on its way was.
    assert len(fetched()) <= len(shards) + 3


def test_interrupted_by_the_user(hub: LoopbackHub, tmp_path: Path, export: Manifest) -> None:
    hub.faults.add("resolve", "slow", match=".tar", calls=range(1, 99), pause_s=0.5)
    process = start(hub, tmp_path, "-o", "out")
    while process.poll() is None and not any(".tar" in request.path for request in hub.log.requests):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues" in err


def test_by_xet_and_from_a_storage_bucket(xet_hub: LoopbackHub, tmp_path: Path) -> None:
    make_export(tmp_path / "export", bases=(64,))
    environment = client_environment(xet_hub, tmp_path / "home")
    for target in (REPO, "hf://buckets/me/store/folder"):
        command = [sys.executable, "-c", MAIN, "push", "export", target, "--yes", "--publish-ledger"]
        subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
        command = [sys.executable, "-c", MAIN, "pull", target]
        subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
    for output in ("name", "folder"):
        there = {name: data for name, data in contents(tmp_path / output).items() if not name.startswith("ledger")}
        assert there == {n: d for n, d in contents(tmp_path / "export").items() if not n.startswith("ledger")}


PEAK = """
from hfbucket.cli.main import main
assert main(["pull", "me/name", "-o", "out"]) == 0
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_export(hub: LoopbackHub, tmp_path: Path) -> None:
    peaks_kib: list[int] = []
    for number, size in ((2, 1_000_000), (6, 12_000_000)):
        data = {f"buckets/p1024x1024/shard-{i}.tar": bytes([i, 255]) * (size // 2) for i in range(number)}
        buckets = {"p1024x1024": {"count": number, "shards": [{"file": name, "count": 1} for name in data]}}
        manifest = {"format": "bucketed_shards_v1", "base_resolution": 512, "buckets": buckets}
        if not peaks_kib:
            hub.create(REPO)
        hub.commit(REPO, {**data, "manifest.json": json.dumps(manifest).encode()})
        said = subprocess.run(
            [sys.executable, "-c", PEAK], env=client_environment(hub, tmp_path / "home"), cwd=tmp_path,
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        peaks_kib.append(int(said.splitlines()[-1]))
        shutil.rmtree(tmp_path / "out")
    assert peaks_kib[1] < 1.2 * peaks_kib[0], peaks_kib
