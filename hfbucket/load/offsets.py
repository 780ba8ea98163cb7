"""Where samples begin in their shards, from the sample tables: what it takes to cut a shard without reading it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from hfbucket.io.tables import parquet_of
from hfbucket.io.ustar import BLOCK


def sample_starts(tables: Iterable[BinaryIO]) -> dict[str, npt.NDArray[np.int64]]:
    """Return, by shard file, the offset of every sample's first header in bytes, ascending: int64[samples].

    Args:
        tables: the Parquet files of `samples/`, in order.
    """
    parts: dict[str, list[npt.NDArray[np.int64]]] = {}
    for file in tables:
        with file:
            table = parquet_of(file).read(columns=["shard", "jpg_offset"], use_threads=False).combine_chunks()
        shards = table["shard"].dictionary_encode().combine_chunks()
        codes = shards.indices.to_numpy()
        starts = table["jpg_offset"].to_numpy() - BLOCK
        cuts = np.flatnonzero(np.diff(codes)) + 1  # the tables are sorted by shard and offset
        for part, first in zip(np.split(starts, cuts), np.split(codes, cuts), strict=True):
            if len(part):
                parts.setdefault(shards.dictionary[first[0]].as_py(), []).append(part)
    return {shard: np.concatenate(pieces) for shard, pieces in parts.items()}
