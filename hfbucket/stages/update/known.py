"""What an export knows of its inputs, read from its sample tables and its ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.keys import shard_number
from hfbucket.core.law.buckets import Bucket
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.manifest.settings import settings_of
from hfbucket.core.outcomes import CODE, EXPORTED, OUTCOMES
from hfbucket.core.plan.growth import Int64s, Known, key_words, places_of
from hfbucket.errors import ChangeError
from hfbucket.io.export_files import ledger_parts
from hfbucket.io.index_files import Index
from hfbucket.io.tables import read_groups, read_rows
from hfbucket.schemas import LEDGER

__all__ = ["held", "left_out_rows", "listed", "meta_keys", "named", "read_known"]

_AT_ONCE: Final = 1 << 20
_COLUMNS: Final = ("key", "source_w", "source_h", "jpg_size", "image_mode")


def read_known(folder: Path, manifest: Manifest) -> Known:
    """Return the inputs that an export has, left out, or lost again.

    Raises:
        ChangeError: it has no ledger.
    """
    parts = ledger_parts(folder)
    if not parts:
        raise ChangeError(
            f"{folder}: has no ledger, so nobody knows what it left out and why; an export is updated where it was "
            "built, or where the ledger came with it (push --publish-ledger)"
        )
    keys, numbers = bytearray(), [np.zeros((3, 0), np.int64)]
    stripped = bool(settings_of(manifest)["strip_metadata"])
    for table in manifest.samples:
        for group in read_groups(folder / table.file, _COLUMNS):
            keys += bytes.fromhex("".join(group["key"].to_pylist()))
            kept = pc.and_(pc.equal(group["image_mode"], "passthrough_jpeg"), not stripped)
            size_bytes = pc.if_else(kept, group["jpg_size"], -1)
            numbers.append(np.stack([c.to_numpy() for c in (group["source_w"], group["source_h"], size_bytes)]))
    w, h, size_bytes = np.concatenate(numbers, axis=1)
    left_out, outcome, tombs = [pa.array([], pa.string())], [pa.array([], pa.string())], list[str]()
    for group in _groups(parts):
        removed = pc.equal(group["outcome"], OUTCOMES[CODE["removed"]])
        tombs += group["image_id"].filter(removed).to_pylist()
        out = group.filter(left_out_rows(group))
        left_out += out["image_id"].chunks
        outcome += out["outcome"].chunks
    codes = pc.index_in(pa.concat_arrays(outcome), value_set=pa.array(OUTCOMES)).to_numpy()
    return Known(
        keys=key_words(bytes(keys)),
        source_w=w,
        source_h=h,
        source_bytes=size_bytes,
        left_out=pa.concat_arrays(left_out),
        outcome=codes.astype(np.uint8),
        removed=key_words(bytes.fromhex("".join(tombs))),
    )


def left_out_rows(ledger: pa.Table) -> pa.ChunkedArray:
    """Return which rows of a ledger are of inputs that were left out: neither in the export nor removed from it."""
    here = pa.array([OUTCOMES[EXPORTED], OUTCOMES[CODE["removed"]]])
    return pc.invert(pc.is_in(ledger["outcome"], value_set=here))


def listed(index: Index, known: Known) -> Int64s:
    """Return for every row of an index its place among the inputs that were left out, -1 for others."""
    found = [np.zeros(0, np.int64)]
    waiting: list[pa.ChunkedArray] = []
    for start, piece in index.groups("image_id"):
        waiting.append(piece["image_id"])
        # Many at once, as every call looks through all that were left out.
        if sum(map(len, waiting)) >= _AT_ONCE or start + piece.num_rows == index.rows:
            found.append(places_of(pa.chunked_array([c for ids in waiting for c in ids.chunks]), known.left_out))
            waiting.clear()
    return np.concatenate(found)


def held(manifest: Manifest, buckets: Sequence[Bucket]) -> tuple[Int64s, Int64s]:
    """Return how many images every bucket holds, and the number of the first shard that it may get."""
    entries = [manifest.buckets[bucket.bucket_id] for bucket in buckets]
    images = [entry.count for entry in entries]
    last = [max((shard_number(shard.file) for shard in entry.shards), default=-1) for entry in entries]
    return np.array(images, dtype=np.int64), np.array(last, dtype=np.int64) + 1


def meta_keys(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    """Return the keys of `meta` in every sample of an export."""
    first = read_rows(folder / manifest.samples[0].file, pa.array([0], pa.int64()), ["meta"])["meta"][0].as_py()
    return tuple(sorted(json.loads(first)))


def named(folder: Path, manifest: Manifest, rows: Int64s) -> list[str]:
    """Return the image_ids of samples by their place in the tables, ascending."""
    names: list[str] = []
    start = 0
    for table in manifest.samples:
        here = rows[(rows >= start) & (rows < start + table.rows)] - start
        if len(here):
            names += read_rows(folder / table.file, pa.array(here), ["image_id"])["image_id"].to_pylist()
        start += table.rows
    return names


def _groups(parts: Sequence[Path]) -> Iterator[pa.Table]:
    for path in parts:
        yield from read_groups(path, LEDGER.names)
