"""What is pushed after a finished export was changed: the shards that changed, and what says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hfbucket.config import Config
from hfbucket.stages.recaption import recaption
from tests.factories import make_export
from tests.hub.client import client_here
from tests.hub.loopback import LoopbackHub
from tests.io.workspace.made import make_workspace, write_captions
from tests.stages.push.test_repo import assert_equal, assert_whole_at_every_commit, compared, publish, target

IDS = [f"drawn/p1024x1024/picture {number:03d}.jpg" for number in range(6)]


@pytest.fixture
def _here(hub: LoopbackHub, tmp_path: Path) -> Iterator[None]:
    with client_here(hub, tmp_path / "home"):
        yield


@pytest.mark.usefixtures("_here")
def test_only_changed_shards_travel(hub: LoopbackHub, tmp_path: Path) -> None:
    export, workspace = tmp_path / "export", tmp_path / "captions.sqlite"
    make_export(export, bases=(64,), divisible=8)
    make_workspace(workspace, IDS)
    write_captions(workspace, "new", {IDS[4]: "in the second shard"})
    config = Config(captions=str(workspace), priority=("new", "original"), workers=0)
    recaption(export, config)
    publish(export, target())
    write_captions(workspace, "new", {IDS[0]: "in the first"})
    report = recaption(export, config)
    assert (report.captions, report.shards) == (1, 1)
    found, _ = compared(export, target())
    assert {file.path for file in found.send} == {
        "buckets/p1024x1024/shard-00000.tar", "samples/part-00000.parquet", "README.md", "croissant.json",
        "manifest.json",
    }  # fmt: skip
    publish(export, target())
    assert_equal(hub, export)
    assert_whole_at_every_commit(hub)
    assert compared(export, target())[0].files == 0
