"""One file read from some byte to its end, from a disk, the Hub or any fsspec store; lost connections are taken up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO, Final

from hfbucket.io import ranges
from hfbucket.io.random_file import open_seekable
from hfbucket.io.urls import filesystem, is_http, is_local, local_path

__all__ = ["stream"]

_BLOCK_BYTES: Final = 1 << 20
_HERE: Final = ("http://", "https://", "hf://")
"""What is read in one answer, which may break off; what is read by ranges is taken up there."""


def stream(
    url: str,
    start: int = 0,
    *,
    size_bytes: int | None = None,
    token: str | bool | None = None,
    use_cache: bool = False,
) -> Iterator[bytes]:
    """Yield the bytes of a file from `start` on, in one sequential read.

    A connection that is lost is taken up at the byte it broke off; the Hub's 429 and 5xx are waited out.

    Args:
        size_bytes: of the whole file where known: one that ends before counts as broken off, too.
        use_cache: take it from the cache of the Hub's client where that has it.

    Raises:
        OSError: there is no such file, or the store cannot be reached.
        SourceError: the Hub does not give it, or every connection is lost.
    """
    position, failures = start, 0
    while True:
        try:
            with closing(_open(url, position, token, use_cache)) as file:
                while block := file.read(_BLOCK_BYTES):
                    position, failures = position + len(block), 0
                    yield block
            if size_bytes is None or position >= size_bytes:
                return
            raise ConnectionError(f"{url}: ended at byte {position:,} of {size_bytes:,}")
        except ranges.NO_USE:
            raise
        except OSError:
            failures += 1
            if not url.startswith(_HERE) or failures >= ranges.TRIES:
                raise
        time.sleep(ranges.WAIT_S * 2 ** (failures - 1))


def _open(url: str, start: int, token: str | bool | None, use_cache: bool) -> BinaryIO:
    if is_local(url):
        file = open(local_path(url), "rb")  # noqa: SIM115 (the caller closes it)
        file.seek(start)
        return file
    if url.startswith("hf://"):
        from hfbucket.io.hub import read as hub_read

        at_hub = hub_read.hub_file(url)
        if at_hub is not None:
            return hub_read.open_hub_file(at_hub, token, start=start, use_cache=use_cache)
    if is_http(url):
        from hfbucket.io import http

        return http.open_answer(*filesystem(url), start)
    opened = open_seekable(url, token=token)
    opened.seek(start)
    return opened
