"""Where a build's copy of a unit lies."""

from __future__ import annotations

import hashlib

from hfbucket.io.places import Place


def name_of(url: str, version: str) -> str:
    """Return how files that belong to a unit are called."""
    return hashlib.sha256(f"{url}\n{version}".encode("utf-8", "surrogateescape")).hexdigest()[:32]


def copy_of(folder: Place, url: str, version: str) -> Place:
    """Return where the copy of a unit lies, or would."""
    return folder / name_of(url, version)
