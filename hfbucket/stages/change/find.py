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
from hfbucket.core.key_sets import KEY_BYTES, Values, from_hex, keys_of, places, values_of
from hfbucket.core.keys import digest_of, text_of
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.meta import raw_bytes
from hfbucket.core.outcomes import EXPORTED, OUTCOMES
from hfbucket.core.removal import REMOVED, Bools, Int64s
from hfbucket.errors import ConfigError
from hfbucket.io.export_files import ledger_parts
from hfbucket.io.sql import Where
from hfbucket.io.tables import read_groups

__all__ = ["Found", "Named", "Wanted", "find", "wanted"]

_SHA256: Final = re.compile("[0-9a-f]{64}")
_SHA256_BYTES: Final = 32
_KEY: Final = re.compile(f"[0-9a-f]{{{2 * KEY_BYTES}}}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which samples are meant: those that any of these names."""

    names: Named
    #: Of the sources' encoded bytes, ascending, each once; S32.
    sha256: Values
    where: str | None


@dataclass(slots=True)
class Found:
    """The inputs that are meant, as the tables have them."""

    #: By sample table, of those with a sample that is meant: which of its rows stay.
    keep: dict[str, Bools] = field(default_factory=dict)
    #: Samples by shard.
    shards: Counter[str] = field(default_factory=Counter)
    #: Of the samples, and of the inputs that were left out before, ascending.
    keys: Values = field(default_factory=lambda: values_of(b""))
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


class Named:
    """The image_ids, or keys of samples, that a user gave, each once, and which of them are in some table.

    Of an id stays the key that its sample has, of a key that of its own name, too: some bytes each.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        of_names, given_keys, of_given = bytearray(), bytearray(), bytearray()
        for name in ids:
            own = digest_of(text_of(raw_bytes(name)))[:KEY_BYTES]  # a file's name may be no UTF-8; its image_id is
            of_names += own
            if _KEY.fullmatch(name):
                given_keys += bytes.fromhex(name)
                of_given += own
        self._names = np.unique(values_of(of_names))
        self._keys, first = np.unique(values_of(given_keys), return_index=True)
        #: Which name each key is, and at the end none.
        self._name_of_key = np.append(places(values_of(of_given)[first], self._names), -1)

    def __len__(self) -> int:
        return len(self._names)

    def note_ids(self, keys: Values, seen: Bools) -> Bools:
        """Return which inputs, by their keys, are named by their image_ids, and note in `seen` by which names."""
        return _noted(places(keys, self._names), seen)

    def note(self, keys: Values, seen: Bools) -> Bools:
        """Return which samples are named, by image_id or key, and note in `seen` by which names."""
        return self.note_ids(keys, seen) | _noted(self._name_of_key[places(keys, self._keys)], seen)


def _noted(at: Int64s, seen: Bools) -> Bools:
    hit: Bools = at >= 0
    seen[at[hit]] = True
    return hit


def wanted(ids: Iterable[str], sha256: Iterable[str], where: str | None) -> Wanted:
    """Return the conditions, each checked by itself.

    Raises:
        ConfigError: there is none, or a hash is no hash.
    """
    hashes = bytearray()
    for text in sha256:
        if not _SHA256.fullmatch(text.lower()):
            raise ConfigError(f"sha256 must be 64 hex digits, got {text.lower()[:80]!r}")
        hashes += bytes.fromhex(text)
    names = Named(ids)
    if not len(names) and not hashes and where is None:
        raise ConfigError("remove needs ids, hashes or a condition that name what is to go; got none")
    return Wanted(names=names, sha256=np.unique(values_of(hashes, _SHA256_BYTES)), where=where)


def find(folder: Path, manifest: Manifest, conditions: Wanted, *, on_event: OnEvent) -> Found:
    """Return which inputs of an export are meant.

    Raises:
        ConfigError: the export knows no hashes, or the condition makes no sense.
    """
    if len(conditions.sha256) and manifest.settings.get("source_hash") is False:
        raise ConfigError("sha256 needs the hashes of the sources, and the export was built without: --no-source-hash")
    found, keys = Found(), bytearray()
    names, seen = conditions.names, np.zeros(len(conditions.names), dtype=bool)
    hashes, seen_hashes = conditions.sha256, np.zeros(len(conditions.sha256), dtype=bool)
    with ExitStack() as stack:
        where = _where(folder, manifest, conditions.where, stack, on_event)
        columns = dict.fromkeys(
            ("key", "shard", *(["source_sha256"] if len(hashes) else []), *(where.needs if where else ()))
        )
        done, total = 0, sum(table.rows for table in manifest.samples)
        for part in manifest.samples:
            kept = []
            for group in read_groups(folder / part.file, tuple(columns)):
                its_key = from_hex(group["key"])
                hit = names.note(its_key, seen)
                if len(hashes):
                    hit |= _with_hash(group["source_sha256"], hashes, seen_hashes)
                if where is not None:
                    hit |= where.mask(group)
                keys += its_key[hit].tobytes()
                found.shards.update(_counts(group["shard"].filter(pa.array(hit))))
                kept.append(~hit)
                done += group.num_rows
                on_event(Progress(stage="remove", done=done, total=total, unit="images"))
            if any(not part_keep.all() for part_keep in kept):
                found.keep[part.file] = np.concatenate(kept)
    _look_into_ledger(folder, names, seen, found, keys)
    found.unknown = int(np.count_nonzero(~seen) + np.count_nonzero(~seen_hashes)) - found.already
    found.keys = values_of(keys)
    found.keys.sort()  # where they are
    return found


def _with_hash(column: pa.ChunkedArray, hashes: Values, seen: Bools) -> Bools:
    """Return which rows of a column have one of the hashes, and note in `seen` which."""
    hit: Bools = column.is_valid().to_numpy()
    hit[hit] = _noted(places(from_hex(column.drop_null(), _SHA256_BYTES), hashes), seen)
    return hit


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}


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


def _look_into_ledger(folder: Path, names: Named, seen: Bools, found: Found, keys: bytearray) -> None:
    """Find given ids among the inputs that were left out, and those that were removed before."""
    removed_before = np.zeros(len(names), dtype=bool)
    for path in ledger_parts(folder) if len(names) else ():
        for group in read_groups(path, ("image_id", "outcome")):
            removed = pc.equal(group["outcome"], REMOVED)
            out = pc.invert(pc.or_(removed, pc.equal(group["outcome"], OUTCOMES[EXPORTED])))
            its_key = keys_of(group["image_id"].filter(out))
            hit = names.note_ids(its_key, seen)
            found.left_out += int(np.count_nonzero(hit))
            keys += its_key[hit].tobytes()
            names.note(from_hex(group["image_id"].filter(removed)), removed_before)
    found.already = int(np.count_nonzero(removed_before & ~seen))
