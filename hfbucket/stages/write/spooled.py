"""A spooled unit: a tar with some of its images, and beside it where each lies."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hfbucket.io.places import Place, open_random
from hfbucket.stages.copied import name_of

Int64s = npt.NDArray[np.int64]


class Spooled:
    """A spooled unit; read like the unit itself, by the places that its index rows tell."""

    def __init__(self, tar: Place, places: Place) -> None:
        self._file = open_random(tar)
        # int64[2, images]: offset in the unit, ascending, and offset in the tar
        if isinstance(places, Path):
            self._places = np.load(places, mmap_mode="r", allow_pickle=False)
        else:
            self._places = np.load(io.BytesIO(places.read_bytes()), allow_pickle=False)

    def pread(self, offset: int, size: int) -> bytes:
        """Return the bytes of the image that lies at `offset` in its unit; nothing where it was not spooled."""
        at = int(np.searchsorted(self._places[0], offset))
        if at == self._places.shape[1] or self._places[0, at] != offset:
            return b""
        return self._file.pread(int(self._places[1, at]), size)

    @property
    def is_here(self) -> bool:
        """Whether it lies on this machine."""
        return self._file.is_here

    def has(self, offsets: Int64s) -> bool:
        """Return whether all of these images were spooled."""
        return bool(np.isin(offsets, self._places[0]).all())

    def close(self) -> None:
        """Close the tar."""
        self._file.close()


def open_spooled(spool: Place, url: str, version: str, there: Callable[[str], bool]) -> Spooled | None:
    """Return the spooled copy of a unit, or None where there is none.

    Args:
        there: tells of a name whether it is in the spool.
    """
    tar, places = spool_files(spool, url, version)
    return Spooled(tar, places) if there(places.name) and there(tar.name) else None


def spool_files(spool: Place, url: str, version: str) -> tuple[Place, Place]:
    """Return where the tar of a spooled unit lies, and its places."""
    name = name_of(url, version)
    return spool / f"{name}.tar", spool / f"{name}.npy"
