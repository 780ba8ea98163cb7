"""Push to a Storage Bucket and by Xet: the same code path, card and manifest last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hfbucket
from hfbucket.core.card.words import Words
from hfbucket.stages.card import update_card
from scripts.kill_push import PUSH, kill_and_continue
from tests.factories import make_export
from tests.hub.client import at_every_commit, client_here
from tests.hub.loopback import LoopbackHub


def push(hub: LoopbackHub, home: Path, export: Path, target: str, *, private: bool | None = None) -> dict[str, Any]:
    with client_here(hub, home):
        return hfbucket.push(export, target, private=private).to_dict()


def test_a_storage_bucket(xet_hub: LoopbackHub, tmp_path: Path) -> None:
    export, home = tmp_path / "export", tmp_path / "home"
    make_export(export, bases=(64,), divisible=8)
    report = push(xet_hub, home, export, "hf://buckets/me/store/a/b", private=True)
    assert (report["is_new"], report["visibility"], report["checked"]) == (True, "private", ["all", "r64"])
    assert report["snippet"] == 'load_dataset("buckets/me/store/a/b", "r64", split="train", streaming=True)'
    history = [files for _, files in at_every_commit(xet_hub, "me/store", kind="bucket")]
    assert {name.removeprefix("a/b/") for name in history[-1]} == {
        path.relative_to(export).as_posix() for path in export.rglob("*.*") if path.parent.name != "ledger"
    }
    for files in history:
        shards = [name for name in files if name.endswith(".tar")]
        assert "a/b/manifest.json" not in files or len(shards) == 4
    assert push(xet_hub, home, export, "hf://buckets/me/store/a/b")["way"] == "nothing to do"
    update_card(export, Words(title="Another title"))
    report = push(xet_hub, home, export, "hf://buckets/me/store/a/b")
    assert report["kinds"] == {"others": 3}


def test_a_repository_by_xet(xet_hub: LoopbackHub, tmp_path: Path) -> None:
    export, home = tmp_path / "export", tmp_path / "home"
    make_export(export, bases=(64,), divisible=8)
    assert push(xet_hub, home, export, "me/name")["checked"] == ["all", "r64"]
    assert xet_hub.log.puts == []
    assert push(xet_hub, home, export, "me/name")["way"] == "nothing to do"


def test_a_killed_push_continues(xet_hub: LoopbackHub, tmp_path: Path) -> None:
    export, home, target = tmp_path / "export", tmp_path / "home", "hf://buckets/me/store/x"
    make_export(tmp_path / "old", bases=(64,), divisible=8, per_shard=2)
    push(xet_hub, home, tmp_path / "old", target)
    make_export(export, bases=(64,), divisible=8, per_shard=1, shards_per_bucket=6)
    assert kill_and_continue(xet_hub, export, home, kills=2, requests=40, seed=3, code=PUSH, target=target) > 0
    wholes = 0
    for commit, files in at_every_commit(xet_hub, "me/store", kind="bucket"):
        if "x/manifest.json" in files:
            wholes += 1
            buckets = json.loads(xet_hub.read(commit, "x/manifest.json"))["buckets"].values()
            named = {f"x/{shard['file']}": shard["sha256"] for entry in buckets for shard in entry["shards"]}
            assert named == {name: sha256 for name, sha256 in files.items() if name.startswith("x/buckets/")}
    assert wholes > 0
    assert set(files) == {
        f"x/{path.relative_to(export).as_posix()}" for path in export.rglob("*.*") if path.parent.name != "ledger"
    }
