"""Where what was learned of images is kept: a folder of this machine, and one at a store for machines without a disk in
common.

A driver reads the index again and again, so it has all of it on its own disk; what other machines scan comes to it by
the shared one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hfbucket.config import Config
from hfbucket.io.places import Place, Remote, below, in_order, place_of, write_bytes


def cache_folder(config: Config) -> Path:
    """Return the folder of the index cache: as set, else HFBUCKET_CACHE, else in the user's cache folder."""
    for place in _named(config):
        if isinstance(place, Path):
            return place
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hfbucket"


def shared_cache(config: Config) -> Remote | None:
    """Return the cache at a store that all machines reach, where the settings or HFBUCKET_CACHE name one."""
    return next((place for place in _named(config) if isinstance(place, Remote)), None)


def _named(config: Config) -> list[Place]:
    return [place_of(name) for name in (config.cache_dir, os.environ.get("HFBUCKET_CACHE")) if name]


def with_shared_cache(config: Config, work: Place) -> Config:
    """Return the settings with a cache in a work folder at a store, for a cluster that has no other one to share."""
    if config.executor == "local" or isinstance(work, Path) or shared_cache(config) is not None:
        return config
    return replace(config, cache_dir=str(work / "cache"))


def bring(names: Sequence[str], config: Config, *, anew: bool = False) -> None:
    """Bring files of the shared cache to this machine, those that the one has and the other has not.

    Args:
        names: below both.
        anew: also those that this machine has: they may be others now.
    """
    shared, folder = shared_cache(config), cache_folder(config)
    if shared is None:
        return
    if not anew:
        shared.exists(is_first=True)  # for whether somebody answers there

    def fetch(name: str) -> None:
        with suppress(FileNotFoundError):
            data = (shared / name).read_bytes()
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / name, data)

    wanted = [name for name in names if anew or not (folder / name).exists()]
    for _ in in_order(fetch, wanted, at=shared):
        pass


def for_workers(file: str, config: Config) -> Place:
    """Return where those who run tasks read a file of the cache; the shared one is given it where it has not got it."""
    shared = shared_cache(config)
    if shared is None:
        return Path(file)
    there = shared / below(Path(file), cache_folder(config))
    if not there.exists():
        there.put(Path(file))
    return there
