"""How long captions are: figures from counts by length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Lengths:
    """Lengths of captions in characters; a percentile is the smallest length that so many have or are below."""

    mean: float
    min: int
    p5: int
    p25: int
    median: int
    p75: int
    p95: int
    max: int


def lengths_of(chars: Sequence[int], counts: Sequence[int]) -> Lengths | None:
    """Return the figures of captions of which `counts[i]` have `chars[i]` characters; None of none."""
    if not chars:
        return None
    order = np.argsort(np.asarray(chars, dtype=np.int64))
    length = np.asarray(chars, dtype=np.int64)[order]
    until = np.cumsum(np.asarray(counts, dtype=np.int64)[order])
    total = int(until[-1])

    def at(percent: int) -> int:
        return int(length[np.searchsorted(until, -(-total * percent // 100))])

    characters = int(np.dot(length, np.diff(until, prepend=0)))
    return Lengths(
        mean=round(characters / total, 1),
        min=int(length[0]),
        p5=at(5),
        p25=at(25),
        median=at(50),
        p75=at(75),
        p95=at(95),
        max=int(length[-1]),
    )
