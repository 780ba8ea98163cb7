"""What a build reads from a caption workspace: variants, sources of captions, and captions by image."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.hashing import sha256_of, table_sha256
from hfbucket.core.workspace.texts import cleaned
from hfbucket.io.workspace.database import open_to_read, translated

_BATCH: Final = 8192
"""Images, or captions, that are in memory at once."""

_HASHED_TOGETHER: Final = 4096
"""Captions whose hashes are taken as one table: part of what `Workspace.sha256` means."""

_TEXTS: Final = pa.schema([("captions", pa.list_(pa.string())), ("source_ids", pa.list_(pa.string()))])


class Workspace:
    """A caption workspace opened to read: what it held at that moment, whoever writes to it meanwhile.

    Args:
        path: the SQLite file.

    Raises:
        WorkspaceError: there is none, it is damaged, no workspace, or one of a newer release; so do all methods.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._connection = open_to_read(path)
        try:
            with translated(path):
                self._connection.execute("BEGIN")
                self._connection.execute("SELECT 1 FROM variants").fetchone()  # from here on nothing changes
                self._connection.execute("CREATE TEMP TABLE wanted (n INTEGER PRIMARY KEY, image_id TEXT NOT NULL)")
                self._connection.execute("CREATE TEMP TABLE chosen (variant TEXT PRIMARY KEY, place INTEGER NOT NULL)")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self._connection.close()

    def variants(self) -> tuple[str, ...]:
        """Return the names of the variants that some caption has, but not the source's own; sorted by UTF-8."""
        return self._names("SELECT variant FROM variants WHERE NOT own ORDER BY variant")

    def own_variants(self) -> tuple[str, ...]:
        """Return the names of the source's own variants, sorted by UTF-8."""
        return self._names("SELECT variant FROM variants WHERE own ORDER BY variant")

    def sources(self) -> tuple[dict[str, Any], ...]:
        """Return where captions come from, sorted by id, each as a manifest's `caption_sources` has it.

        An entry has `id`, `variant`, `model`, `prompt_sha256` (text or None) and `parameters` (an object or None).
        """
        with translated(self._path):
            rows = self._connection.execute(
                "SELECT id, variant, model, prompt, prompt_sha256, parameters FROM caption_sources ORDER BY id"
            ).fetchall()
        return tuple(_source(*row) for row in rows)

    def captions_of(self, image_ids: pa.Array | pa.ChunkedArray, variants: Sequence[str]) -> pa.Table:
        """Return the captions of images, a row for each in the order given; memory for the result and one batch.

        Column `captions` is a list of one text per variant, clean, null unless its status is ok and it is not blank;
        `source_ids` the list of where each of them comes from. An image that the workspace lacks has nulls.

        Args:
            image_ids: string, without nulls.
            variants: names, in the order of the lists.
        """
        with translated(self._path):
            self._choose(variants)
            step = max(1, _BATCH // max(1, len(variants)))
            pieces = (
                self._batch(image_ids[start : start + step], len(variants)) for start in range(0, len(image_ids), step)
            )
            return pa.concat_tables([_TEXTS.empty_table(), *pieces])

    def sha256(self, variants: Sequence[str]) -> str:
        """Return the hash of all that a selection among these variants can depend on, 64 hex digits.

        It is over the captions that are ok and not blank, by image_id and variant, and over the sources of these
        variants: when they were written, and in which order, does not count. Memory: one batch.
        """
        chosen = set(variants)
        sources = [source for source in self.sources() if source["variant"] in chosen]
        hasher = hashlib.sha256(sha256_of([sorted(chosen), sources]).encode())
        with translated(self._path):
            self._choose(variants)
            for batch in _even(self._ok_captions()):
                hasher.update(table_sha256(batch).encode())
        return hasher.hexdigest()

    def _names(self, sql: str) -> tuple[str, ...]:
        with translated(self._path):
            return tuple(_text(name) or "" for (name,) in self._connection.execute(sql))

    def _choose(self, variants: Sequence[str]) -> None:
        self._connection.execute("DELETE FROM temp.chosen")
        rows = ((name, place) for place, name in enumerate(variants))
        self._connection.executemany("INSERT INTO temp.chosen (variant, place) VALUES (?, ?)", rows)

    def _batch(self, image_ids: pa.Array, variants: int) -> pa.Table:
        self._connection.execute("DELETE FROM temp.wanted")
        self._connection.executemany("INSERT INTO temp.wanted (n, image_id) VALUES (?, ?)",
                                     enumerate(image_ids.to_pylist()))  # fmt: skip
        rows = self._connection.execute(
            "SELECT w.n, v.place, c.text, c.source_id FROM temp.wanted w CROSS JOIN captions c USING (image_id) "
            "CROSS JOIN temp.chosen v USING (variant) WHERE c.status = 'ok'"
        ).fetchall()
        n, place, texts, source_ids = zip(*rows, strict=True) if rows else ((), (), (), ())
        clean = _clean(texts)
        entry = np.full(len(image_ids) * variants, -1, dtype=np.int64)  # which row each place of the lists takes
        entry[np.array(n, dtype=np.int64) * variants + np.array(place, dtype=np.int64)] = np.arange(len(rows))
        usable = _usable(clean)
        entry[(entry >= 0) & ~np.append(usable, False)[entry]] = -1
        where = pa.array(entry, mask=entry < 0)
        ends = pa.array(np.arange(len(image_ids) + 1, dtype=np.int32) * variants)
        lists = [pa.ListArray.from_arrays(ends, column.take(where)) for column in (clean, _strings(source_ids))]
        return pa.table(lists, schema=_TEXTS)

    def _ok_captions(self) -> Iterator[pa.Table]:
        """Return the captions of the chosen variants that can be selected, in batches of any size."""
        cursor = self._connection.execute(
            "SELECT image_id, variant, text, source_id FROM captions WHERE status = 'ok' "
            "AND variant IN (SELECT variant FROM temp.chosen) ORDER BY image_id, variant"
        )
        while rows := cursor.fetchmany(_BATCH):
            image_id, variant, texts, source_ids = zip(*rows, strict=True)
            clean = _clean(texts)
            columns = {
                "image_id": _strings(image_id),
                "variant": _strings(variant),
                "text": clean,
                "source_id": _strings(source_ids),
            }
            yield pa.table(columns).filter(pa.array(_usable(clean)))


def _even(batches: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Return the same rows in batches of one size, only the last smaller: what they hash to is the rows' alone."""
    waiting: pa.Table | None = None
    for batch in batches:
        waiting = batch if waiting is None else pa.concat_tables([waiting, batch])
        while waiting.num_rows >= _HASHED_TOGETHER:
            yield waiting.slice(0, _HASHED_TOGETHER)
            waiting = waiting.slice(_HASHED_TOGETHER)
    if waiting is not None and waiting.num_rows:
        yield waiting


def _clean(texts: Sequence[bytes | str | None]) -> pa.Array:
    return cleaned(pa.array(texts, pa.binary()))[0]


def _usable(texts: pa.Array) -> Any:  # noqa: ANN401 - bool[n] of numpy
    """Return which texts are neither null nor empty, bool[n]."""
    return pc.fill_null(pc.greater(pc.binary_length(texts), 0), False).to_numpy(zero_copy_only=False)


def _strings(values: Sequence[bytes | None]) -> pa.Array:
    raw = pa.array(values, pa.binary())
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_text(value) for value in values], pa.string())


def _text(value: object) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else None if value is None else str(value)


def _source(*row: bytes | None) -> dict[str, Any]:
    id_, variant, model, prompt, prompt_sha256, parameters = map(_text, row)
    if prompt_sha256 is None and prompt is not None:
        prompt_sha256 = hashlib.sha256(prompt.encode("utf-8")).hexdigest()
    values = None if parameters is None else json.loads(parameters)
    return {
        "id": id_, "variant": variant, "model": model, "prompt_sha256": prompt_sha256,
        "parameters": values if isinstance(values, dict) or values is None else {"value": values},
    }  # fmt: skip


__all__ = ["Workspace"]
