"""Which samples of an export are meant by ids, hashes or a condition: from its tables alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.events import Notice, OnEvent, Progress
from hfbucket.core.filter.columns import sample_columns
from hfbucket.core.keys import digest_of, key_of
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.outcomes import EXPORTED, OUTCOMES
from hfbucket.core.removal import REMOVED, Bools
from hfbucket.errors import ConfigError
from hfbucket.io.export_files import ledger_parts
from hfbucket.io.sql import Where
from hfbucket.io.tables import read_groups
from hfbucket.schemas import LEDGER

__all__ = ["Found", "Wanted", "find", "wanted"]

_SHA256: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which samples are meant: those that any of these names."""

    #: image_ids or keys, each once.
    ids: pa.Array
    #: Of the sources' encoded bytes, each once.
    sha256: pa.Array
    where: str | None


@dataclass(slots=True)
class Found:
    """The inputs that are meant, as the tables have them."""

    #: By sample table, of those with a sample that is meant: which of its rows stay.
    keep: dict[str, Bools] = field(default_factory=dict)
    #: Samples by shard.
    shards: Counter[str] = field(default_factory=Counter)
    #: Of the samples, and of the inputs that were left out before, with the key of each.
    image_ids: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    #: Inputs that had been left out.
    left_out: int = 0
    #: Given ids that were removed before.
    already: int = 0
    #: Given ids and hashes that the export does not know.
    unknown: int = 0

    @property
    def images(self) -> int:
        """How many samples there are."""
        return sum(self.shards.values())


def wanted(ids: Iterable[str], sha256: Iterable[str], where: str | None) -> Wanted:
    """Return the conditions, each checked by itself.

    Raises:
        ConfigError: there is none, or a hash is no hash.
    """
    names, hashes = (sorted(set(values)) for values in (ids, (text.lower() for text in sha256)))
    if not names and not hashes and where is None:
        raise ConfigError("remove needs ids, hashes or a condition that name what is to go; got none")
    for text in hashes:
        if not _SHA256.fullmatch(text):
            raise ConfigError(f"sha256 must be 64 hex digits, got {text[:80]!r}")
    return Wanted(ids=pa.array(names, pa.string()), sha256=pa.array(hashes, pa.string()), where=where)


def find(folder: Path, manifest: Manifest, conditions: Wanted, *, on_event: OnEvent) -> Found:
    """Return which inputs of an export are meant.

    Raises:
        ConfigError: the export knows no hashes, or the condition makes no sense.
    """
    if len(conditions.sha256) and manifest.settings.get("source_hash") is False:
        raise ConfigError("sha256 needs the hashes of the sources, and the export was built without: --no-source-hash")
    found = Found()
    ids, hashes = _Given(conditions.ids), _Given(conditions.sha256)
    with ExitStack() as stack:
        where = _where(folder, manifest, conditions.where, stack, on_event)
        columns = dict.fromkeys(("image_id", "key", "shard", "source_sha256", *(where.needs if where else ())))
        done, total = 0, sum(table.rows for table in manifest.samples)
        for part in manifest.samples:
            kept = []
            for group in read_groups(folder / part.file, tuple(columns)):
                hit = ids.among(group["image_id"]) | ids.among(group["key"]) | hashes.among(group["source_sha256"])
                if where is not None:
                    hit |= where.mask(group)
                _note(found, group.filter(pa.array(hit)))
                kept.append(~hit)
                done += group.num_rows
                on_event(Progress(stage="remove", done=done, total=total, unit="images"))
            if any(not part_keep.all() for part_keep in kept):
                found.keep[part.file] = np.concatenate(kept)
    _look_into_ledger(folder, ids, found)
    found.unknown = ids.unseen + hashes.unseen - found.already
    return found


class _Given:
    """Values that a user gave, and which of them were found."""

    def __init__(self, values: pa.Array) -> None:
        self.values = values
        self._seen = np.zeros(len(values), dtype=bool)

    def among(self, column: pa.ChunkedArray) -> Bools:
        """Return which rows of a column have one of the values."""
        if not len(self.values):
            return np.zeros(len(column), dtype=bool)
        at = pc.index_in(column, value_set=self.values)
        self._seen[at.drop_null().to_numpy()] = True
        hit: Bools = at.is_valid().to_numpy()
        return hit

    @property
    def unseen(self) -> int:
        """How many were not found so far."""
        return int(np.count_nonzero(~self._seen))

    def rest(self) -> list[str]:
        """Return those that were not found so far."""
        texts: list[str] = self.values.filter(pa.array(~self._seen)).to_pylist()
        return texts


def _where(
    folder: Path, manifest: Manifest, expression: str | None, stack: ExitStack, on_event: OnEvent
) -> Where | None:
    if expression is None:
        return None

    def tables(columns: Sequence[str]) -> Iterator[pa.Table]:
        for part in manifest.samples:
            yield from read_groups(folder / part.file, columns)

    variants = [variant.name for variant in manifest.captions.variants]
    where = stack.enter_context(Where(expression, sample_columns(variants), tables))
    for note in where.notes:
        on_event(Notice(level="warning", text=note))
    return where


def _note(found: Found, samples: pa.Table) -> None:
    found.image_ids += samples["image_id"].to_pylist()
    found.keys += samples["key"].to_pylist()
    for entry in pc.value_counts(samples["shard"]).to_pylist():
        found.shards[entry["values"]] += entry["counts"]


def _look_into_ledger(folder: Path, ids: _Given, found: Found) -> None:
    """Find given ids among the inputs that were left out, and those that were removed before."""
    if not len(ids.values):
        return
    keys = {name: key_of(digest_of(name)) for name in ids.rest()}
    known = pa.array([*keys, *keys.values()], pa.string())
    tombs: set[str] = set()
    for path in ledger_parts(folder):
        for group in read_groups(path, LEDGER.names):
            removed = pc.equal(group["outcome"], REMOVED)
            out = pc.invert(pc.or_(removed, pc.equal(group["outcome"], OUTCOMES[EXPORTED])))
            hit = group["image_id"].filter(out)
            names = hit.filter(pa.array(ids.among(hit))).to_pylist()
            found.left_out += len(names)
            new = sorted({*names} - {*found.image_ids}) if names else []
            found.image_ids += new
            found.keys += [key_of(digest_of(name)) for name in new]
            tomb = group["image_id"].filter(removed)
            tombs.update(tomb.filter(pc.is_in(tomb, value_set=known)).to_pylist())
    found.already = sum(name in tombs or keys[name] in tombs for name in ids.rest())
