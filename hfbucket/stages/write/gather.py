"""Index rows in the order of the shards they go to.

Rows of a shard may lie anywhere in the index. Few are taken from where they are. Many would have the whole index read
again and again: instead it is read once, in its own order, and its rows are dealt out to a temporary file, a stretch
for every batch of members; each batch is then read from there and put in order. So the cost of a row is the same
however many there are, and memory is that of a batch, or of every 256th row of the index where that is more, beside
4 bytes for every row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.core.chunks import chunks
from hfbucket.core.plan.model import Plan
from hfbucket.io.arrow import give_back
from hfbucket.io.atomic import NO_ROOM, naming
from hfbucket.io.index_files import Index
from hfbucket.io.places import Place

Int64s = npt.NDArray[np.int64]

_PLACE: Final = "place"
_DEALT_ROWS: Final = 1024
"""Read at once for every batch, as that many stretches are dealt out: one of fewer rows costs more than its rows do."""

_BATCH_BYTES: Final = 1 << 25
_DEALT_BYTES: Final = 1 << 26
"""Of captions that are in a batch, and of rows that are read at once; copies of them come on top."""

_PACKED: Final = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Consecutive members of shards with their rows."""

    #: Place of the first among all members.
    start: int
    #: Positions in the index of their members, in order.
    members: Int64s
    #: The columns asked for.
    table: pa.Table


def in_member_order(index: Index, plan: Plan, columns: Sequence[str], most: int, folder: Place) -> Iterator[Batch]:
    """Yield the rows of all shards in their order, about `most` rows at a time, fewer where captions are long.

    Args:
        folder: where the temporary file is made, if it is on this machine; it has no name there and is gone when this
            process is.
    """
    edges = _edges(plan, most)
    if len(edges) == 2:
        members = plan.members.astype(np.int64)
        yield Batch(start=0, members=members, table=index.take(members, columns))
    elif len(edges) > 2:
        here = folder if isinstance(folder, Path) else Path(gettempdir())
        with naming(here, NO_ROOM), TemporaryFile(dir=here) as file:
            dealt = _Dealt(file, edges)
            place = _places(plan)
            for start, piece in _pieces(index, columns, max(most, _DEALT_ROWS * (len(edges) - 1))):
                dealt.add(piece, place[start : start + piece.num_rows])
                del piece
                give_back()
            del place
            for number, (start, stop) in enumerate(pairwise(edges.tolist())):
                give_back()
                yield Batch(start=start, members=plan.members[start:stop].astype(np.int64), table=dealt.batch(number))


def _edges(plan: Plan, most: int) -> Int64s:
    """Return where batches begin among all members, and the last one ends."""
    each = -(-_BATCH_BYTES // most)  # that light rows count for: they end a batch, too
    edges: list[int] = []
    full, total = -1, 0
    for here in chunks(len(plan.members)):
        weights = np.maximum(plan.caption_bytes.of(plan.members[here]), each)
        before = total + np.cumsum(weights) - weights
        batch = before // _BATCH_BYTES
        edges += (np.flatnonzero(np.diff(batch, prepend=full)) + here.start).tolist()
        full, total = int(batch[-1]), int(before[-1] + weights[-1])
    return np.array([*edges, len(plan.members)] if edges else [], dtype=np.int64)


def _places(plan: Plan) -> npt.NDArray[np.signedinteger]:
    """Return the place of every index row among all members, -1 for those that have none."""
    place = np.full(len(plan.outcome), -1, dtype=plan.members.dtype)
    for here in chunks(len(plan.members)):
        place[plan.members[here]] = np.arange(here.start, here.stop)
    return place


def _pieces(index: Index, columns: Sequence[str], most: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield (first position, rows) of the whole index, at least `most` rows or `_DEALT_BYTES` at a time."""
    waiting: list[pa.Table] = []
    first = rows = size_bytes = 0
    for _, piece in index.groups(*columns):
        waiting.append(piece)
        rows, size_bytes = rows + piece.num_rows, size_bytes + piece.nbytes
        if rows >= most or size_bytes >= _DEALT_BYTES:
            yield first, pa.concat_tables(waiting)
            waiting, first, rows, size_bytes = [], first + rows, 0, 0
    if waiting:
        yield first, pa.concat_tables(waiting)


class _Dealt:
    """Rows dealt out to batches: in a file, in pieces that are each in order."""

    def __init__(self, file: BinaryIO, edges: Int64s) -> None:
        self.edges = edges
        self._file = file
        self._pieces: list[list[tuple[int, int]]] = [[] for _ in edges[1:]]
        self._end = 0

    def add(self, rows: pa.Table, place: npt.NDArray[np.signedinteger]) -> None:
        """Take some rows of the index; `place` is that of each among all members, -1 for none."""
        order = np.argsort(place, kind="stable")
        order = order[np.searchsorted(place[order], 0) :]
        place = place[order]
        table = rows.take(pa.array(order)).append_column(_PLACE, pa.array(place)).combine_chunks()
        cuts = np.searchsorted(place, self.edges)
        for number in np.flatnonzero(np.diff(cuts)).tolist():
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema, options=_PACKED) as writer:
                writer.write_table(table.slice(cuts[number], cuts[number + 1] - cuts[number]))
            written = sink.getvalue()
            self._file.write(written)
            self._pieces[number].append((self._end, written.size))
            self._end += written.size

    def batch(self, number: int) -> pa.Table:
        """Return the rows of a batch, in order."""
        pieces = []
        for start, size_bytes in self._pieces[number]:
            self._file.seek(start)
            with pa.ipc.open_stream(self._file.read(size_bytes)) as reader:
                pieces.append(reader.read_all())
        table = pa.concat_tables(pieces)
        return table.take(pa.array(np.argsort(table[_PLACE].to_numpy()))).drop_columns([_PLACE])
