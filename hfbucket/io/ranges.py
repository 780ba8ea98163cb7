"""A file of another machine, by ranges: from the Hub, over http(s) or out of any fsspec store."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar, cast

from hfbucket.errors import SourceError
from hfbucket.io.urls import filesystem, is_http

R = TypeVar("R")

TRIES: Final = 6
WAIT_S: Final = 1.0
NO_USE: Final = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""What no second try changes."""


class RemoteFile:
    """A file read by ranges; safe to share between threads. All files of a process share the client's connections.

    Args:
        size_bytes: where known; else it is asked for.

    Raises:
        OSError: there is no such file, or the store cannot be reached.
        SourceError: its server does not tell how long it is.
    """

    def __init__(self, url: str, *, size_bytes: int | None = None, token: str | bool | None = None) -> None:
        self.url = url
        self._fs, self._path = filesystem(url, token=token)
        self._fetch = self._fetcher(token)
        self.size_bytes = self._asked_size() if size_bytes is None else size_bytes

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`: fewer only where the file ends before.

        Raises:
            OSError: it is gone, or cannot be reached, however often that is tried.
            SourceError: the Hub does not give it, or the server gives no ranges.
        """
        return patiently(lambda: self._fetch(start, stop))

    def _asked_size(self) -> int:
        size = patiently(lambda: self._fs.info(self._path)["size"])
        if size is None:
            raise SourceError(f"{self.url}: its server does not say how long it is: download it first")
        return int(size)

    def _fetcher(self, token: str | bool | None) -> Callable[[int, int], bytes]:
        """Return what fetches a range once."""
        if self.url.startswith("hf://"):
            from hfbucket.io.hub import read as hub_read

            file = hub_read.hub_file(self.url)
            if file is not None:
                return lambda start, stop: hub_read.read_range(file, start, stop, token)
        if is_http(self.url):
            from hfbucket.io import http

            return lambda start, stop: http.read_range(self._fs, self._path, start, stop, self.size_bytes)
        return lambda start, stop: cast("bytes", self._fs.cat_file(self._path, start=start, end=stop))


def patiently(function: Callable[[], R]) -> R:
    """Return what a function returns, called again after a while where a store could not be reached.

    Raises:
        OSError: what it raised in the end.
    """
    for tries in range(1, TRIES):
        try:
            return function()
        except NO_USE:
            raise
        except OSError:
            time.sleep(WAIT_S * 2 ** (tries - 1))
    return function()
