"""What is far away is asked for before it is needed, and never more than a budget of bytes at once.

The budget holds for everything that was asked for and is not used up: what is on its way, what has arrived, and what
the caller has in hand. One reader works at a time in a process, so it is what remote reading adds to a worker's memory.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, TypeVar

T = TypeVar("T")

BUDGET_BYTES: Final = 64 << 20
"""Bytes asked for and not used up, at most; a single thing that is larger comes alone."""

AT_ONCE: Final = 32
"""Requests under way, at most: servers do not like to be asked for more by one client."""

BLOCK_BYTES: Final = 4 << 20
"""What a file that is read through comes in: a request costs little beside it."""

_BLOCKS_AHEAD: Final = 8


def ahead(
    wanted: Iterable[tuple[Callable[[], T], int | None]], *, budget_bytes: int = BUDGET_BYTES, at_once: int = AT_ONCE
) -> Generator[T, None, None]:
    """Yield what functions return, in their order; they are called in threads, as many ahead as the budget allows.

    Args:
        wanted: function and the bytes it returns; None of one that is called when its turn comes, not before.

    Raises:
        Exception: whatever a function raised, in its turn; what is not begun then is not called any more.
    """
    threads = ThreadPoolExecutor(at_once)  # starts none before there is something to do
    queue: deque[tuple[Callable[[], T], int]] = deque()
    held = 0
    try:
        for function, size in wanted:
            while queue and (len(queue) >= at_once or held + (size or 0) > budget_bytes):
                take, used = queue.popleft()
                yield take()
                held -= used
            queue.append((function if size is None else threads.submit(function).result, size or 0))
            held += size or 0
        while queue:
            yield queue.popleft()[0]()
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


class Blocks:
    """A file in blocks, fetched when they are asked for, and ahead of that where it is read through from some place on.

    Args:
        fetch: (start, stop) to the bytes of a range, fewer where the file ends too early.
        budget_bytes: of blocks on their way and here, at most.
    """

    def __init__(
        self,
        fetch: Callable[[int, int], bytes],
        size_bytes: int,
        *,
        block_bytes: int = BLOCK_BYTES,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        self._fetch, self._size = fetch, size_bytes
        self._block, self._most = block_bytes, max(2, budget_bytes // block_bytes)
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_BLOCKS_AHEAD)
        # Those used or needed last stand at the end.
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()

    def pread(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on: fewer only where the file ends."""
        stop = min(offset + size, self._size)
        if self._is_ending(offset, stop):
            return self._fetch(offset, stop)
        pieces = []
        while offset < stop:
            number, at = divmod(offset, self._block)
            piece = self._get(number)[at : at + stop - offset]
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @property
    def held_bytes(self) -> int:
        """How many bytes of blocks are here or on their way, counted as whole blocks."""
        return len(self._blocks) * self._block

    def close(self) -> None:
        """Let go of all blocks; what is on its way is waited for."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._blocks.clear()

    def _is_ending(self, offset: int, stop: int) -> bool:
        """Return whether a file's last bytes are wanted out of turn, as those of Parquet are, and no more of it yet."""
        is_last = offset < stop == self._size and stop - offset <= self._block
        return is_last and offset // self._block not in self._blocks

    def _get(self, number: int) -> bytes:
        with self._lock:
            if number not in self._blocks:
                self._start(number, needed=True)
            self._blocks.move_to_end(number)
            for next_number in range(number + 1, min(number + 1 + self._ahead(number), -(-self._size // self._block))):
                if next_number in self._blocks:
                    self._blocks.move_to_end(next_number)
                elif not self._start(next_number, needed=False):
                    break
            block = self._blocks[number]
        try:
            return block.result()
        except BaseException:
            with self._lock:
                self._blocks.pop(number, None)
            raise

    def _ahead(self, number: int) -> int:
        """Return how many blocks after this one are likely needed: the longer the run before it, the more."""
        run = 0
        while 2 * run < _BLOCKS_AHEAD and number - run - 1 in self._blocks:
            run += 1
        return min(2 * run, _BLOCKS_AHEAD, self._most - 1)

    def _start(self, number: int, *, needed: bool) -> bool:
        """Ask for a block, in the place of the one used longest ago where there are too many; return whether it was."""
        if len(self._blocks) >= self._most:
            oldest, block = next(iter(self._blocks.items()))
            if not (block.done() or block.cancel()):
                if not needed:
                    return False
                wait([block])
            del self._blocks[oldest]
        start = number * self._block
        self._blocks[number] = self._threads.submit(self._fetch, start, min(start + self._block, self._size))
        return True
