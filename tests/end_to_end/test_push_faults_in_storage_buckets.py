"""Every fault at every step of a push to a Storage Bucket: what its manifest names is there at every moment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hfbucket
from hfbucket.core.events import Event
from tests.factories import make_export
from tests.hub.client import at_every_commit, client_here
from tests.hub.faults import Kind
from tests.hub.loopback import TOKEN, LoopbackHub

STEPS = ("info", "create", "tree", "xet-token", "batch", "resolve")
"""The endpoints of a Storage Bucket that a push asks."""


def check(hub: LoopbackHub) -> None:
    """Hold every state of the bucket against the manifest that it has, if any, and see that the last one has one."""
    for state, files in at_every_commit(hub, "me/store", kind="bucket"):
        if "here/manifest.json" in files:
            buckets = json.loads(hub.read(state, "here/manifest.json"))["buckets"].values()
            named = {f"here/{shard['file']}": shard["sha256"] for bucket in buckets for shard in bucket["shards"]}
            assert named.items() <= files.items()
    assert named.keys() == {path for path in files if path.endswith(".tar")}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["status", "lost"])
def test_once(xet_hub: LoopbackHub, tmp_path: Path, step: str, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    make_export(tmp_path / "export", bases=(64,))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    events: list[Event] = []
    xet_hub.faults.add(f"bucket-{step}", kind, status=503)
    with client_here(xet_hub, tmp_path / "home"):
        hfbucket.push(
            tmp_path / "export", "hf://buckets/me/store/here", allow_location=True, workers=1, on_event=events.append
        )
    assert sum(request.fault is not None for request in xet_hub.log.requests) == 1
    check(xet_hub)
    assert TOKEN not in str(events)
