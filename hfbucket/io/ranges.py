"""A file of another machine, by ranges: from the Hub, over http(s) or out of any fsspec store."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from hfbucket.errors import SourceError
from hfbucket.io.patience import patiently
from hfbucket.io.urls import asked, filesystem, is_http


class RemoteFile:
    """A file read by ranges; safe to share between threads. All files of a process share the client's connections.

    Args:
        size_bytes: where known; else it is asked for.
        version: what a listing said of it: of a file on the web, ranges of another one are refused.
        is_small: it is read even from a web server that gives no parts of files: from its start, each time.

    Raises:
        OSError: there is no such file, or the store cannot be reached.
        SourceError: its server does not tell how long it is.
    """

    def __init__(
        self,
        url: str,
        *,
        size_bytes: int | None = None,
        token: str | bool | None = None,
        version: str | None = None,
        is_small: bool = False,
    ) -> None:
        self.url, self._token, self._version, self._is_small = url, token, version, is_small
        self._has_client = False
        self._fetch = self._fetcher()
        self.size_bytes = self._asked_size() if size_bytes is None else size_bytes

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`: fewer only where the file ends before.

        Raises:
            OSError: it is gone, or cannot be reached, however often that is tried.
            SourceError: the Hub does not give it, or the server gives no ranges.
        """
        data = patiently(
            lambda: self._fetch(start, stop), self.url, has_client=self._has_client, size_bytes=stop - start
        )
        if len(data) > stop - start:
            raise SourceError(f"{self.url}: its server gives no parts of files: download it first")
        return data

    def _asked_size(self) -> int:
        fs, path = filesystem(self.url, token=self._token)
        size = patiently(lambda: asked(fs, path)["size"], self.url, has_client=self._has_client)
        if size is None:
            raise SourceError(f"{self.url}: its server does not say how long it is: download it first")
        return int(size)

    def _fetcher(self) -> Callable[[int, int], bytes]:
        """Return what fetches a range once."""
        if self.url.startswith("hf://"):
            from hfbucket.io.hub import file as hub_file
            from hfbucket.io.hub import ranges as hub_ranges

            file = hub_file.hub_file(self.url)
            if file is not None:
                return hub_ranges.HubRanges(file, self._token).read
        if is_http(self.url):
            from hfbucket.io import http

            fs, path = filesystem(self.url)
            if http.is_plain(fs):
                return partial(http.read_range, fs, path, version=self._version, is_small=self._is_small)
        self._has_client = True
        return self._by_client

    def _by_client(self, start: int, stop: int) -> bytes:
        fs, path = filesystem(self.url, token=self._token)  # the thread's own: not every client can be shared
        return cast("bytes", fs.cat_file(path, start=start, end=stop))
