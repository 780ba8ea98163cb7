"""What a store does not give at once, asked for again: the one place that knows what passes, and how long to wait.

What is waited for is told, as `io.waits` says.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from itertools import count
from typing import Final, TypeVar

from hfbucket.errors import HfBucketError, SourceError
from hfbucket.io import waits

T = TypeVar("T")

TRIES: Final = 6
WAIT_S: Final = 1.0
"""Before the second try; twice as long before every further one."""

_FIRST_TRIES: Final = 2
"""Where no server is found when one is asked for the first time: its address is wrong, most likely."""

_TOLD_FROM: Final = 3
"""The try from which on it is told that they fail: seconds after the first. Stores' own clients try more often."""

NO_USE: Final = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""What no second try changes."""


def patiently(
    action: Callable[[], T],
    url: str,
    *,
    has_client: bool = False,
    is_first: bool = False,
    after_s: float | None = None,
    size_bytes: int = 0,
) -> T:
    """Return what an action gives, done again after a while where a store could not be reached.

    Args:
        url, has_client: as `wait_longer` takes them.
        after_s, size_bytes: of a store with a client, as `waits.watched` takes them; others watch themselves.
        is_first: nothing was done yet, and nothing is lost if it is told soon that no server is there, which a store's
            client may say in its own way; such a client asks once, see `urls.filesystem`.

    Raises:
        OSError, SourceError: as `wait_longer` does.
    """
    for tries in count(1):
        try:
            if not has_client:
                return action()
            with waits.watched(lambda: waits.host_of(url), trying(), size_bytes=size_bytes, after_s=after_s):
                return action()
        except OSError as error:
            if is_first and isinstance(error, ConnectionRefusedError) and tries >= _FIRST_TRIES:
                raise
            wait_longer(error, tries, url, has_client=has_client)
        except Exception as error:  # the one guard around other people's clients
            if not has_client or isinstance(error, HfBucketError) or type(error).__module__ == "builtins":
                raise  # a fault of a program, not of a store
            gives_up = is_first and tries >= _FIRST_TRIES and "Timeout" not in type(error).__name__
            wait_longer(error, TRIES if gives_up else tries, url, has_client=True)
    raise AssertionError("tries do not end by themselves")


def wait_longer(error: Exception, tries: int, url: str, *, has_client: bool = False) -> None:
    """Wait longer with every try in a row that failed.

    Args:
        tries: so many, the last one with this error.
        url: that was asked for.
        has_client: by a store's own client: such have errors of their own, and in the end they are told as an OSError
            that names the url.

    Raises:
        OSError: they are too many, or no further one would help.
        SourceError: this machine has no keys for the store.
    """
    if has_client and "Credential" in type(error).__name__:  # clients of S3, Google's and Microsoft's stores
        raise SourceError(
            f"{url}: {str(error) or type(error).__name__}: this machine, {socket.gethostname()}, has no keys for it; "
            "every machine that runs tasks needs them in its environment, or where the store's package looks for them"
        ) from error
    if isinstance(error, NO_USE) or (tries >= TRIES and not has_client):
        raise error
    words = str(error) or type(error).__name__
    if tries >= TRIES:
        raise OSError(f"{url}: {words}") from error
    if tries >= _TOLD_FROM - has_client:
        waits.trouble(waits.host_of(url), words.removeprefix(f"{url}: "), trying())
    time.sleep(WAIT_S * 2 ** (tries - 1))


def trying() -> str:
    """Return in words how long is waited."""
    return waits.tries(TRIES, sum(WAIT_S * 2.0**number for number in range(TRIES - 1)))
