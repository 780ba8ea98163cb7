"""From a manifest to the shards a loader reads: which ones, in which order, and how one is cut into several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from hfbucket.core.manifest.model import BucketEntry, Manifest
from hfbucket.errors import ConfigError, FormatError

ALL: Final = "all"
"""Name of the loader config that holds every base."""

PIECES: Final = 4
"""How many shards one shard becomes when a dataset is resharded; resharding again cuts further."""

ListFolder = Callable[[str], Sequence[str]]
"""Returns the names in a folder below the export, such as `buckets/p1024x1024`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardRef:
    """One shard, or a run of whole samples in it. Plain values, so it travels to any worker."""

    #: Below the export, as the manifest names it; errors use it.
    file: str
    #: Where to read it: a local path or any URL.
    url: str
    bucket_id: str
    #: The bucket's scaled size in pixels.
    width_px: int
    height_px: int
    #: Samples between `start` and `stop`; None where a foreign manifest does not say.
    count: int | None
    #: Offset of the first sample's header in the shard, in bytes.
    start: int = 0
    #: Offset where the next run begins; None means the end of the archive.
    stop: int | None = None
    #: Number of its first sample's row in the sample tables, counted through all of them; None where nothing says.
    row: int | None = None


def config_names(manifest: Manifest) -> tuple[str, ...]:
    """Return the loader configs of an export: `all`, then `r<base>` of every base that has samples, largest first."""
    bases = {entry.base_resolution for entry in manifest.buckets.values() if entry.count}
    return (ALL, *(f"r{base}" for base in sorted(bases, reverse=True)))


def select_buckets(manifest: Manifest, config: str, buckets: Sequence[str] | None = None) -> dict[str, BucketEntry]:
    """Return the buckets with samples that a loader config reads, in the manifest's order.

    Args:
        buckets: keep these bucket ids only.

    Raises:
        ConfigError: the config or a bucket does not exist, or holds no samples.
    """
    names = config_names(manifest)
    if config not in names:
        raise ConfigError(f"config must be one of {', '.join(names)}, got {config!r}")
    chosen = {
        bucket_id: entry
        for bucket_id, entry in manifest.buckets.items()
        if entry.count and config in (ALL, f"r{entry.base_resolution}")
    }
    if buckets is None:
        return chosen
    if isinstance(buckets, str) or not buckets:
        raise ConfigError(f"buckets must be a list of bucket ids such as [{next(iter(chosen))!r}], got {buckets!r}")
    for bucket_id in buckets:
        if bucket_id not in chosen:
            raise ConfigError(f"buckets: config {config} has {', '.join(chosen)}, got {bucket_id!r}")
    return {bucket_id: entry for bucket_id, entry in chosen.items() if bucket_id in buckets}


def shard_refs(
    manifest: Manifest,
    config: str,
    *,
    base_url: str,
    list_folder: ListFolder,
    buckets: Sequence[str] | None = None,
) -> list[ShardRef]:
    """Return the shards of a loader config: bucket after bucket in the manifest's order, shards ascending.

    Args:
        base_url: the export, a local folder or any URL.
        list_folder: asked only for buckets whose foreign manifest does not name their shards.

    Raises:
        ConfigError: as `select_buckets`.
        FormatError: a bucket has samples and no shards.
    """
    refs, rows = [], _first_rows(manifest)
    for bucket_id, entry in select_buckets(manifest, config, buckets).items():
        files = [(shard.file, shard.count) for shard in entry.shards] or _listed(bucket_id, list_folder)
        if not files:
            raise FormatError(
                f"the manifest counts {entry.count} samples, the export has no shards; fetch it again or leave it out",
                where=f"bucket {bucket_id}",
            )
        refs += [
            ShardRef(
                file=file,
                url=f"{base_url}/{file}",
                bucket_id=bucket_id,
                width_px=entry.scaled.w,
                height_px=entry.scaled.h,
                count=count,
                row=rows.get(file),
            )
            for file, count in files
            if count != 0
        ]
    return refs


def split_ref(ref: ShardRef, starts: npt.NDArray[np.int64], pieces: int = PIECES) -> list[ShardRef]:
    """Return the shard as up to `pieces` runs of samples, equally many in each but for one.

    Args:
        starts: int64[samples of the whole shard], ascending offsets of every sample's first header, in bytes.
    """
    inside = starts[(starts >= ref.start) & (starts < (ref.stop or np.iinfo(np.int64).max))]
    cuts = np.linspace(0, len(inside), min(pieces, len(inside)) + 1).astype(np.int64)
    if len(cuts) < 3:
        return [ref]
    offsets = [*inside[cuts[:-1]].tolist(), ref.stop]
    return [
        replace(ref, start=start, stop=stop, count=after - before, row=None if ref.row is None else ref.row + before)
        for start, stop, before, after in zip(offsets, offsets[1:], cuts.tolist(), cuts[1:].tolist(), strict=False)
    ]


def _first_rows(manifest: Manifest) -> dict[str, int]:
    """Return where the rows of each shard begin in the sample tables, which are sorted by the shards' names.

    Empty where there are no tables, or they hold other samples than the shards, as in a copy of a part.
    """
    shards = sorted(
        ((shard.file, shard.count) for entry in manifest.buckets.values() for shard in entry.shards),
        key=lambda shard: shard[0].encode("utf-8"),
    )
    starts, row = {}, 0
    for file, count in shards:
        if count is None:
            return {}
        starts[file] = row
        row += count
    return starts if manifest.samples and row == sum(table.rows for table in manifest.samples) else {}


def _listed(bucket_id: str, list_folder: ListFolder) -> list[tuple[str, int | None]]:
    folder = f"buckets/{bucket_id}"
    return [(f"{folder}/{name}", None) for name in sorted(list_folder(folder)) if name.endswith(".tar")]
