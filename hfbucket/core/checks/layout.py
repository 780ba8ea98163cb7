"""The promises about where samples lie: the order of the settings, and the cuts between shards (FORMAT section 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.checks.problems import Problem, problem
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.plan.order import shuffle_keys
from hfbucket.core.plan.packing import bytes_per_1000_px, encoded_bytes, kept_bytes

__all__ = ["LAYOUT_COLUMNS", "check_cuts", "check_member_order", "planned_bytes"]

LAYOUT_COLUMNS: Final = ("jpg_size", "jpeg", "image_mode", "w", "h", "source_w", "source_h")
"""The columns of the sample tables that planned bytes follow from."""

Ints = npt.NDArray[np.int64]


def planned_bytes(table: pa.Table, image_mode: str | None) -> Ints:
    """Return what each sample counts for in shard cuts, int64[n].

    Metadata that was stripped from source bytes is not known here any more: then it is a little less.

    Args:
        table: `LAYOUT_COLUMNS` of the sample tables.
        image_mode: of the export.
    """
    size, w, h, source_w, source_h = (
        np.asarray(table.column(name).to_numpy(), dtype=np.int64)
        for name in ("jpg_size", "w", "h", "source_w", "source_h")
    )
    planned = kept_bytes(size)
    pixels = w * h if image_mode == "reencode_jpeg" else source_w * source_h
    jpeg = pc.fill_null(pc.struct_field(table.column("jpeg"), "quality"), 0)
    quality = np.asarray(jpeg.to_numpy(), dtype=np.int64)
    subsampling = pc.struct_field(table.column("jpeg"), "subsampling")
    for level in np.unique(quality[(quality >= 1) & (quality <= 100)]).tolist():
        for name in ("4:2:0", "4:2:2", "4:4:4"):
            rows = pc.fill_null(pc.equal(subsampling, name), False).to_numpy() & (quality == level)
            planned[rows] = encoded_bytes(pixels[rows], bytes_per_1000_px(level, name))
    return planned


def check_cuts(manifest: Manifest, planned: Counter[str], samples: Counter[str]) -> Iterator[Problem]:
    """Yield the shards that were planned larger than the setting allows; a single sample may be.

    Args:
        planned: planned bytes of each shard.
        samples: how many samples it has.
    """
    limit = manifest.settings.get("max_shard_size")
    if type(limit) is not int:
        return
    for file, size_bytes in planned.items():
        if size_bytes > limit and samples[file] > 1:
            yield problem("sums", f"plans {size_bytes} bytes, the setting max_shard_size allows {limit}", file=file)


def check_member_order(
    manifest: Manifest, keys: bytes, shard: npt.NDArray[np.int32], files: Sequence[str], listed: bytes
) -> Iterator[Problem]:
    """Yield the shards whose samples stand in another order than the settings ask for.

    Args:
        keys: 16 bytes for each sample, by shard and offset.
        shard: int32[n], of each sample, a place in `files`.
        listed: 16 bytes for each exported image of the ledger, in source order.
    """
    kind, seed = manifest.order.get("kind"), manifest.order.get("seed")
    if kind == "shuffle" and type(seed) is int:
        words = np.frombuffer(keys, dtype=">u8").astype(np.uint64)[::2]  # of 16 bytes the first 8
        rank: npt.NDArray[np.uint64] | Ints = shuffle_keys(words, seed)
    elif kind == "source":
        rank = _places(keys, listed)
    else:
        return
    falls = (rank[1:] < rank[:-1]) & (shard[1:] == shard[:-1])
    for row in np.unique(shard[1:][falls]):
        at = int(np.flatnonzero(falls & (shard[1:] == row))[0]) + 1
        yield problem("order", f"must be in {kind} order", file=files[row], key=keys[at * 16 : at * 16 + 16].hex())


def _places(keys: bytes, listed: bytes) -> Ints:
    """Return where each key stands in the list, int64[n]; of those that are not there anything."""
    held, names = (np.frombuffer(part, dtype="S16") for part in (keys, listed))
    if not len(names):
        return np.zeros(len(held), dtype=np.int64)
    order = np.argsort(names, kind="stable")
    found = np.searchsorted(names[order], held)
    return np.asarray(order[np.minimum(found, len(names) - 1)], dtype=np.int64)
