"""Caches: on this machine, and at a store for machines without a disk in common."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from hfbucket.config import Config
from hfbucket.io.places import Remote
from hfbucket.stages.caches import bring, cache_folder, for_workers, shared_cache, with_shared_cache

SHARED = Remote("memory://data/cache")


@pytest.fixture(autouse=True)
def _store() -> Iterator[None]:
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.mark.parametrize(
    ("setting", "variable", "here", "shared"),
    [
        (None, None, "xdg/hfbucket", None),
        (None, "env", "env", None),
        ("set", "env", "set", None),
        (None, str(SHARED), "xdg/hfbucket", SHARED),
        (str(SHARED), "env", "env", SHARED),
        ("set", str(SHARED), "set", SHARED),
    ],
)
def test_a_cache_is_named_by_settings_then_environment(
    setting: str | None, variable: str | None, here: str, shared: Remote | None,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HFBUCKET_CACHE", variable or "")
    config = Config(cache_dir=setting)
    assert (cache_folder(config), shared_cache(config)) == (tmp_path / here, shared)


def test_a_cluster_shares_a_cache_in_a_work_folder_at_a_store(tmp_path: Path) -> None:
    work = Remote("s3://bucket/export.work")
    assert shared_cache(with_shared_cache(Config(executor="ray"), work)) == work / "cache"
    for config, place in (
        (Config(), work),
        (Config(executor="ray"), tmp_path),
        (Config(executor="spark", cache_dir=str(SHARED)), work),
    ):
        assert with_shared_cache(config, place) == config


def test_files_go_from_one_cache_to_the_other(tmp_path: Path) -> None:
    config = Config(cache_dir=str(SHARED))
    here = cache_folder(config)
    (SHARED / "index/a").put(b"theirs")
    bring(["index/a", "index/b"], config)
    assert (here / "index/a").read_bytes() == b"theirs"
    assert not (here / "index/b").exists()
    (SHARED / "index/a").put(b"new")
    bring(["index/a"], config)
    assert (here / "index/a").read_bytes() == b"theirs"
    bring(["index/a"], config, anew=True)
    assert (here / "index/a").read_bytes() == b"new"
    (here / "index/b").write_bytes(b"ours")
    assert for_workers(str(here / "index/b"), config) == SHARED / "index/b"
    assert (SHARED / "index/b").read_bytes() == b"ours"
    alone = Config(cache_dir=str(tmp_path))
    bring(["index/a"], alone)
    assert for_workers(str(tmp_path / "c"), alone) == tmp_path / "c"
