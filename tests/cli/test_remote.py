"""`hfbucket verify`, `why` and `card` of an export on the loopback Hub."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from hfbucket.core.manifest.model import Manifest
from tests.factories import make_export
from tests.hub.client import at_every_commit, client_environment
from tests.hub.loopback import TOKEN, LoopbackHub

REPO = "me/name"
MAIN = "from hfbucket.cli.main import console; console()"


@pytest.fixture
def export(hub: LoopbackHub, tmp_path: Path) -> Manifest:
    manifest = make_export(tmp_path / "export", bases=(128, 64))
    hub.commit_folder(REPO, tmp_path / "export")
    return manifest


def run(hub: LoopbackHub, tmp_path: Path, *arguments: str, code: int = 0, **variables: str) -> str:
    environment = {**client_environment(hub, tmp_path / "home"), **variables}
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *arguments],
        env=environment, cwd=tmp_path, text=True, capture_output=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == code, done.stderr + done.stdout
    assert TOKEN not in done.stdout + done.stderr
    return done.stdout if code < 2 else done.stderr


def shards_read(hub: LoopbackHub) -> list[str | None]:
    return [request.range for request in hub.log.requests if request.path.endswith(".tar")]


def test_verify_by_the_listing(hub: LoopbackHub, tmp_path: Path, export: Manifest) -> None:
    said = run(hub, tmp_path, "verify", REPO)
    assert "note: 9 of 9 files compared by hash without reading them; --deep reads all" in said
    assert "no problems (structure): 24 samples in 8 shards" in said
    assert not shards_read(hub)
    old = hub.repository(REPO).history()[-1].oid
    shard = export.buckets["r64_p1024x1024"].shards[1]
    data = bytearray((tmp_path / "export" / shard.file).read_bytes())
    data[700] ^= 1
    stray = "buckets/r64_p1024x1024/shard-00007.tar"
    hub.commit(REPO, {shard.file: bytes(data), stray: bytes(data)})
    report = json.loads(run(hub, tmp_path, "verify", REPO, "--json", code=1))
    assert [(p["code"], p["file"]) for p in report["problems"]] == [("hash", shard.file), ("stray", stray)]
    assert "the listing says" in report["problems"][0]["message"]
    assert "no problems" in run(hub, tmp_path, "verify", REPO, "--revision", old)
    assert not shards_read(hub)


def test_verify_deep_and_by_samples(hub: LoopbackHub, tmp_path: Path, export: Manifest) -> None:
    hub.faults.add("resolve", "cut", match=".tar", calls={2})
    assert "no problems (quick)" in run(hub, tmp_path, "verify", f"datasets/{REPO}", "--deep")
    assert len(shards_read(hub)) == 9
    hub.log.clear()
    said = run(hub, tmp_path, "verify", REPO, "--sample", "5")
    assert "no problems (structure): 24 samples in 8 shards" in said
    assert "5 of them opened" in said
    ranges = [text.removeprefix("bytes=").split("-") for text in shards_read(hub) if text]
    assert len(ranges) == len(shards_read(hub)) == 5
    largest = max(shard.bytes or 0 for entry in export.buckets.values() for shard in entry.shards)
    assert all(int(stop) - int(start) < largest / 2 for start, stop in ranges)


def test_verify_of_nothing(hub: LoopbackHub, tmp_path: Path) -> None:
    assert "the Hub has no such dataset for you" in run(hub, tmp_path, "verify", "me/nothing", code=2)
    hub.create("me/empty")
    assert run(hub, tmp_path, "verify", "me/empty", code=1) == ""


def test_why(hub: LoopbackHub, tmp_path: Path, export: Manifest) -> None:
    image_id = "drawn/tiny-0.png"
    here = run(hub, tmp_path, "why", str(tmp_path / "export"), image_id)
    assert run(hub, tmp_path, "why", REPO, image_id) == here
    assert not shards_read(hub)
    hub.repository(REPO).commit("main", lambda files: files.__delitem__("ledger/part-00000.parquet"), title="no ledger")
    assert "This copy has no ledger" in run(hub, tmp_path, "why", REPO, image_id, code=2)


def test_card_check(hub: LoopbackHub, tmp_path: Path, export: Manifest) -> None:
    assert "card and manifest agree" in run(hub, tmp_path, "card", REPO, "--check")
    card = (tmp_path / "export" / "README.md").read_bytes()
    hub.commit(REPO, {"README.md": card.replace(b"buckets/r64_", b"buckets/r65_")})
    assert "card and manifest disagree" in run(hub, tmp_path, "card", REPO, "--check", code=1)


def test_card_words_change_in_one_commit(hub: LoopbackHub, tmp_path: Path, export: Manifest) -> None:
    shutil.copytree(tmp_path / "export", tmp_path / "same")
    words = ("--title", "Birds", "--license", "cc-by-4.0")
    hub.faults.add("commit", "lost", calls={1})
    assert "Changed title, license." in run(hub, tmp_path, "card", REPO, *words, SOURCE_DATE_EPOCH="0")
    run(hub, tmp_path, "card", str(tmp_path / "same"), *words, SOURCE_DATE_EPOCH="0")
    (_, before), (last, after) = list(at_every_commit(hub, REPO))[-2:]
    assert last.title == "Card: title, license"
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"README.md", "croissant.json", "manifest.json"}
    for name in changed:
        assert after[name] == sha256((tmp_path / "same" / name).read_bytes()).hexdigest()
    assert "No word changed" in run(hub, tmp_path, "card", REPO, *words)
    assert len(hub.log.commits) == 1
    assert "no problems" in run(hub, tmp_path, "verify", REPO)
