"""A stream that is read forward: the right bytes at every place, and each of them once where reads go forward."""

from __future__ import annotations

import random
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.io import forward
from hfbucket.io.forward import Forward

DATA = bytes(random.Random(7).randbytes(10_000))


class Far:
    """A file that is far away; it counts what comes."""

    def __init__(self, pieces: list[int], end: int = len(DATA)) -> None:
        self.pieces, self.end = pieces, end
        self.streams: list[int] = []
        self.ranges: list[tuple[int, int]] = []
        self.came = 0

    def stream(self, start: int) -> Generator[bytes, None, None]:
        self.streams.append(start)
        for number in range(len(DATA)):
            piece = DATA[start : min(start + self.pieces[number % len(self.pieces)], self.end)]
            if not piece:
                return
            self.came += len(piece)
            yield piece
            start += len(piece)

    def fetch(self, start: int, stop: int) -> bytes:
        self.ranges.append((start, stop))
        return DATA[start : min(stop, self.end)]


@given(
    st.lists(st.integers(1, 3_000), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 11_000), st.integers(0, 4_000), st.booleans()), max_size=15),
    st.integers(0, 3_000),
    st.integers(0, 5_000),
    st.integers(5_000, len(DATA)),
)
def test_any_reads_give_the_bytes_of_the_file(
    pieces: list[int], reads: list[tuple[int, int, bool]], shown: int, skip: int, end: int
) -> None:
    far = Far(pieces, end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "_SKIP_BYTES", skip)
        file = Forward(far.stream, far.fetch, len(DATA), shown_bytes=shown)
        for offset, size, is_block in reads:
            if is_block:
                start, block = file.block_at(offset)
                assert block == DATA[start : start + len(block)]
                assert start <= offset
                assert not block or len(block) - (offset - start) >= min(shown, end - offset)
            else:
                assert file.pread(offset, size) == DATA[offset : min(offset + size, end)]
        file.close()


@given(
    st.lists(st.integers(1, 3_000), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 900)), min_size=1, max_size=40),
)
def test_what_is_read_forward_comes_once(pieces: list[int], steps: list[tuple[int, int]]) -> None:
    far = Far(pieces)
    file = Forward(far.stream, far.fetch, len(DATA))
    offset = 0
    for step, size in steps:
        offset += step
        assert file.pread(offset, size) == DATA[offset : offset + size]
    assert far.streams == [0]
    assert not far.ranges
    furthest = min(len(DATA), max(sum(step for step, _ in steps[: n + 1]) + size for n, (_, size) in enumerate(steps)))
    assert far.came <= furthest + max(pieces)


def test_a_long_way_is_not_read_but_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "_SKIP_BYTES", 1_000)
    far = Far([100])
    file = Forward(far.stream, far.fetch, len(DATA))
    assert file.pread(0, 10) == DATA[:10]
    assert file.pread(1_100, 10) == DATA[1_100:1_110]  # no further behind what is here than that
    assert file.pread(5_000, 10) == DATA[5_000:5_010]
    assert far.streams == [0, 5_000]
    assert file.pread(4_990, 10) == DATA[4_990:5_000]
    assert far.ranges == [(4_990, 5_000)]
    assert far.came == 1_300


def test_a_sample_at_the_end_of_a_piece_is_shown_whole() -> None:
    far = Far([1_000])
    file = Forward(far.stream, far.fetch, len(DATA), shown_bytes=300)
    assert file.block_at(0) == (0, DATA[:1_000])
    assert file.block_at(700) == (0, DATA[:1_000])
    assert file.block_at(701) == (701, DATA[701:1_300])
    assert file.block_at(1_200) == (1_000, DATA[1_000:2_000])
    assert file.block_at(999) == (999, b"")  # it was passed
    assert file.block_at(9_900) == (9_000, DATA[9_000:])
    assert file.block_at(10_000) == (10_000, b"")
