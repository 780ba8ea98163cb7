"""Every test runs offline, with caches of its own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.hub.loopback import LoopbackHub, serving

# Read by datasets and huggingface_hub when they are imported, so set before any test module is.
_CACHE = tempfile.mkdtemp(prefix="hfbucket-tests-")
os.environ.update(
    HF_HOME=_CACHE,
    HF_HUB_OFFLINE="1",
    HF_UPDATE_DOWNLOAD_COUNTS="0",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_DATASETS_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
)

# A loaded machine is slow; how long an example takes proves nothing.
settings.register_profile("hfbucket", deadline=None)
settings.load_profile("hfbucket")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HFBUCKET_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The collection of real photos and hard images; tests that need it skip where it is not."""
    root = Path(os.environ.get("HFBUCKET_TEST_DATA", SHARED))
    if not root.is_dir():
        pytest.skip(f"needs the shared photo collection at {root}")
    return root


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LoopbackHub]:
    """A Hub on the loopback; tests/hub/client.py says how to use it."""
    with serving(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def xet_hub(tmp_path: Path) -> Iterator[LoopbackHub]:
    """A Hub on the loopback that takes large files by Xet, and has Storage Buckets."""
    from tests.hub.client import xet_works  # which imports huggingface_hub

    if not xet_works():
        pytest.skip("needs an hf_xet that can keep its store in a folder (local://)")
    with serving(tmp_path / "hub", xet=True) as running:
        yield running
