"""Which shards of an export a partial copy holds, and the manifest of such a copy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from hfbucket.core.card.facts import ALL, loader_configs
from hfbucket.core.keys import MANIFEST
from hfbucket.core.manifest.model import Manifest, SampleTable, Shard
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.errors import ConfigError, FormatError

__all__ = ["Selection", "check_names", "part_of", "select", "table_rows"]

MAX_SHARDS: Final = 100_000
"""As many files as a repository of the Hub should hold (huggingface.co/docs/hub/storage-limits)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What a user wants of an export; nothing given is all of it."""

    #: Loader configs of the card, such as `r512`.
    configs: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    #: Of all shards together.
    max_bytes: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what is given as plain JSON data, the way it stands in `part_of`."""
        given = {"configs": sorted({*self.configs}), "buckets": sorted({*self.buckets}), "max_bytes": self.max_bytes}
        return {name: value for name, value in given.items() if value}


def check_names(manifest: Manifest) -> None:
    """Check that the shards of a manifest that somebody else wrote can be put onto a disk.

    Raises:
        FormatError: there are more than any repository holds, or one has a hidden name or is no tar.
    """
    shards = [shard.file for entry in manifest.buckets.values() for shard in entry.shards]
    if len(shards) > MAX_SHARDS:
        raise FormatError(f"names {len(shards):,} shards; more than {MAX_SHARDS:,} are not pulled", where=MANIFEST)
    named: list[tuple[str, tuple[str, ...]]] = [(file, (".tar",)) for file in shards]
    named += [(table.file, (".parquet",)) for table in manifest.samples]
    named += [(asset.file, (".png", ".jpg")) for asset in manifest.assets]
    seen: set[str] = set()
    for file, endings in named:
        if any(part.startswith(".") for part in file.split("/")) or not file.endswith(endings):
            raise FormatError(
                f"must name shards, tables and pictures that are not hidden, got {file!r}", where=MANIFEST
            )
        if file.casefold() in seen:
            raise FormatError(f"names {file!r} twice, or in capitals and in small letters", where=MANIFEST)
        seen.add(file.casefold())


def select(manifest: Manifest, selection: Selection) -> dict[str, tuple[Shard, ...]]:
    """Return the shards of the selection by bucket, in the manifest's order.

    With `max_bytes` every bucket gives about the same share of its shards, so that a part is like the whole.

    Raises:
        ConfigError: a config or bucket does not exist, or nothing is left.
    """
    wanted = _of_configs(manifest, selection.configs)
    if selection.buckets:
        for name in selection.buckets:
            if name not in manifest.buckets:
                raise ConfigError(f"no bucket is called {name!r}{_near(name, manifest.buckets)}")
        wanted &= {*selection.buckets}
    chosen = {name: entry.shards for name, entry in manifest.buckets.items() if name in wanted and entry.shards}
    if not chosen:
        raise ConfigError(f"no shard is in the selection {selection.to_dict()}: those buckets are empty")
    return chosen if selection.max_bytes is None else _within(chosen, selection.max_bytes)


def _of_configs(manifest: Manifest, names: Iterable[str]) -> set[str]:
    """Return the buckets of loader configs; of none, all."""
    known = {config.name for config in loader_configs(manifest)}
    names = {*names} or {ALL}
    for name in sorted(names - {ALL}):
        if name not in known:
            raise ConfigError(f"no config is called {name!r}{_near(name, known)}")
    return {i for i, entry in manifest.buckets.items() if ALL in names or f"r{entry.base_resolution}" in names}


def _within(chosen: Mapping[str, tuple[Shard, ...]], max_bytes: int) -> dict[str, tuple[Shard, ...]]:
    places = [
        (Fraction(2 * number + 1, 2 * len(shards)), bucket_id, number)
        for bucket_id, shards in chosen.items()
        for number in range(len(shards))
    ]
    kept: dict[str, list[int]] = {bucket_id: [] for bucket_id in chosen}
    left = max_bytes
    for _, bucket_id, number in sorted(places, key=lambda place: place[0]):
        size = chosen[bucket_id][number].bytes
        if size is None:
            raise ConfigError("max_bytes needs the sizes of shards, which this manifest does not have")
        if size <= left:
            left -= size
            kept[bucket_id].append(number)
    if not any(kept.values()):
        smallest = min(shard.bytes or 0 for shards in chosen.values() for shard in shards)
        raise ConfigError(f"max_bytes must be at least {smallest:,}, the smallest shard, got {max_bytes:,}")
    return {i: tuple(chosen[i][number] for number in sorted(numbers)) for i, numbers in kept.items() if numbers}


def table_rows(manifest: Manifest, chosen: Mapping[str, tuple[Shard, ...]]) -> dict[str, int]:
    """Return the sample tables that hold rows of the chosen shards, each with how many.

    The tables are sorted by shard over all parts, so the counts of the manifest tell where each shard's rows stand.
    """
    files = {shard.file for shards in chosen.values() for shard in shards}
    shards = [shard for entry in manifest.buckets.values() for shard in entry.shards]
    rows: dict[str, int] = {}
    tables = iter(manifest.samples)
    table: SampleTable | None = None
    stop = position = 0
    for shard in sorted(shards, key=lambda shard: shard.file.encode("utf-8")):
        left = shard.count or 0
        while left:
            while position == stop:
                table = next(tables, None)
                if table is None:
                    raise FormatError("the sample tables have fewer rows than the shards", where=MANIFEST)
                stop += table.rows
            taken = min(left, stop - position)
            position, left = position + taken, left - taken
            if table is not None and shard.file in files:
                rows[table.file] = rows.get(table.file, 0) + taken
    return rows


def part_of(manifest: Manifest, chosen: Mapping[str, tuple[Shard, ...]], selection: Selection) -> Manifest:
    """Return the manifest of a copy that holds these shards only, still without what its sample tables tell.

    Its summary counts what it holds; that of the whole stands in `part_of`, with the selection.
    """
    buckets = {}
    for bucket_id, entry in manifest.buckets.items():
        shards = chosen.get(bucket_id, ())
        whole = shards == entry.shards
        sizes, counts = [shard.bytes for shard in shards], [shard.count for shard in shards]
        if whole and shards:
            buckets[bucket_id] = entry
        elif None in counts:
            raise ConfigError(f"max_bytes needs the counts of shards, which {bucket_id} does not have")
        else:
            size_bytes = None if None in sizes else sum(size or 0 for size in sizes)
            buckets[bucket_id] = replace(
                entry, shards=shards, count=sum(count or 0 for count in counts), bytes=size_bytes
            )
    held = sum(entry.count for entry in buckets.values())
    summary = {"images_seen": held, **dict.fromkeys(OUTCOMES, 0), OUTCOMES[0]: held, "ignored_members": 0}
    origin = {"export_id": manifest.export_id, "selection": selection.to_dict(), "summary": dict(manifest.summary)}
    summary = summary if manifest.summary else {}
    # The pictures are of the whole.
    return replace(manifest, buckets=buckets, summary=summary, samples=(), assets=(), part_of=origin)


def _near(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"; did you mean {near[0]}?" if near else f"; one of {shown}"
