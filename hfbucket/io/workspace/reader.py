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

from hfbucket.core.hashing import rows_sha256, sha256_of
from hfbucket.core.workspace.texts import cleaned
from hfbucket.io.pieces import Pieces
from hfbucket.io.workspace.database import open_to_read, some_rows, translated

_BATCH: Final = 8192
"""Images, or captions, that are in memory at once, at most."""

_HASHED_TOGETHER: Final = 4096
"""Captions whose hashes are taken as one table: part of what `Workspace.sha256` means."""

_HASHED: Final = pa.schema([(name, pa.string()) for name in ("image_id", "variant", "text", "source_id")])
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

    def captions_of(self, image_ids: pa.Array | pa.ChunkedArray, variants: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the captions of images, a row for each in the order given, some megabytes at a time.

        Column `captions` is a list of one text per variant, clean, null unless its status is ok and it is not blank;
        `source_ids` the list of where each of them comes from. An image that the workspace lacks has nulls.

        Args:
            image_ids: string, without nulls.
            variants: names, in the order of the lists.
        """
        step = max(1, _BATCH // max(1, len(variants)))
        with translated(self._path):
            for start in range(0, len(image_ids), step):
                self._choose(variants)
                yield from self._batch(image_ids[start : start + step], len(variants))

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
            for sha256 in _hashes(self._ok_captions()):
                hasher.update(sha256.encode())
        return hasher.hexdigest()

    def _names(self, sql: str) -> tuple[str, ...]:
        with translated(self._path):
            return tuple(_text(name) or "" for (name,) in self._connection.execute(sql))

    def _choose(self, variants: Sequence[str]) -> None:
        self._connection.execute("DELETE FROM temp.chosen")
        rows = ((name, place) for place, name in enumerate(variants))
        self._connection.executemany("INSERT INTO temp.chosen (variant, place) VALUES (?, ?)", rows)

    def _batch(self, image_ids: pa.Array, variants: int) -> Iterator[pa.Table]:
        self._connection.execute("DELETE FROM temp.wanted")
        self._connection.executemany("INSERT INTO temp.wanted (n, image_id) VALUES (?, ?)",
                                     enumerate(image_ids.to_pylist()))  # fmt: skip
        cursor = self._connection.execute(
            "SELECT w.n, v.place, c.text, c.source_id FROM temp.wanted w CROSS JOIN captions c USING (image_id) "
            "CROSS JOIN temp.chosen v USING (variant) WHERE c.status = 'ok' ORDER BY w.n"
        )
        start, rows = 0, list[Any]()
        for some in some_rows(cursor, text=2, most=_BATCH):
            rows += some
            stop = rows[-1][0]  # the image that may have more captions
            if stop > start:
                whole = next(number for number, row in enumerate(rows) if row[0] == stop)
                yield _lists(rows[:whole], start, stop, variants)
                start, rows = stop, rows[whole:]
        yield _lists(rows, start, len(image_ids), variants)

    def _ok_captions(self) -> Iterator[pa.Table]:
        """Return the captions of the chosen variants that can be selected, in batches of any size."""
        cursor = self._connection.execute(
            "SELECT image_id, variant, text, source_id FROM captions WHERE status = 'ok' "
            "AND variant IN (SELECT variant FROM temp.chosen) ORDER BY image_id, variant"
        )
        for rows in some_rows(cursor, text=2, most=_BATCH):
            image_id, variant, texts, source_ids = zip(*rows, strict=True)
            clean = _clean(texts)
            columns = [_strings(image_id), _strings(variant), clean, _strings(source_ids)]
            yield pa.table(columns, schema=_HASHED).filter(pa.array(_usable(clean)))


def _lists(rows: Sequence[Any], start: int, stop: int, variants: int) -> pa.Table:
    """Return the captions and their sources of the images with the numbers from `start` up to `stop`."""
    n, place, texts, source_ids = zip(*rows, strict=True) if rows else ((), (), (), ())
    clean = _clean(texts)
    entry = np.full((stop - start) * variants, -1, dtype=np.int64)  # which row each place of the lists takes
    entry[(np.array(n, dtype=np.int64) - start) * variants + np.array(place, dtype=np.int64)] = np.arange(len(rows))
    usable = _usable(clean)
    entry[(entry >= 0) & ~np.append(usable, False)[entry]] = -1
    where = pa.array(entry, mask=entry < 0)
    ends = pa.array(np.arange(stop - start + 1, dtype=np.int32) * variants)
    lists = [pa.ListArray.from_arrays(ends, column.take(where)) for column in (clean, _strings(source_ids))]
    return pa.table(lists, schema=_TEXTS)


def _hashes(batches: Iterator[pa.Table]) -> Iterator[str]:
    """Yield the hashes of rows, so many together, only the last fewer: what they come to is the rows' alone."""
    pieces = Pieces(_HASHED)
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            some = batch.slice(start, _HASHED_TOGETHER - pieces.num_rows)
            pieces.add(some)
            start += some.num_rows
            if pieces.num_rows == _HASHED_TOGETHER:
                yield _sha256(pieces)
                pieces = Pieces(_HASHED)
    if pieces.num_rows:
        yield _sha256(pieces)


def _sha256(pieces: Pieces) -> str:
    with pieces:
        return rows_sha256(pieces.num_rows, pieces.schema, pieces.chunks_of)


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
