"""Every fault at every step of a pull: waited out or told clearly; what arrives is what its hashes say, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import hfbucket
from hfbucket.errors import HfBucketError
from tests.factories import make_export
from tests.hub.client import client_here
from tests.hub.faults import Kind
from tests.hub.loopback import TOKEN, LoopbackHub

STEPS = ("revision", "tree", "resolve")
"""The endpoints that a pull asks."""

FAULTS: tuple[tuple[Kind, int], ...] = (
    ("status", 429), ("status", 500), ("drop", 0), ("lost", 0), ("cut", 0), ("slow", 0),
)  # fmt: skip


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "export"
    make_export(path, bases=(64,))
    return path


@pytest.fixture(autouse=True)
def _client(hub: LoopbackHub, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    hub.create("me/name", private=True)
    hub.commit_folder("me/name", export)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with client_here(hub, tmp_path / "home"):
        yield


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("redirects", [False, True])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("kind", "status"), FAULTS)
def test_once(
    hub: LoopbackHub, export: Path, tmp_path: Path, step: str, kind: Kind, status: int, redirects: bool
) -> None:
    hub.redirects = redirects
    step = "cdn" if redirects and step == "resolve" else step
    hub.faults.add(step, kind, status=status, retry_after="1" if status == 429 else None, pause_s=0)
    hfbucket.pull("me/name", tmp_path / "here")
    assert sum(request.fault is not None for request in hub.log.requests) == 1
    assert files(tmp_path / "here") == files(export)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["status", "drop", "cut"])
def test_for_ever(hub: LoopbackHub, export: Path, tmp_path: Path, step: str, kind: Kind) -> None:
    hub.faults.add(step, kind, status=503, calls=range(1, 10_000))
    with pytest.raises(HfBucketError, match="me/name") as caught:
        hfbucket.pull("me/name", tmp_path / "here")
    assert TOKEN not in f"{caught.value} {caught.value.__cause__!r} {caught.value.__context__!r}"
    kept = files(export)
    assert all(kept.get(name) == data for name, data in files(tmp_path / "here").items() if ".pull" not in name)
    hub.faults.clear()
    hfbucket.pull("me/name", tmp_path / "here")
    assert files(tmp_path / "here") == kept


@pytest.mark.parametrize("match", [".tar", ".parquet", "manifest.json"])
def test_wrong_bytes(hub: LoopbackHub, export: Path, tmp_path: Path, match: str) -> None:
    hub.faults.add("resolve", "wrong", match=match, calls=range(1, 10_000))
    with pytest.raises(HfBucketError, match=match):
        hfbucket.pull("me/name", tmp_path / "here")
    assert not [name for name in files(tmp_path / "here") if name.endswith(match) and ".pull" not in name]
    hub.faults.clear()
    hfbucket.pull("me/name", tmp_path / "here")
    assert files(tmp_path / "here") == files(export)
