"""One file read from some byte to its end, from a disk, the Hub or any fsspec store; lost connections are taken up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, BinaryIO, Final, cast

from hfbucket.io.urls import filesystem, is_local, local_path

__all__ = ["remote_errors", "stream"]

_BLOCK_BYTES: Final = 1 << 17
"""The most that is read twice after a lost connection: the client drops a block that it has not whole."""
_AHEAD_BYTES: Final = 16 << 20
"""What stores that only answer ranges are asked for at once."""

_TRIES: Final = 6
_WAIT_S: Final = 1.0
_NO_USE: Final = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""What no second try changes."""


def stream(
    url: str, start: int = 0, *, size_bytes: int | None = None, token: str | bool | None = None
) -> Iterator[bytes]:
    """Yield the bytes of a file from `start` on, in one sequential read.

    A connection that is lost is taken up at the byte it broke off; the Hub's client waits out 429 and 5xx by itself.

    Args:
        size_bytes: of the whole file where known: one that ends before counts as broken off, too.

    Raises:
        OSError: there is no such file, or the store cannot be reached; connections that stay lost are one as well.
    """
    position, failures = start, 0
    while True:
        try:
            with remote_errors(url), closing(_open(url, position, token)) as file:
                while block := file.read(_BLOCK_BYTES):
                    position, failures = position + len(block), 0
                    yield block
            if size_bytes is None or position >= size_bytes:
                return
            raise ConnectionError(f"{url}: ended at byte {position:,} of {size_bytes:,}")
        except _NO_USE:
            raise
        except OSError as error:
            failures += 1
            if is_local(url) or failures >= _TRIES or _answered(error):
                raise
        time.sleep(_WAIT_S * 2 ** (failures - 1))


@contextmanager
def remote_errors(url: str) -> Iterator[None]:
    """Turn what the Hub's client raises into an OSError, as every other store does; no file is FileNotFoundError."""
    if not url.startswith("hf://"):
        yield
        return
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    # The root of what the client's HTTP library raises; which library that is depends on the client's version.
    lost: type[Exception] = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    try:
        yield
    except EntryNotFoundError as error:
        raise FileNotFoundError(f"{url}: no such file") from error
    except lost as error:
        if isinstance(error, OSError):
            raise
        raise ConnectionError(f"{url}: {error}") from error


def _answered(error: OSError) -> bool:
    """Return whether the Hub answered and its client has waited already, or the answer is no for good."""
    return getattr(error, "response", None) is not None


def _open(url: str, start: int, token: str | bool | None) -> BinaryIO:
    if is_local(url):
        file = open(local_path(url), "rb")  # noqa: SIM115 (the caller closes it)
        file.seek(start)
        return file
    fs, path = filesystem(url, token=token)
    if url.startswith("hf://"):
        whole: Any = fs.open(path, "rb", block_size=0)  # one answer from `loc` on; it cannot seek
        whole.loc = start
        return cast("BinaryIO", whole)
    ahead = fs.open(path, "rb", block_size=_AHEAD_BYTES)
    if start:
        ahead.seek(start)
    return cast("BinaryIO", ahead)
