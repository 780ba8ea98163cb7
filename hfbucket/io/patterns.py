"""Files of this machine by patterns of their names. pathlib's own search passes over folders that cannot be listed."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return what lies below a folder and matches a pattern, sorted; nothing where there is no such folder.

    Args:
        pattern: names with `*`, parted by `/`; one that ends in `/` matches folders alone.

    Raises:
        OSError: a folder cannot be listed.
    """
    places = [folder]
    for name in pattern.rstrip("/").split("/"):
        places = [place / each for place in places for each in _listed(place) if fnmatchcase(each, name)]
    return sorted(place for place in places if place.is_dir()) if pattern.endswith("/") else sorted(places)


def _listed(place: Path) -> list[str]:
    try:
        return os.listdir(place)
    except (FileNotFoundError, NotADirectoryError):
        return []
