"""Index rows in the order of the shards they go to.

A shard's rows may lie anywhere in the index. Few are taken from where they are. Many would have the whole index read
again and again: instead it is read once, in its own order, and its rows are dealt out to a temporary file, a stretch
for every batch of shards; each batch is then read from there and put in order. So the cost of a row is the same however
many there are, and memory is that of a batch, or of every 256th row of the index where that is more, beside 4 bytes for
every row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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

_BATCH_BYTES: Final = 1 << 26
_DEALT_BYTES: Final = 1 << 27
"""Of captions that are in a batch, and that are read at once, on average; copies of them come on top."""

_PACKED: Final = pa.ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Consecutive shards with their rows."""

    #: Numbers of the shards among those of the plan: from the first up to the second, which is not in it.
    shards: range
    #: Positions in the index of their members, in order.
    members: Int64s
    #: The columns asked for.
    table: pa.Table


def in_member_order(index: Index, plan: Plan, columns: Sequence[str], most: int, folder: Place) -> Iterator[Batch]:
    """Yield the rows of all shards, whole shards, about `most` rows at a time, fewer where captions are long.

    Args:
        folder: where the temporary file is made, if it is on this machine; it has no name there and is gone when this
            process is.
    """
    row_bytes = max(1, plan.caption_bytes // max(1, index.rows))
    most = max(1, min(most, _BATCH_BYTES // row_bytes))
    batches = list(_batches(plan, most))
    if len(batches) == 1:
        members = plan.members.astype(np.int64)
        yield Batch(shards=batches[0], members=members, table=index.take(members, columns))
    elif batches:
        here = folder if isinstance(folder, Path) else Path(gettempdir())
        with naming(here, NO_ROOM), TemporaryFile(dir=here) as file:
            dealt = _Dealt(file, plan.shards.start[[*(batch.start for batch in batches), len(plan.shards.bucket)]])
            place = _places(plan)
            at_once = max(most, min(_DEALT_ROWS * len(batches), _DEALT_BYTES // row_bytes))
            for start, piece in _pieces(index, columns, at_once):
                dealt.add(piece, place[start : start + piece.num_rows])
                del piece
                give_back()
            del place
            for number, shards in enumerate(batches):
                give_back()
                members = plan.members[dealt.edges[number] : dealt.edges[number + 1]].astype(np.int64)
                yield Batch(shards=shards, members=members, table=dealt.batch(number))


def _batches(plan: Plan, most: int) -> Iterator[range]:
    first, ends = 0, plan.shards.start[1:].tolist()
    for number, end in enumerate(ends):
        if end - plan.shards.start[first] >= most or number == len(ends) - 1:
            yield range(first, number + 1)
            first = number + 1


def _places(plan: Plan) -> npt.NDArray[np.signedinteger]:
    """Return the place of every index row among all members, -1 for those that have none."""
    place = np.full(len(plan.outcome), -1, dtype=plan.members.dtype)
    for here in chunks(len(plan.members)):
        place[plan.members[here]] = np.arange(here.start, here.stop)
    return place


def _pieces(index: Index, columns: Sequence[str], most: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield (first position, rows) of the whole index, at least `most` rows at a time but for the last."""
    waiting: list[pa.Table] = []
    first = rows = 0
    for _, piece in index.groups(*columns):
        waiting.append(piece)
        rows += piece.num_rows
        if rows >= most:
            yield first, pa.concat_tables(waiting)
            waiting, first, rows = [], first + rows, 0
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
