"""SIGKILL at random moments of a push, continued: scripts/kill_push.py does the same with many shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.kill_push import PUSH, check, kill_and_continue
from tests.factories import make_export
from tests.hub.loopback import LoopbackHub

SMALL_PARTS = f"""
import hfbucket.core.transfer.push, hfbucket.stages.push.repo
hfbucket.stages.push.repo.COMMIT_FILES = 5
hfbucket.core.transfer.push.in_parts.__defaults__ = (4,)
{PUSH}"""


@pytest.mark.parametrize(("code", "requests", "refs"), [(PUSH, 50, {"main"}), (SMALL_PARTS, 75, {"refs/pr/1"})])
def test_a_killed_push_continues(hub: LoopbackHub, tmp_path: Path, code: str, requests: int, refs: set[str]) -> None:
    export, home = tmp_path / "export", tmp_path / "home"
    make_export(export, bases=(64,), divisible=8, per_shard=1, shards_per_bucket=8)
    assert kill_and_continue(hub, export, home, kills=2, requests=requests, seed=2, code=code) > 0
    check(hub, export, home, code)
    assert {committed.ref for committed in hub.log.commits} == refs
