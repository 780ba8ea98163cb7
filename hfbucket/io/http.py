"""Files at http(s) URLs, with the settings that fsspec has for them: ranges and whole answers, with errors that tell.

fsspec's client hands every piece from one thread to another, which costs more than the network of one machine does. So
bytes come by urllib3, unless fsspec was told more than headers: then its own client reads as from any store.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import urllib3
from fsspec.implementations.http import HTTPFileSystem, get_client

from hfbucket.errors import SourceError
from hfbucket.io.ahead import AT_ONCE

_TIMEOUT: Final = urllib3.Timeout(connect=30.0, read=60.0)
_RETRIES: Final = urllib3.Retry(total=None, connect=1, read=1, redirect=10, status=0, other=0)
"""At once: a connection that was kept may have been closed meanwhile."""


def is_plain(fs: Any) -> bool:  # noqa: ANN401 (of fsspec)
    """Return whether a file system is fsspec's for the web, with no settings but headers."""
    is_usual = type(fs) is HTTPFileSystem and fs.get_client is get_client and not fs.client_kwargs
    return is_usual and fs.kwargs.keys() <= {"headers"}


class Answer:
    """The answer to one request for a file from some byte on, read as it comes.

    Args:
        fs: for which `is_plain` holds.
        stop: the last byte that is asked for, and one; None for all.

    Raises:
        OSError: it is not there, may not be read, or the connection is lost; now, or when it is read.
        SourceError: the server does not give it from that byte on.
    """

    def __init__(self, fs: Any, url: str, start: int = 0, stop: int | None = None) -> None:  # noqa: ANN401 (of fsspec)
        self._url = url
        at, headers = _addressed(fs, url)
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with _told(url):
            self._response = _pool().request("GET", at, headers=headers, preload_content=False)
        self._is_empty = self._response.status == 416  # there are not so many bytes
        if not self._is_empty:
            self._check(start)
        told = self._response.headers
        length = told.get("Content-Length") if told.get("Accept-Ranges") == "bytes" else None
        self.ranges_to = None if length is None or self._is_empty else start + int(length)
        """Where the file ends, if the server says that, and that it gives parts of the file."""

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer where it ends or breaks off, none at its end."""
        if self._is_empty:
            return b""
        with _told(self._url):
            return self._response.read(size, decode_content=False)

    def close(self) -> None:
        """Let go of the connection; it is kept for the next request where all was read."""
        self._response.close()

    def _check(self, start: int) -> None:
        status = self._response.status
        if status == 206 or (status == 200 and not start):
            return
        self.close()
        words = f"{self._url}: the server answers {status} {self._response.reason}"
        if status == 200:
            raise SourceError(f"{self._url}: its server gives no parts of files: download it first")
        if status in (404, 410):
            raise FileNotFoundError(f"{self._url}: no such file")
        if status in (401, 403):
            raise PermissionError(words)
        if status == 429 or status >= 500:
            raise ConnectionError(words)
        raise SourceError(words)


def read_range(fs: Any, url: str, start: int, stop: int) -> bytes:  # noqa: ANN401 (of fsspec)
    """Return the bytes of a file from `start` to `stop`: fewer only where it ends before.

    Raises:
        OSError, SourceError: as Answer does.
    """
    answer = Answer(fs, url, start, stop)
    try:
        pieces = []
        while start < stop and (data := answer.read(stop - start)):
            pieces.append(data)
            start += len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    finally:
        answer.close()


@cache
def _pool() -> urllib3.PoolManager:
    """Return the connections of this process."""
    return urllib3.PoolManager(maxsize=AT_ONCE, timeout=_TIMEOUT, retries=_RETRIES)


def _addressed(fs: Any, url: str) -> tuple[str, dict[str, str]]:  # noqa: ANN401 (of fsspec)
    """Return the URL as it is sent, and what goes with every request: what is counted are the file's own bytes."""
    at = fs.encode_url(url)
    login = urllib3.util.make_headers(basic_auth=f"{at.user}:{at.password or ''}") if at.user else {}
    return str(at.with_user(None)), {**login, **fs.kwargs.get("headers", {}), "Accept-Encoding": "identity"}


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Put what the client raises into errors that say whether another try may help."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        raise ConnectionError(f"{url}: the connection is lost: {type(reason).__name__}: {reason}") from error
