"""What is fetched ahead: all of it, in order, and never more at once than the budget allows."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfbucket.io.ahead import Blocks, ahead


class Fetcher:
    """Counts the bytes that were asked for and are not used up, and the most there ever were."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held = self.most = self.running = self.most_running = 0

    def fetch(self, number: int, size: int) -> tuple[int, int]:
        with self.lock:
            self.held += size
            self.running += 1
            self.most, self.most_running = max(self.most, self.held), max(self.most_running, self.running)
        time.sleep(random.random() / 2000)
        with self.lock:
            self.running -= 1
        return number, size

    def use_up(self, size: int) -> None:
        with self.lock:
            self.held -= size


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 400), st.integers(1, 9))
def test_all_comes_in_order_and_within_the_budget(sizes: list[int], budget: int, at_once: int) -> None:
    fetcher = Fetcher()
    found = []
    wanted = ((partial(fetcher.fetch, number, size), size) for number, size in enumerate(sizes))
    for number, size in ahead(wanted, budget_bytes=budget, at_once=at_once):
        found.append((number, size))
        fetcher.use_up(size)
    assert found == list(enumerate(sizes))
    assert fetcher.most <= max(budget, *sizes, 0)
    assert fetcher.most_running <= at_once


def test_a_slow_consumer_holds_back_what_is_fetched() -> None:
    fetcher = Fetcher()
    results = ahead(((partial(fetcher.fetch, number, 10), 10) for number in range(100)), budget_bytes=45)
    for _ in range(5):
        _, size = next(results)
        time.sleep(0.02)  # long enough for all that may come to come
        assert fetcher.held == 40
        fetcher.use_up(size)
    results.close()
    assert fetcher.most == 40


def test_what_is_larger_than_the_budget_comes_alone() -> None:
    fetcher = Fetcher()
    for number, size in ahead(
        [(partial(fetcher.fetch, number, size), size) for number, size in enumerate((10, 500, 10))], budget_bytes=100
    ):
        assert fetcher.held == (500 if number == 1 else size)
        fetcher.use_up(size)


def test_what_is_close_at_hand_is_read_in_its_turn() -> None:
    calls: list[int] = []

    def call(number: int) -> int:
        calls.append(number)
        return number

    for number in ahead((partial(call, number), None if number % 2 else 1) for number in range(10)):
        assert max((each for each in calls if each % 2), default=number) <= number
    assert sorted(calls) == list(range(10))


def test_an_error_comes_in_its_turn_and_ends_it() -> None:
    calls: list[int] = []

    def call(number: int) -> int:
        calls.append(number)
        if number == 3:
            raise OSError("three")
        return number

    results = ahead(((partial(call, number), 1) for number in range(1000)), at_once=2)
    with pytest.raises(OSError, match="three"):
        for _ in results:
            pass
    assert max(calls) <= 5


DATA = bytes(random.Random(7).randbytes(10_000))


class Far:
    """A file that is far away; it counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.lock = threading.Lock()
        self.running = self.most_running = 0

    def fetch(self, start: int, stop: int) -> bytes:
        with self.lock:
            self.asked.append((start, stop))
            self.running += stop - start
            self.most_running = max(self.most_running, self.running)
        time.sleep(0.0005)
        with self.lock:
            self.running -= stop - start
        return DATA[start:stop]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 11_000), st.integers(0, 4_000)), max_size=15),
    st.integers(1, 3_000),
)
def test_blocks_give_the_bytes_of_the_file_from_any_place(reads: list[tuple[int, int]], block: int) -> None:
    far = Far()
    blocks = Blocks(far.fetch, len(DATA), block_bytes=block, budget_bytes=4 * block)
    for offset, size in reads:
        assert blocks.pread(offset, size) == DATA[offset : offset + size]
        assert blocks.held_bytes <= 4 * block
    blocks.close()
    assert far.most_running <= 4 * block


def test_what_is_read_through_is_fetched_once_and_ahead() -> None:
    far = Far()
    blocks = Blocks(far.fetch, len(DATA), block_bytes=100, budget_bytes=1_600)
    assert b"".join(blocks.pread(offset, 37) for offset in range(0, len(DATA), 37)) == DATA
    blocks.close()
    assert sorted(far.asked) == [(start, start + 100) for start in range(0, len(DATA), 100)]
    assert far.most_running > 300


def test_single_places_are_fetched_alone() -> None:
    far = Far()
    blocks = Blocks(far.fetch, len(DATA), block_bytes=100, budget_bytes=1_600)
    for offset in (5_000, 9_910, 300, 7_000):
        blocks.pread(offset, 10)
    blocks.close()
    assert sorted(far.asked) == [(300, 400), (5_000, 5_100), (7_000, 7_100), (9_900, 10_000)]


def test_the_end_of_a_file_is_fetched_alone() -> None:
    far = Far()
    blocks = Blocks(far.fetch, len(DATA), block_bytes=4_000)
    assert blocks.pread(9_936, 64) == DATA[9_936:]
    blocks.close()
    assert far.asked == [(9_936, 10_000)]


def test_a_file_that_ends_too_early_ends_there() -> None:
    blocks = Blocks(lambda start, stop: DATA[:250][start:stop], 1_000, block_bytes=100, budget_bytes=400)
    assert blocks.pread(0, 1_000) == DATA[:250]
    assert blocks.pread(240, 20) == DATA[240:250]
    assert blocks.pread(900, 20) == b""
    blocks.close()


def test_a_block_that_could_not_be_fetched_is_asked_for_again() -> None:
    tries: list[int] = []

    def fetch(start: int, stop: int) -> bytes:
        tries.append(start)
        if len(tries) == 1:
            raise ConnectionError("lost")
        return DATA[start:stop]

    blocks = Blocks(fetch, len(DATA), block_bytes=100)
    read: Callable[[], bytes] = partial(blocks.pread, 5_000, 10)
    with pytest.raises(ConnectionError, match="lost"):
        read()
    assert read() == DATA[5_000:5_010]
    blocks.close()
