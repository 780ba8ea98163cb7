"""Every fault at every step of a push: waited out or told clearly, nothing half visible; the next push ends well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import hfbucket
from hfbucket.core.events import Event
from hfbucket.errors import PushError
from tests.factories import make_export
from tests.hub.client import at_every_commit, client_here
from tests.hub.faults import Kind
from tests.hub.loopback import TOKEN, LoopbackHub

STEPS = ("revision", "validate-yaml", "create", "preupload", "lfs-batch", "put", "verify", "commit", "tree", "resolve")
"""The endpoints that a push asks, in the order in which it first does."""

FAULTS: tuple[tuple[Kind, int], ...] = (("status", 429), ("status", 500), ("drop", 0), ("lost", 0), ("cut", 0))


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "export"
    make_export(path, bases=(64,))
    return path


@pytest.fixture(autouse=True)
def _client(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with client_here(hub, tmp_path / "home"):
        yield


def push(export: Path) -> list[Event]:
    events: list[Event] = []
    hfbucket.push(export, "me/name", allow_location=True, workers=1, on_event=events.append)
    return events


def refused(export: Path) -> PushError:
    """Push; return why it failed, nothing where it did not."""
    try:
        push(export)
    except PushError as error:
        return error
    return PushError()


def check(hub: LoopbackHub, export: Path, *, complete: bool) -> None:
    """Every commit holds the export whole or nothing of it, the last one all where it is complete."""
    holds = [False]
    if ("dataset", "me/name") not in hub.store.repositories:
        assert not complete
        return
    for commit, files in at_every_commit(hub, "me/name"):
        holds.append("manifest.json" in files)
        shards = {path: sha256 for path, sha256 in files.items() if path.startswith("buckets/")}
        if holds[-1]:
            buckets = json.loads(hub.read(commit, "manifest.json"))["buckets"].values()
            named = [shard for bucket in buckets for shard in bucket["shards"]]
            assert shards == {shard["file"]: shard["sha256"] for shard in named}
            assert hub.read(commit, "README.md") == (export / "README.md").read_bytes()
        else:
            assert shards == {}
    assert holds[-1] or not complete


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("kind", "status"), FAULTS)
def test_once(hub: LoopbackHub, export: Path, step: str, kind: Kind, status: int) -> None:
    hub.faults.add(step, kind, status=status, retry_after="1" if status == 429 else None)
    events = push(export)
    assert sum(request.fault is not None for request in hub.log.requests) == 1
    check(hub, export, complete=True)
    assert TOKEN not in str(events)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["status", "lost"])
def test_for_ever(hub: LoopbackHub, export: Path, step: str, kind: Kind) -> None:
    hub.faults.add(step, kind, status=503, calls=range(1, 10_000))
    # What was done though no answer came is found done by the next try, so not all of these end in an error; and a blob
    # that is there needs no second look.
    error = refused(export)
    assert "me/name" in str(error) or kind == "lost" or step == "verify"
    assert TOKEN not in f"{error} {error.__cause__!r} {error.__context__!r}"
    check(hub, export, complete=False)
    hub.faults.clear()
    push(export)
    check(hub, export, complete=True)
    puts = [put.oid for put in hub.log.puts if put.kept]
    assert len(puts) == len(set(puts)) or (step, kind) == ("put", "lost")
