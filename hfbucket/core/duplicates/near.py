"""Near duplicates: 64-bit hashes that differ in few bits, greedily in source order.

Candidates come by bands. The bits are cut into bands, each with a radius, such that the radii plus one each sum up to
N + 1: then two hashes that differ in at most N bits differ in at most its radius in one of the bands (the pigeonhole
principle; Norouzi, Punjani and Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", arXiv 1307.2982).
So hashes are looked up band by band, in a table over the band's values, at every value within its radius. How many
bands there are depends on how many hashes are looked through; what is found does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Final

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Int64s = npt.NDArray[np.int64]

HASH_BITS: Final = 64
MAX_THRESHOLD: Final = 8

_BAND_COUNTS: Final = range(3, 10)
"""Into how many bands hashes may be cut: 3 have 22 bits, and tables of 4 million entries."""

_DENSE: Final = 512
"""Up to so many hashes are compared each with each."""

_WAYS: Final = 8
"""Into how many parts more are cut, each looked up among those that stay of the parts before it."""

_TILE: Final = 1 << 17
"""Look-ups made at once: what they need stays in the processor's cache."""

_CANDIDATES: Final = 1 << 21
"""Candidates compared at once."""

# Nanoseconds of an entry of a table, a look-up and a candidate, measured; they only choose between ways to one result.
_ENTRY_NS, _LOOK_UP_NS, _CANDIDATE_NS = 4, 12, 30

_BYTE_COUNTS: Final = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Band:
    """Some neighbouring bits of a hash, and how many of them may differ."""

    shift: int
    bits: int
    radius: int

    @property
    def masks(self) -> npt.NDArray[np.uint32]:
        """Every value with at most `radius` bits set, uint32."""
        several = (combinations(range(self.bits), count) for count in range(self.radius + 1))
        return np.array([sum(1 << bit for bit in chosen) for chosen in (c for s in several for c in s)], np.uint32)

    @property
    def look_ups(self) -> int:
        """The number of masks."""
        return sum(comb(self.bits, count) for count in range(self.radius + 1))

    def of(self, hashes: Hashes) -> npt.NDArray[np.uint32]:
        """Return the band's bits of each hash."""
        return ((hashes >> np.uint64(self.shift)) & np.uint64((1 << self.bits) - 1)).astype(np.uint32)


def near_repeats(hashes: Hashes, threshold: int, *, kept: int = 0) -> tuple[Int64s, Int64s]:
    """Return the rows that go, ascending, and for each the row that stays and that it is near to.

    Row by row, one goes if it is within `threshold` bits of an earlier row that stays; its twin is the first row of
    its own hash, where that stays, else the first one within the threshold.

    Args:
        hashes: uint64[n] in source order.
        threshold: 0 to 8.
        kept: the first so many rows stay, whatever they are near to.
    """
    if not len(hashes):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    values, first, of_row = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(first)  # the distinct hashes, in source order
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first = first[order]
    twin = _settled(_spread(values[order]), threshold, int(np.searchsorted(first, kept)))
    stands_for = first[np.where(twin < 0, np.arange(len(twin)), twin)][rank[of_row.reshape(-1)]]
    rows = np.arange(len(hashes), dtype=np.int64)
    goes = np.flatnonzero((stands_for != rows) & (rows >= kept))
    return goes, stands_for[goes]


def distances(a: Hashes, b: Hashes) -> npt.NDArray[np.uint8]:
    """Return in how many bits hashes differ, 0 to 64."""
    differing = np.bitwise_xor(a, b)
    if hasattr(np, "bitwise_count"):
        counted: npt.NDArray[np.uint8] = np.bitwise_count(differing)
        return counted
    return _table_count(differing)  # numpy 1


def _table_count(values: Hashes) -> npt.NDArray[np.uint8]:
    octets = np.ascontiguousarray(values)[..., None].view(np.uint8)
    counted: npt.NDArray[np.uint8] = _BYTE_COUNTS[octets].sum(axis=-1, dtype=np.uint8)
    return counted


def _spread(hashes: Hashes) -> Hashes:
    """Return the hashes with their bits in another order: neighbours go to different bands, as they are alike."""
    result = np.zeros_like(hashes)
    for bit in range(HASH_BITS):
        result |= ((hashes >> np.uint64(bit)) & np.uint64(1)) << np.uint64(bit * 21 % HASH_BITS)
    return result


def _settled(hashes: Hashes, threshold: int, kept: int) -> Int64s:
    """Return for every hash, all distinct, the position of the one that it goes for; -1 where it stays."""
    twin = np.full(len(hashes), -1, dtype=np.int64)
    if threshold:
        rows = np.arange(kept, len(hashes), dtype=np.int64)
        _settle(hashes, _unmatched(hashes, np.arange(kept, dtype=np.int64), rows, twin, threshold), twin, threshold)
    return twin


def _settle(hashes: Hashes, rows: Int64s, twin: Int64s, threshold: int) -> None:
    """Settle rows that are near to nothing that stands before all of them."""
    if len(rows) <= _DENSE:
        _settle_dense(hashes, rows, twin, threshold)
        return
    staying = rows[:0]
    for part in np.array_split(rows, _WAYS):
        _settle(hashes, _unmatched(hashes, staying, part, twin, threshold), twin, threshold)
        staying = np.concatenate([staying, part[twin[part] < 0]])


def _settle_dense(hashes: Hashes, rows: Int64s, twin: Int64s, threshold: int) -> None:
    values = hashes[rows]
    close = np.triu(distances(values[:, None], values) <= threshold, 1)
    for at in np.flatnonzero(close.any(axis=1)):
        if twin[rows[at]] < 0:
            later = rows[close[at]]
            twin[later[twin[later] < 0]] = rows[at]


def _unmatched(hashes: Hashes, staying: Int64s, rows: Int64s, twin: Int64s, threshold: int) -> Int64s:
    """Return the rows near to none of those staying, after noting for the others the first one of these."""
    if not len(staying) or not len(rows):
        return rows
    found = _first_within(hashes[staying], hashes[rows], threshold)
    is_near = found < len(staying)
    twin[rows[is_near]] = staying[found[is_near]]
    return rows[~is_near]


def _first_within(known: Hashes, asked: Hashes, threshold: int) -> Int64s:
    """Return for each asked hash the position of the first known one within the threshold; len(known) for none."""
    first = np.full(len(asked), len(known), dtype=np.int64)
    for band in _bands(threshold, len(known), len(asked)):
        keys = band.of(known)
        order = _sorted_by(keys)
        counts = np.bincount(keys, minlength=1 << band.bits)
        ordered, places = known[order], band.of(asked)
        for which, begin, count in _look_ups(places, band.masks, counts):
            candidates = np.repeat(begin - np.concatenate(([0], np.cumsum(count)[:-1])), count)
            candidates += np.arange(len(candidates))
            asking = np.repeat(which, count)
            near = np.flatnonzero(distances(ordered[candidates], asked[asking]) <= threshold)
            np.minimum.at(first, asking[near], order[candidates[near]])
    return first


def _sorted_by(keys: npt.NDArray[np.uint32]) -> Int64s:
    """Return the positions of the keys, ascending by key, then position."""
    both = keys.astype(np.uint64) << np.uint64(32) | np.arange(len(keys), dtype=np.uint64)
    both.sort()  # several times faster than sorting positions
    return (both & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _look_ups(
    places: npt.NDArray[np.uint32], masks: npt.NDArray[np.uint32], counts: Int64s
) -> Iterator[tuple[Int64s, Int64s, Int64s]]:
    """Yield (who asks, first candidate, how many) of look-ups that found some, a bounded number of candidates each."""
    filled = counts > 0  # most are not, and this table is the small one
    starts = np.cumsum(counts) - counts
    height = min(len(places), max(1, _TILE // len(masks)))
    width = max(1, _TILE // height)
    for top in range(0, len(places), height):
        for left in range(0, len(masks), width):
            keys = (places[top : top + height, None] ^ masks[left : left + width]).ravel()
            found = np.flatnonzero(filled[keys])
            which, keys = top + found // min(width, len(masks) - left), keys[found]
            yield from _bounded(which, starts[keys], counts[keys])


def _bounded(which: Int64s, begin: Int64s, count: Int64s) -> Iterator[tuple[Int64s, Int64s, Int64s]]:
    ends = np.cumsum(count)
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _CANDIDATES, side="right")))
        yield which[start:stop], begin[start:stop], count[start:stop]
        start = stop


def _bands(threshold: int, known: int, asked: int) -> list[_Band]:
    """Return the bands that make looking up so many hashes among so many cheapest, were their bits random."""
    options = [_cut(threshold, count) for count in _BAND_COUNTS]
    return min(options, key=lambda bands: sum(_cost(band, known, asked) for band in bands))


def _cut(threshold: int, count: int) -> list[_Band]:
    """Return up to `count` bands whose radii plus one each sum up to threshold + 1; what is left over is not needed."""
    spare = threshold + 1 - count
    bands, shift = [], 0
    for number in range(count):
        bits = HASH_BITS // count + (number < HASH_BITS % count)
        bands.append(_Band(shift=shift, bits=bits, radius=spare // count + (number < spare % count)))
        shift += bits
    return [band for band in bands if band.radius >= 0]


def _cost(band: _Band, known: int, asked: int) -> int:
    look_up = _LOOK_UP_NS + _CANDIDATE_NS * known // (1 << band.bits)
    return (_ENTRY_NS << band.bits) + asked * band.look_ups * look_up
