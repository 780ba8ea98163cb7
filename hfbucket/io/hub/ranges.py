"""Bytes of files of the Hub: once, forward or by ranges, and on from the byte where a connection broke off.

The client's own file system lists the folder of every file it opens, and takes a connection that breaks twice for the
end of the file. So files are read here, by the client's own requests, waits and headers; and what it says lies on
another server, as all that is large does, from there without the client, as long as that goes by itself.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cached_property
from threading import Lock
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RemoteEntryNotFoundError
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, but exported lazily
    build_hf_headers,
    hf_raise_for_status,
    http_stream_backoff,
)

from hfbucket import __version__
from hfbucket.errors import SourceError
from hfbucket.io import waits
from hfbucket.io.hub import straight
from hfbucket.io.hub.file import LOST, TRYING, HubFile, Token, hub_host, not_here, passes, refused, wait_longer

_PIECE_BYTES: Final = 256 << 10
_MOST_BYTES: Final = 1 << 20
"""At once, where nobody knows how many are left."""

_NO_LONGER: Final = frozenset({400, 401, 403, 404, 410})
"""How a server says that a URL was good for some time only."""

_RANGE: Final = re.compile(r"bytes (\d+)-")


class Given(NamedTuple):
    """An answer that gives bytes of a file."""

    status: int
    headers: Mapping[str, str]
    #: Returns about so many of its next bytes, none at the end.
    read: Callable[[int], bytes]

    def is_as_asked(self, start: int, *, is_part: bool) -> bool:
        """Return whether it is the file's own bytes from `start` on."""
        is_right = self.status == (206 if is_part else 200) and self.begins_at(start) == start
        return is_right and "Content-Encoding" not in self.headers

    def begins_at(self, asked: int) -> int:
        """Return the byte of the file that it begins at: the one asked for, where it is a part and does not say."""
        if self.status != 206:
            return 0
        said = _RANGE.match(self.headers.get("Content-Range", ""))
        return int(said[1]) if said else asked


class HubRanges:
    """A file of the Hub, read by ranges; safe to share between threads.

    Where the Hub sends on to another server for the bytes, that one is asked from then on, until it refuses: what the
    Hub says is good for some time only.
    """

    def __init__(self, file: HubFile, token: Token = None) -> None:
        self.file, self.token = file, token
        self._asking = Lock()  # where it is: one thread does, for all
        self._elsewhere: str | None = None
        self._is_here = self._was_in_vain = False
        self._host = hub_host()

    def host(self) -> str:
        """Return the host that was asked last, with its port; of a client that follows the Hub, where that sends to."""
        return self._host

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes of the file from `start` to `stop`, with one request where nothing breaks.

        Raises:
            FileNotFoundError, SourceError: there is no such file, or the Hub does not give it.
        """
        with Answer(self, start, stop) as answer:
            return answer.read()

    @contextmanager
    def ask(self, start: int, stop: int | None) -> Iterator[Given]:
        """Yield an answer to a request for the file from a byte on, to `stop` or the end.

        Raises:
            HfHubHTTPError, OfflineModeIsEnabled: as the client tells refusals.
        """
        headers = {"Accept-Encoding": "identity"}  # what is counted and asked for again are the file's own bytes
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with ExitStack() as stack:
            yield self._straight(stack, headers, start) or self._followed(stack, headers)

    @cached_property
    def _is_open(self) -> bool:
        return straight.is_open()

    def _straight(self, stack: ExitStack, headers: dict[str, str], start: int) -> Given | None:
        """Return what the server gives that the Hub sends to, or the Hub itself; None where the client has to ask."""
        if self._was_in_vain or not self._is_open:
            return None
        elsewhere = self._elsewhere
        is_new = elsewhere is None
        found = elsewhere or self._told(stack, headers)
        if not isinstance(found, str):
            return found
        self._host = waits.host_of(found)
        answer = straight.ask(found, headers)
        if answer is not None:
            stack.callback(answer.close)
            given = Given(answer.status, answer.headers, straight.reader(answer, str(self.file)))
            if given.is_as_asked(start, is_part="Range" in headers):
                return given
            if given.status not in _NO_LONGER:
                return None
        if self._elsewhere == found:
            self._elsewhere = None
        self._was_in_vain = is_new
        return self._straight(stack, headers, start)

    def _told(self, stack: ExitStack, headers: dict[str, str]) -> str | Given | None:
        """Return where the Hub sends to, or what it gives itself; None where the client has to follow it."""
        with nullcontext() if self._is_here else self._asking:
            if self._elsewhere is not None:  # another thread has been told
                return self._elsewhere
            self._host = hub_host()
            response = self._asked(stack, headers, None, follow_redirects=False)
            if response.next_request is None:
                self._is_here = True
                return _given(response)
            response.read()  # so that its connection serves the next request
            return self._remember(response.next_request)

    def _followed(self, stack: ExitStack, headers: dict[str, str]) -> Given:
        """Return what the client gets, wherever it has to go for that."""
        elsewhere = self._elsewhere
        response = self._asked(stack, headers, elsewhere)
        if elsewhere and response.status_code in _NO_LONGER:
            response = self._asked(stack, headers, None)
        self._remember(response)
        return _given(response)

    def _asked(self, stack: ExitStack, headers: dict[str, str], at: str | None, **options: Any) -> Any:  # noqa: ANN401
        """Return the client's response to a request for bytes at another server's address or, for None, at the Hub."""
        token = False if at else self.token  # it is for the Hub alone
        all_headers = {**build_hf_headers(token=token, library_name="hfbucket", library_version=__version__), **headers}
        url, timeout_s = at or self.file.http_url, constants.HF_HUB_DOWNLOAD_TIMEOUT
        asking = http_stream_backoff("GET", url, headers=all_headers, timeout=timeout_s, **options)
        response = asking.__enter__()
        stack.callback(asking.__exit__, None, None, None)  # no error after this is its own: it would ask again
        return response

    def _remember(self, came_from: Any) -> str | None:  # noqa: ANN401 (the client's request or response)
        """Keep the address of another server than the Hub, and return it."""
        url = str(came_from.url)
        self._elsewhere = url if _server(url) != _server(self.file.http_url) else None
        return self._elsewhere


class Answer(io.RawIOBase):
    """A file read forward from a byte to `stop` or its end; where the connection is lost, another one goes on."""

    def __init__(self, source: HubRanges, start: int = 0, stop: int | None = None) -> None:
        self._source, self._position, self._stop = source, start, stop
        self._exits = ExitStack()
        self._next: Callable[[int], bytes] | None = None
        self.ranges_to: int | None = None
        # Now, so that a file which is not there is missed on opening.
        self._rest: bytes | memoryview = self._receive(0 if stop is None else stop - start)

    def readable(self) -> bool:
        """Return True."""
        return True

    def piece(self, size: int) -> bytes | memoryview:
        """Return up to `size` next bytes as they came; none at the end, and then the connection is free."""
        piece = self._rest or self._receive(size)
        self._rest = b""
        if len(piece) > size:
            view = memoryview(piece)
            piece, self._rest = view[:size], view[size:]
        elif not piece and self._next is not None:
            self._next(1)
        return piece

    def read(self, size: int = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end; all that is left for -1."""
        pieces, wanted = [], sys.maxsize if size < 0 else size
        while wanted and (piece := self.piece(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 (any writable buffer)
        """Return how many bytes were put into `buffer`; 0 at the end."""
        piece = self.piece(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        self._exits.close()
        super().close()

    def _receive(self, size: int) -> bytes:
        """Return the next bytes, about `size` or the usual number, whatever it takes; none at the end."""
        tries = 0
        while self._stop is None or self._position < self._stop:
            try:
                with waits.watched(self._source.host, TRYING, size_bytes=self._at_once(size)):
                    if self._next is None:
                        self._connect()
                    data = self._next(self._at_once(size)) if self._next else b""
                if data or self._stop is None:
                    self._position += len(data)
                    return data
                reason: Exception = ConnectionError(f"ended at byte {self._position:,} of {self._stop:,}")
            except (LOST, ConnectionError) as error:
                reason = error
            self._exits.close()
            self._next = None
            tries += 1
            where = f"{self._source.file}, byte {self._position:,}"
            wait_longer(tries, where, reason, self._source.token, self._source.host())
        return b""

    def _at_once(self, size: int) -> int:
        return min(max(size, _PIECE_BYTES), _MOST_BYTES if self._stop is None else self._stop - self._position)

    def _connect(self) -> None:
        file, token = self._source.file, self._source.token
        start, stop = self._position, self._stop
        try:
            given = self._exits.enter_context(self._source.ask(start, stop))
        except OfflineModeIsEnabled as error:
            raise SourceError(f"{file}: {not_here(file)}") from error
        except RemoteEntryNotFoundError as error:
            raise FileNotFoundError(f"{file}: no such file") from error
        except HfHubHTTPError as error:
            if passes(error):
                raise
            raise SourceError(f"{file}: {refused(error, token)}") from None
        if (start or stop is not None) and given.status != 206:
            raise SourceError(f"{file}: asked for from byte {start:,} on, it came from its start")
        if given.begins_at(start) != start:
            raise SourceError(
                f"{file}: asked for from byte {start:,} on, it came from byte {given.begins_at(start):,} on"
            )
        if stop is None:
            self._stop = _end(given.headers, start)
            self.ranges_to = self._stop if given.headers.get("Accept-Ranges") == "bytes" else None
        self._next = given.read


def _given(response: Any) -> Given:  # noqa: ANN401 (the client's)
    """Return what the client's response gives.

    Raises:
        HfHubHTTPError: it is a refusal.
    """
    hf_raise_for_status(response)
    pieces = response.iter_bytes() if "Content-Encoding" in response.headers else response.iter_raw()
    return Given(response.status_code, response.headers, lambda _: next(pieces, b""))


def _end(headers: Mapping[str, str], position: int) -> int | None:
    """Return the offset where a response's body ends in the file; None where the response does not tell."""
    length = headers.get("Content-Length")
    return None if length is None or "Content-Encoding" in headers else position + int(length)


def _server(url: str) -> str:
    return urlsplit(url).netloc
