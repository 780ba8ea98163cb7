"""Files of the Hub as loading reads them: once, forward, and on from the byte where a connection broke off.

The client's own file system lists the folder of every file it opens, and takes a connection that breaks twice for the
end of the file. So shards are read here, by the client's own requests, waits and headers; small files that are needed
again, such as the manifest, go through its cache.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from urllib.parse import urlsplit

from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, but exported lazily
    build_hf_headers,
    hf_raise_for_status,
    http_stream_backoff,
)

from hfbucket import __version__
from hfbucket.errors import SourceError
from hfbucket.io.hub.file import LOST, HubFile, Token, hub_file, not_here, passes, refused, wait_longer
from hfbucket.io.seekable import Seekable

__all__ = ["Answer", "HubFile", "HubRanges", "cached", "commit_of", "download", "hub_file", "open_hub_file"]

_COMMIT: Final = re.compile("[0-9a-f]{40}")
_HASH: Final = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_BUFFER_BYTES: Final = 256 << 10
_NO_LONGER: Final = frozenset({400, 401, 403, 404, 410})
"""How a server says that a URL was good for some time only."""


def download(file: HubFile, token: Token = None) -> Path:
    """Return a file of a dataset repository on this machine: the client's cache has it, or gets it.

    Raises:
        FileNotFoundError: the repository has no such file.
        SourceError: there is no such repository or revision, or the Hub cannot be reached and the cache has no copy.
    """
    api = HfApi(library_name="hfbucket", library_version=__version__, token=token)
    at = f"{file.repo_id}@{file.revision}" if file.revision else file.repo_id
    try:
        return _downloaded(api, file)
    except HFValidationError as error:
        raise SourceError(f"{at}: neither a folder here nor the name of a dataset on the Hub ({error})") from error
    except RemoteEntryNotFoundError as error:
        raise FileNotFoundError(f"{at} has no {file.path}") from error
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        answer = error if isinstance(error, HfHubHTTPError) else error.__cause__
        if not isinstance(answer, HfHubHTTPError):  # switched off, or out of reach
            raise SourceError(f"{at}: {not_here(file)}") from error
        raise SourceError(f"{at}: {refused(answer, token)}") from None


def _downloaded(api: HfApi, file: HubFile) -> Path:
    tries, is_damaged = 0, False
    while True:
        try:
            found = api.hf_hub_download(
                file.repo_id, file.path, repo_type="dataset", revision=file.revision, force_download=is_damaged
            )
        except LOST as error:
            if isinstance(error, HfHubHTTPError):  # an answer; the client has waited where that helps
                raise
            tries += 1
            wait_longer(tries, file, error, api.token)
            continue
        if _is_whole(Path(found)):
            return Path(found)
        if is_damaged:
            raise SourceError(f"{file}: arrived twice with other bytes than the Hub's hash of it says; try again later")
        is_damaged = True


def _is_whole(place: Path) -> bool:
    """Return whether a file of the client's cache is what its name there says; the client looks at its size alone.

    The name is its hash: sha256 of what lies in large file storage, git's of all else. Where a system has no links the
    file stands there under its own name, and nothing can be said against it.
    """
    name = place.resolve().name
    if not _HASH.fullmatch(name):
        return True
    data = place.read_bytes()
    if len(name) == 64:
        return hashlib.sha256(data).hexdigest() == name
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == name


def commit_of(file: HubFile, token: Token = None) -> str:
    """Return the commit that a file's revision (default: the main branch) stands for; brings the file into the cache.

    Raises:
        FileNotFoundError, SourceError: as `download`.
    """
    place = download(file, token)
    return place.parents[file.path.count("/")].name


def open_hub_file(
    file: HubFile, token: Token = None, *, start: int = 0, size_bytes: int | None = None, use_cache: bool = True
) -> BinaryIO:
    """Return a file opened for reading: from the client's cache if it is there, else from the Hub.

    Args:
        use_cache: without it what counts is what the Hub has; nobody looked at hashes when the cache was filled.
        start: read forward from this byte, in one response.
        size_bytes: of the file. If given, it is read at any place instead, with a request for each read.
    """
    place = cached(file) if use_cache else None
    if place is not None:
        local = open(place, "rb")  # noqa: SIM115 (the caller closes it)
        local.seek(start)
        return local
    if size_bytes is not None:
        return cast("BinaryIO", _AtAnyPlace(HubRanges(file, token), size_bytes))
    return io.BufferedReader(Answer(HubRanges(file, token), start), _BUFFER_BYTES)


def cached(file: HubFile) -> str | None:
    """Return where the client's cache has a file; only a commit says for good what is in it."""
    if file.is_bucket or not _COMMIT.fullmatch(file.revision or ""):
        return None
    found = try_to_load_from_cache(file.repo_id, file.path, revision=file.revision, repo_type="dataset")
    return found if isinstance(found, str) else None


class HubRanges:
    """A file of the Hub, read by ranges; safe to share between threads.

    Where the Hub sends on to another server for the bytes, that one is asked from then on, until it refuses: what the
    Hub says is good for some time only.
    """

    def __init__(self, file: HubFile, token: Token = None) -> None:
        self.file, self.token = file, token
        self._elsewhere: str | None = None

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes of the file from `start` to `stop`, with one request where nothing breaks.

        Raises:
            FileNotFoundError, SourceError: there is no such file, or the Hub does not give it.
        """
        data = io.BytesIO()  # not joined in the end: that would take twice the memory
        with Answer(self, start, stop) as answer:
            while piece := answer.piece():
                data.write(piece)
        return data.getvalue()

    @contextmanager
    def ask(self, headers: Mapping[str, str]) -> Iterator[Any]:
        """Yield the client's response to a request for bytes of the file; it may be a refusal."""
        elsewhere = self._elsewhere
        token = False if elsewhere else self.token  # it is for the Hub alone
        all_headers = {**build_hf_headers(token=token, library_name="hfbucket", library_version=__version__), **headers}
        url, timeout_s = elsewhere or self.file.http_url, constants.HF_HUB_DOWNLOAD_TIMEOUT
        with http_stream_backoff("GET", url, headers=all_headers, timeout=timeout_s) as response:
            if not (elsewhere and response.status_code in _NO_LONGER):
                came_from = str(response.url)
                self._elsewhere = came_from if _server(came_from) != _server(self.file.http_url) else None
                yield response
                return
        self._elsewhere = None
        with self.ask(headers) as response:
            yield response


class Answer(io.RawIOBase):
    """A file read forward from a byte to `stop` or its end; where the connection is lost, another one goes on."""

    def __init__(self, source: HubRanges, start: int = 0, stop: int | None = None) -> None:
        self._source, self._position, self._stop = source, start, stop
        self._exits = ExitStack()
        self._pieces: Iterator[bytes] | None = None
        self.ranges_to: int | None = None
        self._rest = memoryview(self._receive())  # now, so that a file which is not there is missed on opening

    def readable(self) -> bool:
        """Return True."""
        return True

    def piece(self) -> memoryview:
        """Return the next bytes as they came; none at the end, and then the connection serves the next request."""
        piece, self._rest = self._rest or memoryview(self._receive()), memoryview(b"")
        if not piece and self._pieces is not None:
            next(self._pieces, b"")
        return piece

    def read(self, size: int = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end; all that is left for -1."""
        pieces = []
        while size and (piece := self.piece()):
            if 0 <= size < len(piece):
                piece, self._rest = piece[:size], piece[size:]
            pieces.append(piece)
            size -= len(piece) if size > 0 else 0
        return b"".join(pieces)

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 (any writable buffer)
        """Return how many bytes were put into `buffer`; 0 at the end."""
        piece = self.piece()
        taken, self._rest = piece[: len(buffer)], piece[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        self._exits.close()
        super().close()

    def _receive(self) -> bytes:
        """Return the next bytes, whatever it takes; none at the end."""
        tries = 0
        while self._stop is None or self._position < self._stop:
            try:
                if self._pieces is None:
                    self._connect()
                data = next(self._pieces, b"") if self._pieces else b""
                if data or self._stop is None:
                    self._position += len(data)
                    return data
                reason: Exception = ConnectionError(f"ended at byte {self._position:,} of {self._stop:,}")
            except LOST as error:
                reason = error
            self._exits.close()
            self._pieces = None
            tries += 1
            wait_longer(tries, f"{self._source.file}, byte {self._position:,}", reason, self._source.token)
        return b""

    def _connect(self) -> None:
        headers = {"Accept-Encoding": "identity"}  # what is counted and asked for again are the file's own bytes
        is_part = self._position > 0 or self._stop is not None
        if is_part:
            headers["Range"] = f"bytes={self._position}-{'' if self._stop is None else self._stop - 1}"
        file, token = self._source.file, self._source.token
        try:
            response = self._exits.enter_context(self._source.ask(headers))
            hf_raise_for_status(response)
        except OfflineModeIsEnabled as error:
            raise SourceError(f"{file}: {not_here(file)}") from error
        except RemoteEntryNotFoundError as error:
            raise FileNotFoundError(f"{file}: no such file") from error
        except HfHubHTTPError as error:
            if passes(error):
                raise
            raise SourceError(f"{file}: {refused(error, token)}") from None
        if is_part and response.status_code != 206:
            raise SourceError(f"{file}: asked for from byte {self._position:,} on, it came from its start")
        if self._stop is None:
            self._stop = _end(response.headers, self._position)
            self.ranges_to = self._stop if response.headers.get("Accept-Ranges") == "bytes" else None
        is_packed = "Content-Encoding" in response.headers
        self._pieces = response.iter_bytes() if is_packed else response.iter_raw()


def _end(headers: Any, position: int) -> int | None:  # noqa: ANN401 (of the client's HTTP library)
    """Return the offset where a response's body ends in the file; None where the response does not tell."""
    length = headers.get("Content-Length")
    return None if length is None or "Content-Encoding" in headers else position + int(length)


def _server(url: str) -> str:
    return urlsplit(url).netloc


class _AtAnyPlace(Seekable):
    """A file of known size read at any place, with a request for each read."""

    def __init__(self, file: HubRanges, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._file = file

    def pread(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on."""
        return self._file.read(offset, offset + size)
