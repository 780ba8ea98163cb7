"""Duplicates among images: which go, and for which that stays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hfbucket.core.duplicates.exact import Int64s, Words, repeats
from hfbucket.core.duplicates.near import Hashes, distances, near_repeats

Bools = npt.NDArray[np.bool_]

EQUAL: Final = -1
"""The distance of images that are equal, in bytes or pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprints:
    """What images are compared by, in source order: 26 bytes an image.

    An image has either a hash that must be equal or one that must be near, or none: then it is nobody's duplicate.
    """

    #: uint64[n, 2]: the first 16 bytes of a SHA-256 of its bytes or its pixels, as big-endian words.
    exact: Words
    has_exact: Bools
    #: uint64[n]: difference hashes.
    near: Hashes
    has_near: Bools

    @classmethod
    def empty(cls, images: int) -> Fingerprints:
        """Return those of so many images without any, to be filled in."""
        return cls(
            exact=np.zeros((images, 2), dtype=np.uint64),
            has_exact=np.zeros(images, dtype=bool),
            near=np.zeros(images, dtype=np.uint64),
            has_near=np.zeros(images, dtype=bool),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Twins:
    """Images that go, by position ascending, and for each the one that stays."""

    rows: Int64s
    twin: Int64s
    #: Bits in which their difference hashes differ; EQUAL where bytes or pixels are equal.
    distance: npt.NDArray[np.int8]

    @classmethod
    def none(cls) -> Twins:
        """Return that no image goes."""
        return cls(rows=np.zeros(0, np.int64), twin=np.zeros(0, np.int64), distance=np.zeros(0, np.int8))

    @property
    def sha256(self) -> str:
        """A hash of all of it."""
        columns = (self.rows.astype("<i8"), self.twin.astype("<i8"), self.distance)
        return hashlib.sha256(b"".join(values.tobytes() for values in columns)).hexdigest()

    def at(self, positions: Int64s) -> Twins:
        """Return the same of images that stand at these positions, ascending."""
        return Twins(rows=positions[self.rows], twin=positions[self.twin], distance=self.distance)


def find_twins(prints: Fingerprints, *, near_threshold: int, kept: int = 0) -> Twins:
    """Return the images that go: in order, each that is equal or near to an earlier one that stays.

    Args:
        prints: in source order.
        near_threshold: in how many bits difference hashes may differ, 0 to 8.
        kept: the first so many images stay, as in an export that others are added to.
    """
    again, first = repeats(prints.exact, np.flatnonzero(prints.has_exact))
    again, first = again[again >= kept], first[again >= kept]
    hashed = np.flatnonzero(prints.has_near)
    near, of = near_repeats(prints.near[hashed], near_threshold, kept=int(np.searchsorted(hashed, kept)))
    near, of = hashed[near], hashed[of]
    apart = distances(prints.near[near], prints.near[of]).astype(np.int8)
    rows = np.concatenate([again, near])
    order = np.argsort(rows)
    return Twins(
        rows=rows[order],
        twin=np.concatenate([first, of])[order],
        distance=np.concatenate([np.full(len(again), EQUAL, dtype=np.int8), apart])[order],
    )
