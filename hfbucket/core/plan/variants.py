"""Lists of captions in the order of a build's variants, from the source's own captions and those of a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hfbucket.config import DEFAULT_VARIANTS, ORIGINAL, Config
from hfbucket.core.plan.captions import Choice, characters_of

TEXTS = pa.list_(pa.string())


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """Where the captions of a build's variants come from."""

    #: Captions that the index has of every image.
    indexed: int
    #: Whether those are one variant: the first of them that is not blank.
    collapse: bool
    #: Captions that the workspace has of every image.
    workspace: int
    #: Of every variant of the universe: its place in the source's own variants and, after them, the workspace's.
    places: tuple[int, ...]


def merge_of(config: Config, choice: Choice, own: Sequence[str], workspace: Sequence[str]) -> Merge:
    """Return how the lists of the choice's universe are put together.

    Args:
        own: names of the source's own variants.
        workspace: names of the workspace's variants, in the order of its lists.
    """
    known = (*own, *workspace)
    return Merge(
        indexed=len(config.variants),
        collapse=tuple(own) == (ORIGINAL,) and config.variants == DEFAULT_VARIANTS,
        workspace=len(workspace),
        places=tuple(known.index(name) for name in choice.universe),
    )


def merged(indexed: pa.ChunkedArray, texts: pa.ChunkedArray | None, merge: Merge) -> pa.ListArray:
    """Return lists in the order of the universe.

    Args:
        indexed: list<string>, one entry for each of the index's captions.
        texts: the same for each of the workspace's; None without one.
    """
    own = columns_of(indexed, merge.indexed)
    if merge.collapse:
        own = [first_ok(indexed, merge.indexed)]
    theirs = [] if texts is None else columns_of(texts, merge.workspace)
    known = [*own, *theirs]
    return lists_of([known[place] for place in merge.places])


def merged_sources(source_ids: pa.ChunkedArray | None, rows: int, merge: Merge) -> pa.ListArray:
    """Return the ids of the captions' sources in the order of the universe; the source's own captions have none.

    Args:
        source_ids: list<string>, one entry for each of the workspace's variants; None without one.
    """
    own = 1 if merge.collapse else merge.indexed
    theirs = [] if source_ids is None else columns_of(source_ids, merge.workspace)
    known = [*([pa.nulls(rows, pa.string())] * own), *theirs]
    return lists_of([known[place] for place in merge.places])


def first_ok(captions: pa.ChunkedArray, width: int) -> pa.Array:
    """Return of every list the first entry that is neither null nor blank, null where there is none.

    This is what `original` means where captions lie in one of several usual places.
    """
    ok = characters_of(captions, width) > 0
    return _entries(captions, width).take(
        pa.array(np.arange(len(ok)) * width + ok.argmax(axis=1), mask=~ok.any(axis=1))
    )


def columns_of(lists: pa.ChunkedArray, width: int) -> list[pa.Array]:
    """Return the first, second and further entries of all lists; null where a list is shorter, or null itself."""
    entries = _entries(lists, width)
    rows = np.arange(len(lists), dtype=np.int64) * width
    return [entries.take(pa.array(rows + place)) for place in range(width)]


def lists_of(columns: Sequence[pa.Array]) -> pa.ListArray:
    """Return one list per row with the row's entry of every column."""
    width, rows = len(columns), len(columns[0])
    places = np.arange(rows, dtype=np.int64)[:, None] + np.arange(width, dtype=np.int64)[None, :] * rows
    entries = pa.concat_arrays(columns).take(pa.array(places.ravel()))
    return pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32) * width), entries)


def _entries(lists: pa.ChunkedArray, width: int) -> pa.Array:
    """Return `width` entries of every list, one list after another; null where a list is shorter."""
    parts = [pa.array([], pa.string())]
    for chunk in lists.chunks:
        lengths = chunk.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        places = starts[:, None] + np.arange(width, dtype=np.int64)[None, :]
        lacking = np.arange(width)[None, :] >= lengths[:, None]
        parts.append(chunk.flatten().take(pa.array(places.ravel(), mask=lacking.ravel())))
    return pa.concat_arrays(parts)
