"""The filters stage: which rows of the index `--where` and `--filter` leave out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.events import Notice, OnEvent, Progress
from hfbucket.core.filter.columns import SOURCE, Columns, index_columns, read_columns
from hfbucket.core.filter.grammar import parse
from hfbucket.core.plan.captions import own_variants
from hfbucket.core.plan.filtered import Filtered
from hfbucket.io.frames import Bools, FrameFilter
from hfbucket.io.index_files import Index
from hfbucket.io.sql import Where, require_duckdb
from hfbucket.stages.captions import choice_for

Int64s = npt.NDArray[np.int64]

BATCH_IMAGES: Final = 10_000
"""Images that a function is called with at once: always so many, but for the last, wherever the index is cut."""


def check_filters(config: Config) -> None:
    """Refuse filters that cannot work, before anything is read.

    Raises:
        ConfigError: the expression is none, or the function cannot be imported.
        MissingDependencyError: DuckDB is not installed.
    """
    if config.where is not None:
        parse(config.where)
        require_duckdb()
    if config.filter is not None:
        FrameFilter(config.filter)


def filtered(index: Index, config: Config, eligible: Bools, on_event: OnEvent) -> Filtered:
    """Return which of the rows that are still eligible the filters leave out.

    Args:
        eligible: bool[rows].

    Raises:
        ConfigError: the expression is no condition on the index, or takes too much time or memory.
        BuildError: the function raised, or returned no mask.
        MissingDependencyError: DuckDB is not installed.
    """
    if config.where is None and config.filter is None:
        return Filtered.none()
    columns = index_columns(choice_for(index, config).universe, own_variants(config))
    by = np.zeros(index.rows, dtype=np.uint8)
    words: list[str] = []
    if config.where is not None:
        words.append(f"where: {config.where}")
        by[eligible & ~_where(index, config.where, columns, on_event)] = len(words)
    if config.filter is not None:
        words.append(f"filter: {config.filter}")
        rows = np.flatnonzero(eligible & (by == 0))
        by[rows[~_function(index, FrameFilter(config.filter), columns, rows, on_event)]] = len(words)
    return Filtered(by=by, words=tuple(words))


def _where(index: Index, expression: str, columns: Columns, on_event: OnEvent) -> Bools:
    """Return where a condition is true, bool[rows]."""
    keep = np.zeros(index.rows, dtype=np.bool_)

    def tables(names: Sequence[str]) -> Iterator[pa.Table]:
        for start, piece in _pieces(index, names):
            yield piece
            on_event(Progress(stage="metadata", done=start + piece.num_rows, total=index.rows, unit="images"))

    with Where(expression, columns, tables) as where:
        for note in where.notes:
            on_event(Notice(level="warning", text=note))
        for start, piece in _pieces(index, where.needs):
            stop = start + piece.num_rows
            keep[start:stop] = where.mask(piece)
            on_event(Progress(stage="where", done=stop, total=index.rows, unit="images"))
    return keep


def _function(index: Index, function: FrameFilter, columns: Columns, rows: Int64s, on_event: OnEvent) -> Bools:
    """Return which of these rows a function keeps."""
    keep = np.zeros(len(rows), dtype=np.bool_)
    done = 0
    for batch in _batches(index, columns, rows):
        stop = done + batch.num_rows
        place = f"images {done + 1} to {stop}, from {batch['image_id'][0].as_py()!r} on"
        keep[done:stop] = function.mask(batch, place)
        done = stop
        on_event(Progress(stage="filter", done=done, total=len(rows), unit="images"))
    return keep


def _batches(index: Index, columns: Columns, rows: Int64s) -> Iterator[pa.Table]:
    """Yield the columns of these rows, BATCH_IMAGES at a time."""
    needs = tuple(dict.fromkeys(need for column in columns.values() for need in column.needs))
    waiting: pa.Table | None = None
    for start, piece in _pieces(index, needs):
        first, last = np.searchsorted(rows, [start, start + piece.num_rows])
        taken = read_columns(piece.take(pa.array(rows[first:last] - start)), columns)
        waiting = taken if waiting is None else pa.concat_tables([waiting, taken])
        while waiting.num_rows >= BATCH_IMAGES:
            yield waiting.slice(0, BATCH_IMAGES)
            waiting = waiting.slice(BATCH_IMAGES)
    if waiting is not None and waiting.num_rows:
        yield waiting


def _pieces(index: Index, names: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    """Yield (first position, rows) of every row group, with the name of its source where that is asked for."""
    stored = [name for name in names if name != SOURCE] or ["image_id"]
    for start, piece in index.groups(*stored):
        if SOURCE in names:
            unit = index.units[int(index.unit_of(np.array([start]))[0])]
            name = pa.scalar(index.sources[unit.unit.source].name, pa.string())
            piece = piece.append_column(SOURCE, pa.repeat(name, piece.num_rows))
        yield start, piece
