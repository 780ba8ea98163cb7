"""One file read from some byte to its end, from a disk, the Hub or any fsspec store; lost connections are taken up.

What is far away comes in one answer, which is read when its bytes are needed: meanwhile the system takes in what
arrives. Where an answer turns out to be slow, as over long ways and from servers that give each connection its share,
the rest is asked for by ranges, several at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from itertools import pairwise
from typing import Final, Protocol

from hfbucket.io.ahead import BLOCK_BYTES, ahead
from hfbucket.io.patience import wait_longer
from hfbucket.io.ranges import RemoteFile
from hfbucket.io.urls import filesystem, is_http, is_local, local_path

__all__ = ["stream"]

_PIECE_BYTES: Final = 1 << 20
_TRIAL_BYTES: Final = 16 << 20
_FAST: Final = 100e6
"""Bytes a second that an answer's first 16 MiB have to come at; all that 1 Gbit/s gives is 117e6."""

_AT_ONCE: Final = 8
"""Connections that together bring what one brings slowly."""


class Answer(Protocol):
    """One answer with the bytes of a file, read as they come."""

    @property
    def ranges_to(self) -> int | None:
        """Where the file ends, if the server says that, and that it gives parts of the file."""

    def read(self, size: int, /) -> bytes:
        """Return some bytes, about `size` where there are so many; none at the end."""

    def close(self) -> None:
        """Let go of the connection."""


def stream(
    url: str,
    start: int = 0,
    *,
    size_bytes: int | None = None,
    token: str | bool | None = None,
    use_cache: bool = False,
) -> Generator[bytes, None, None]:
    """Yield the bytes of a file from `start` on, in one sequential read.

    A connection that is lost is taken up at the byte it broke off; the Hub's 429 and 5xx are waited out.

    Args:
        size_bytes: of the whole file where known: one that ends before counts as broken off, too.
        use_cache: take it from the cache of the Hub's client where that has it.

    Raises:
        OSError: there is no such file, or the store cannot be reached.
        SourceError: the Hub does not give it, or every connection is lost.
    """
    here = local_path(url) if is_local(url) else _cached(url) if use_cache else None
    open_at = _opener(url, token) if here is None else None
    if here is not None:
        pieces = _of_disk(here, start)
    elif open_at is not None:
        pieces = _answered(url, start, open_at, size_bytes, token)
    else:
        pieces = _by_ranges(RemoteFile(url, token=token), start)
    position = start
    for piece in pieces:
        position += len(piece)
        yield piece
    _check_end(url, position, size_bytes)


def _check_end(url: str, position: int, size_bytes: int | None) -> None:
    if size_bytes is not None and position < size_bytes:
        raise ConnectionError(f"{url}: ended at byte {position:,} of {size_bytes:,}")


def _of_disk(path: str, start: int) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        file.seek(start)
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _answered(
    url: str, start: int, open_at: Callable[[int], Answer], size_bytes: int | None, token: str | bool | None
) -> Iterator[bytes]:
    """Yield what answers give, each from where the one before broke off, and what they would give too slowly."""
    position, failures, end = start, 0, None
    while True:
        try:
            with closing(open_at(position)) as answer:
                end = answer.ranges_to
                for piece in _while_fast(answer):
                    position, failures = position + len(piece), 0
                    yield piece
            if end is None:
                _check_end(url, position, size_bytes)
            break
        except OSError as error:
            failures += 1
            wait_longer(error, failures, url)
    if end is not None and position < end:
        yield from _by_ranges(RemoteFile(url, size_bytes=end, token=token), position)


def _while_fast(answer: Answer) -> Iterator[bytes]:
    """Yield what an answer gives, to its end, or until ranges would come faster."""
    came, spent_s = 0, 0.0
    while True:
        began = time.monotonic()
        piece = answer.read(_PIECE_BYTES)
        spent_s += time.monotonic() - began
        if not piece:
            return
        yield piece
        came += len(piece)
        if came >= _TRIAL_BYTES:
            if came < _FAST * spent_s and answer.ranges_to is not None:
                return
            came, spent_s = 0, 0.0


def _by_ranges(file: RemoteFile, start: int) -> Iterator[bytes]:
    """Yield the bytes of a file by ranges: a short one alone, as more may not be wanted, then many ahead."""
    position = min(start + _PIECE_BYTES, file.size_bytes)
    piece = file.read(start, position) if start < position else b""
    yield piece
    if len(piece) < position - start:
        return
    edges = [*range(position, file.size_bytes, BLOCK_BYTES), file.size_bytes]
    wanted = ((partial(file.read, begin, end), end - begin) for begin, end in pairwise(edges))
    for (begin, end), block in zip(pairwise(edges), ahead(wanted, at_once=_AT_ONCE), strict=True):
        yield block
        if len(block) < end - begin:
            return


def _cached(url: str) -> str | None:
    """Return where the cache of the Hub's client has a file."""
    if not url.startswith("hf://"):
        return None
    from hfbucket.io.hub import read as hub_read

    file = hub_read.hub_file(url)
    return None if file is None else hub_read.cached(file)


def _opener(url: str, token: str | bool | None) -> Callable[[int], Answer] | None:
    """Return what opens an answer from some byte on; None for stores that give none."""
    if url.startswith("hf://"):
        from hfbucket.io.hub import file as hub_file
        from hfbucket.io.hub import ranges as hub_ranges

        file = hub_file.hub_file(url)
        return None if file is None else partial(hub_ranges.Answer, hub_ranges.HubRanges(file, token))
    if is_http(url):
        from hfbucket.io import http

        fs, path = filesystem(url)
        return partial(http.Answer, fs, path) if http.is_plain(fs) else None
    return None
