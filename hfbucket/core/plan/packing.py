"""Packing: how many bytes a sample is planned to take, and where shards are cut (FORMAT section 6)."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]

SAMPLE_OVERHEAD_BYTES: Final = 4096
"""What the tar headers, the padding and the small members of a sample count for."""

# Part of the format. Bytes per 1000 pixels of JPEGs at up to that quality with 4:2:0, 4:2:2 and 4:4:4; a little more
# than photos need. Other encoders' bytes never move a cut.
_BYTES_PER_1000_PX: Final[tuple[tuple[int, int, int, int], ...]] = (
    (10, 50, 60, 70),
    (20, 70, 85, 100),
    (30, 90, 105, 120),
    (40, 105, 120, 140),
    (50, 120, 140, 160),
    (60, 140, 160, 185),
    (70, 165, 185, 215),
    (75, 180, 205, 240),
    (80, 210, 235, 275),
    (85, 245, 275, 325),
    (90, 310, 350, 410),
    (92, 340, 385, 455),
    (94, 410, 460, 545),
    (95, 450, 510, 600),
    (96, 505, 575, 685),
    (97, 570, 650, 780),
    (98, 645, 750, 900),
    (99, 795, 940, 1155),
    (100, 915, 1120, 1460),
)
_COLUMN: Final = {"4:2:0": 1, "4:2:2": 2, "4:4:4": 3}

FULL_QUALITY: Final = 95
FULL_SUBSAMPLING: Final = "4:4:4"
"""How passthrough encodes, at full size, what cannot be passed through (FORMAT section 5)."""


def bytes_per_1000_px(quality: int, subsampling: str) -> int:
    """Return `k`: the bytes that 1000 pixels are planned to take as JPEG.

    Args:
        quality: 1 to 100.
        subsampling: "4:2:0", "4:2:2" or "4:4:4".
    """
    row = next(row for row in _BYTES_PER_1000_PX if quality <= row[0])
    return row[_COLUMN[subsampling]]


def encoded_bytes(pixels: Int64s, bytes_per_1000: Int64s | int) -> Int64s:
    """Return the planned bytes of samples whose image is encoded, int64[n]: overhead and ceil(pixels * k / 1000)."""
    return SAMPLE_OVERHEAD_BYTES - (-pixels * bytes_per_1000) // 1000


def kept_bytes(source_bytes: Int64s) -> Int64s:
    """Return the planned bytes of samples that keep their source's bytes, int64[n]."""
    return SAMPLE_OVERHEAD_BYTES + source_bytes


def fine_chroma_from(target: int, threshold: Fraction) -> int:
    """Return the smallest source side in pixels for which `target / side <= threshold`; 2**63 - 1 for none.

    `adaptive_scale` keeps full chroma (4:4:4) where that holds of both sides: where the cover scale max(W/w, H/h) is
    at most the threshold.
    """
    if threshold <= 0:
        return 2**63 - 1
    return min(2**63 - 1, -(-target * threshold.denominator // threshold.numerator))


def cut(pieces: Iterable[Int64s], max_bytes: int, max_samples: int) -> tuple[Int64s, Int64s]:
    """Return how many samples each shard of one bucket has, and their planned bytes, both int64[shards].

    A shard closes before the sample that would exceed either limit; a single larger one stands alone. The loop is
    over shards.

    Args:
        pieces: the planned bytes of the samples, in their order, some at a time.
    """
    shards: list[tuple[int, int]] = []
    samples = size_bytes = 0  # of the shard that is open
    for piece in pieces:
        ends = np.cumsum(piece, dtype=np.int64)
        done = before = 0
        while done < len(piece):
            fitting = int(np.searchsorted(ends, before + max_bytes - size_bytes, side="right"))
            stop = min(max(fitting, done + (samples == 0)), done + max_samples - samples, len(piece))
            if stop > done:
                samples, size_bytes = samples + stop - done, size_bytes + int(ends[stop - 1]) - before
                done, before = stop, int(ends[stop - 1])
            if done < len(piece):
                shards.append((samples, size_bytes))
                samples = size_bytes = 0
    if samples:
        shards.append((samples, size_bytes))
    columns = np.array(shards, dtype=np.int64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]
