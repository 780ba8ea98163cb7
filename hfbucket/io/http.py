"""Files at http(s) URLs, read by fsspec's client with its settings: ranges and whole answers, with errors that tell.

fsspec's own files ask for a block and wait, again and again, and its cut connections and refusals are no `OSError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

import aiohttp

from hfbucket.errors import SourceError

_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=30.0, sock_read=60.0)
"""The client's own ends a long answer after five minutes, however well it comes."""


_with_ranges: set[str] = set()
"""Servers that gave a range when they were asked for one."""


def read_range(fs: Any, url: str, start: int, stop: int, size_bytes: int) -> bytes:  # noqa: ANN401 (of fsspec)
    """Return the bytes of a file from `start` to `stop`: fewer only where it ends before.

    Raises:
        OSError: it is not there, may not be read, or the connection is lost.
        SourceError: the server gives no ranges.
    """
    server = urlsplit(url).netloc
    with _told(url):
        if server in _with_ranges:  # this way costs half, but takes a whole file where ranges are not heeded
            data = fs.cat_file(url, start=start, end=stop, headers=_headers(fs))
            if len(data) <= stop - start:
                return cast("bytes", data)
            _with_ranges.discard(server)
        with fs.open(url, "rb", size=size_bytes, cache_type="none", headers=_headers(fs)) as file:
            file.seek(start)
            data = file.read(stop - start)
        if start:
            _with_ranges.add(server)
        return cast("bytes", data)


class _Answer:
    """The answer to one request for a file from some byte on, read as it comes."""

    def __init__(self, fs: Any, url: str, start: int) -> None:  # noqa: ANN401 (of fsspec)
        self._url = url
        headers = _headers(fs, Range=f"bytes={start}-") if start else _headers(fs)
        with _told(url):
            # Any size will do: it is not looked at here, but asked for where it is not given.
            self._file = fs.open(url, "rb", block_size=0, size=1, headers=headers, timeout=_TIMEOUT)
        if start and self._file.r.status != 206:
            self.close()
            raise SourceError(f"{url}: asked for from byte {start:,} on, it came from its start")

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end."""
        with _told(self._url):
            return cast("bytes", self._file.read(size))

    def close(self) -> None:
        """Let go of the connection."""
        self._file.close()


def open_answer(fs: Any, url: str, start: int) -> BinaryIO:  # noqa: ANN401 (of fsspec)
    """Return a file from `start` on, to be read forward as it comes.

    Raises:
        OSError: it is not there, may not be read, or the connection is lost; now, or when it is read.
        SourceError: the server does not give it from that byte on.
    """
    return cast("BinaryIO", _Answer(fs, url, start))


def _headers(fs: Any, **further: str) -> dict[str, str]:  # noqa: ANN401 (of fsspec)
    """Return what goes with every request: what is counted and asked for again are the file's own bytes."""
    return {**fs.kwargs.get("headers", {}), "Accept-Encoding": "identity", **further}


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Put what the client raises into errors that say whether another try may help."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{url}: no such file") from error
    except aiohttp.ClientResponseError as error:
        words = f"{url}: the server answers {error.status} {error.message}"
        if error.status in (404, 410):
            raise FileNotFoundError(f"{url}: no such file") from error
        if error.status in (401, 403):
            raise PermissionError(words) from error
        if error.status == 429 or error.status >= 500:
            raise ConnectionError(words) from error
        raise SourceError(words) from error
    except (aiohttp.ClientError, asyncio.TimeoutError) as error:
        raise ConnectionError(f"{url}: the connection is lost: {type(error).__name__}: {error}") from error
    except ValueError as error:
        if "range requests" not in str(error):
            raise
        raise SourceError(f"{url}: its server gives no parts of files: download it first") from error
