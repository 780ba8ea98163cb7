"""Growth: which inputs an export has not seen, which it has, and what became of those (pure, columnar)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.duplicates.exact import repeats
from hfbucket.core.law.geometry import Words
from hfbucket.core.outcomes import CODE, EXPORTED
from hfbucket.core.plan.rows import Rows
from hfbucket.core.plan.standing import Standing

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]

NEW: Final = 0
"""An input that the export has not seen."""
HELD: Final = 1
"""The export has it; it stays as it is."""
LEFT_OUT: Final = 2
"""It was left out, and is looked at again: its file, its caption or the number of its like may have changed."""
SETTLED: Final = 3
"""It was left out and stays so: a duplicate, or one of several inputs with one image_id."""
REMOVED: Final = 4
"""It was taken out of the finished export, and never comes back by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the tables of an export tell about the inputs it has seen. Keys are words: uint64[·, 2], big-endian."""

    #: Of every sample, in the order of the sample tables, with the source's size in pixels after orientation.
    keys: Words
    source_w: Int64s
    source_h: Int64s
    #: Bytes of the source image where the sample keeps them as they are, else -1.
    source_bytes: Int64s
    #: The image_ids that were left out, as the ledger has them, and the code of each one's outcome.
    left_out: pa.Array
    outcome: npt.NDArray[np.uint8]
    #: Of what was removed.
    removed: Words


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """How the rows of an index stand to an export."""

    #: uint8[n]: NEW, HELD, LEFT_OUT, SETTLED or REMOVED.
    state: npt.NDArray[np.uint8]
    #: int64[n]: place in `Known.left_out` of LEFT_OUT rows, else -1.
    listed: Int64s
    #: Index rows, ascending, that are HELD though their image is another one now.
    changed: Int64s
    #: Samples, ascending, that no row of the index has.
    gone: Int64s

    def standing(self, images: Int64s, next_shard: Int64s) -> Standing:
        """Return what a plan of the same rows adds to; `images` and `next_shard` are of every bucket."""
        outcome = np.full(len(self.state), EXPORTED, dtype=np.uint8)
        outcome[self.state == SETTLED] = CODE["duplicates_removed"]
        outcome[self.state == REMOVED] = CODE["removed"]
        return Standing(
            apart=~np.isin(self.state, (NEW, LEFT_OUT)),
            outcome=outcome,
            # What equals an image that was taken out is no more wanted than that one.
            earlier=np.isin(self.state, (HELD, REMOVED)),
            images=images,
            next_shard=next_shard,
        )


def grow(rows: Rows, listed: Int64s, known: Known) -> Growth:
    """Return which rows of an index an export has not seen, has, or left out.

    An image is known by its key. Held images are compared by their size in pixels and, where the export keeps the
    source's bytes, by their number: both stand in index and tables, so nothing is read for it.

    Args:
        listed: int64[n], what `places_of` gives for the image_ids of the rows among those left out.
    """
    sample, removed = match(rows.words, known.keys), match(rows.words, known.removed)
    state = np.full(len(sample), NEW, dtype=np.uint8)
    state[listed >= 0] = LEFT_OUT
    duplicate = np.append(known.outcome == CODE["duplicates_removed"], False)[listed]
    several = np.zeros(len(sample), dtype=bool)
    for part in repeats(rows.words):
        several[part] = True
    state[(listed >= 0) & (duplicate | several)] = SETTLED
    state[sample >= 0] = HELD
    state[removed >= 0] = REMOVED
    held = np.flatnonzero(state == HELD)
    seen = np.zeros(len(known.keys), dtype=bool)
    seen[sample[sample >= 0]] = True
    return Growth(
        state=state,
        listed=np.where(state == LEFT_OUT, listed, -1),
        changed=held[_is_other(rows, held, known, sample[held])],
        gone=np.flatnonzero(~seen),
    )


def places_of(image_ids: pa.ChunkedArray, among: pa.Array) -> Int64s:
    """Return for every image_id its place in an array, int64[n], -1 where it is not there."""
    places: Int64s = pc.fill_null(pc.index_in(image_ids, value_set=among), -1).to_numpy().astype(np.int64)
    return places


def match(words: Words, keys: Words) -> Int64s:
    """Return for every row the place of its key in `keys`, int64[n], -1 where it is not there.

    Args:
        words: uint64[n, >= 2], digests.
        keys: uint64[m, 2], each once.
    """
    at = pc.index_in(_as_bytes(words[:, :2]), value_set=_as_bytes(keys))
    found: Int64s = pc.fill_null(at, -1).to_numpy().astype(np.int64)
    return found


def _as_bytes(keys: Words) -> pa.Array:
    """Return keys as values of 16 bytes, in whatever order of bytes."""
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(keys), [None, pa.py_buffer(np.ascontiguousarray(keys))]
    )


def key_words(keys: bytes) -> Words:
    """Return keys, 16 bytes each, as words: uint64[n, 2]."""
    return np.frombuffer(keys, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def _is_other(rows: Rows, held: Int64s, known: Known, sample: Int64s) -> Bools:
    """Return which held rows have another image than their sample was made of."""
    sizes, size_bytes = rows.numbers.sizes(), rows.size_bytes[held]
    w, h = sizes.width[rows.size[held]], sizes.height[rows.size[held]]
    other_size = (w != known.source_w[sample]) | (h != known.source_h[sample])
    kept = known.source_bytes[sample]
    # A row without a size cannot be read now: that, too, is another file than before.
    result: Bools = other_size | ((kept >= 0) & (kept != size_bytes))
    return result
