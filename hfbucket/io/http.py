"""Files at http(s) URLs, with the settings that fsspec has for them: ranges and whole answers, with errors that tell.

fsspec's client hands every piece from one thread to another, which costs more than the network of one machine does. So
bytes come by urllib3, unless fsspec was told more than headers: then its own client reads as from any store.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final, NoReturn

import urllib3
from fsspec.implementations.http import HTTPFileSystem, get_client

from hfbucket.errors import SourceError, changed
from hfbucket.io import waits
from hfbucket.io.connections import connections, telling
from hfbucket.io.patience import trying

_TOLD: Final = ("ETag", "Content-MD5", "Digest", "Last-Modified")
"""Headers that change with a file's bytes, the best first."""

_DROPPED_BYTES: Final = 256 << 10
"""At once, of what nobody asked for."""

_RANGE: Final = re.compile(r"bytes (?P<start>\d+)-\d+/(?P<size>\d+)?")


def is_plain(fs: Any) -> bool:  # noqa: ANN401 (of fsspec)
    """Return whether a file system is fsspec's for the web, with no settings but headers."""
    is_usual = type(fs) is HTTPFileSystem and fs.get_client is get_client and not fs.client_kwargs
    return is_usual and fs.kwargs.keys() <= {"headers"}


class Answer:
    """The answer to one request for a file from some byte on, read as it comes.

    Args:
        fs: for which `is_plain` holds.
        stop: the last byte that is asked for, and one; None for all.
        version: what a listing said of the file: its size, then `;NAME=VALUE` of headers; None for any.
        is_small: of a server that gives no parts of files all before `start` is read as well, and dropped.

    Raises:
        OSError: it is not there, may not be read, or the connection is lost; now, or when it is read.
        SourceError: the server does not give it from that byte on, or it is not that version any more.
    """

    def __init__(
        self,
        fs: Any,  # noqa: ANN401 (of fsspec)
        url: str,
        start: int = 0,
        stop: int | None = None,
        *,
        version: str | None = None,
        is_small: bool = False,
    ) -> None:
        self._url = url
        at, headers = _addressed(fs, url)
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with _watched(url, goes_on=False), telling(url):  # it may still refuse, or break off
            self._response = connections().request("GET", at, headers=headers, preload_content=False)
        self._is_empty = self._response.status == 416  # there are not so many bytes
        told = self._response.headers
        if not self._is_empty:
            self._check(start, is_small)
            self._check_version(told, version)
        length = told.get("Content-Length") if told.get("Accept-Ranges") == "bytes" else None
        self.ranges_to = None if length is None or self._is_empty else start + int(length)
        """Where the file ends, if the server says that, and that it gives parts of the file."""

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer where it ends or breaks off, none at its end."""
        if self._is_empty:
            return b""
        with _watched(self._url, size), telling(self._url):
            return self._response.read(size, decode_content=False)

    def close(self) -> None:
        """Let go of the connection; it is kept for the next request where all was read."""
        self._response.close()

    def _check(self, start: int, is_small: bool) -> None:
        status = self._response.status
        if status == 206:
            given = _RANGE.match(self._response.headers.get("Content-Range", ""))
            if given and int(given["start"]) != start:
                self.close()
                raise SourceError(
                    f"{self._url}: asked for from byte {start:,} on, it came from byte {int(given['start']):,} on"
                )
            return
        if status == 200 and (is_small or not start):
            while start and (data := self.read(min(start, _DROPPED_BYTES))):
                start -= len(data)
            return
        self.close()
        if status == 200:
            raise SourceError(f"{self._url}: its server gives no parts of files: download it first")
        _refuse(self._url, self._response)

    def _check_version(self, told: Any, version: str | None) -> None:  # noqa: ANN401 (of urllib3)
        for name in _TOLD:
            if name in told and f";{name}=" in (version or ""):
                if f";{name}={told[name]}" not in (version or ""):
                    self.close()
                    raise changed(self._url)
                return


def facts(fs: Any, url: str) -> dict[str, Any]:  # noqa: ANN401 (of fsspec)
    """Return what the server says of a file, as fsspec's `info` does: size, None where it does not say it, and so on.

    Args:
        fs: for which `is_plain` holds.

    Raises:
        OSError: there is no such file, it may not be read, or the server cannot be reached.
        SourceError: the server refuses in other ways.
    """
    with _watched(url):
        response = _asked_about(fs, url, "HEAD")
        if not _passes(response.status) and (response.status != 200 or "Content-Length" not in response.headers):
            response = _asked_about(fs, url, "GET")  # some give what they do not like to be asked about
        if response.status != 200:
            _refuse(url, response)
    told = response.headers
    length = told.get("Content-Length") if told.get("Content-Encoding", "identity") == "identity" else None
    return {
        "name": url, "type": "file", "size": None if length is None else int(length),
        "mimetype": told.get("Content-Type", "").partition(";")[0],
        **{name: told[name] for name in _TOLD if name in told},
    }  # fmt: skip


def _asked_about(fs: Any, url: str, method: str) -> Any:  # noqa: ANN401 (of fsspec, of urllib3)
    """Return the server's response, whose body is not read."""
    at, headers = _addressed(fs, url)
    with telling(url):
        response = connections().request(method, at, headers=headers, preload_content=False)
    response.drain_conn() if method == "HEAD" else response.close()
    return response


def _watched(url: str, size_bytes: int = 0, *, goes_on: bool = True) -> AbstractContextManager[None]:
    """Let it be told when an answer, or that many more bytes of it, does not come."""
    return waits.watched(partial(waits.host_of, url), trying(), size_bytes=size_bytes, goes_on=goes_on)


def _refuse(url: str, response: Any) -> NoReturn:  # noqa: ANN401 (of urllib3)
    words = f"{url}: the server answers {response.status} {response.reason}"
    if response.status in (404, 410):
        raise FileNotFoundError(f"{url}: no such file")
    if response.status in (401, 403):
        raise PermissionError(words)
    if _passes(response.status):
        raise ConnectionError(words)
    raise SourceError(words)


def _passes(status: int) -> bool:
    """Return whether another try may help."""
    return status == 429 or (status >= 500 and status != 501)


def read_range(
    fs: Any,  # noqa: ANN401 (of fsspec)
    url: str,
    start: int,
    stop: int,
    *,
    version: str | None = None,
    is_small: bool = False,
) -> bytes:
    """Return the bytes of a file from `start` to `stop`: fewer only where it ends before.

    Args:
        version, is_small: as Answer takes them.

    Raises:
        OSError, SourceError: as Answer does.
    """
    answer = Answer(fs, url, start, stop, version=version, is_small=is_small)
    try:
        pieces = []
        while start < stop and (data := answer.read(stop - start)):
            pieces.append(data)
            start += len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    finally:
        answer.close()


def _addressed(fs: Any, url: str) -> tuple[str, dict[str, str]]:  # noqa: ANN401 (of fsspec)
    """Return the URL as it is sent, and what goes with every request: what is counted are the file's own bytes."""
    at = fs.encode_url(url)
    login = urllib3.util.make_headers(basic_auth=f"{at.user}:{at.password or ''}") if at.user else {}
    return str(at.with_user(None)), {**login, **fs.kwargs.get("headers", {}), "Accept-Encoding": "identity"}
