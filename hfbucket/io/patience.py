"""What a store does not give at once, asked for again: the one place that knows what passes, and how long to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Final, TypeVar

from hfbucket.errors import HfBucketError

T = TypeVar("T")

TRIES: Final = 6
WAIT_S: Final = 1.0
"""Before the second try; twice as long before every further one."""

_FIRST_TRIES: Final = 2
"""Where no server is found when one is asked for the first time: its address is wrong, most likely."""

NO_USE: Final = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""What no second try changes."""


def patiently(action: Callable[[], T], *, client_of: str | None = None, is_first: bool = False) -> T:
    """Return what an action gives, done again after a while where a store could not be reached.

    Args:
        client_of: as `wait_longer` takes it.
        is_first: nothing was done yet, and nothing is lost if it is told soon that no server is there, which a store's
            client may say in its own way.

    Raises:
        OSError: as `wait_longer` does.
    """
    for tries in count(1):
        try:
            return action()
        except OSError as error:
            if is_first and isinstance(error, ConnectionRefusedError) and tries >= _FIRST_TRIES:
                raise
            wait_longer(error, tries, client_of=client_of)
        except Exception as error:  # the one guard around other people's clients
            if client_of is None or isinstance(error, HfBucketError) or type(error).__module__ == "builtins":
                raise  # a fault of a program, not of a store
            wait_longer(error, TRIES if is_first and tries >= _FIRST_TRIES else tries, client_of=client_of)
    raise AssertionError("tries do not end by themselves")


def wait_longer(error: Exception, tries: int, *, client_of: str | None = None) -> None:
    """Wait longer with every try in a row that failed.

    Args:
        tries: so many, the last one with this error.
        client_of: the url that a store's own client was asked for: such have errors of their own, and in the end they
            are told as an OSError that names it.

    Raises:
        OSError: they are too many, or no further one would help.
    """
    if isinstance(error, NO_USE) or (tries >= TRIES and client_of is None):
        raise error
    if tries >= TRIES:
        raise OSError(f"{client_of}: {str(error) or type(error).__name__}") from error
    time.sleep(WAIT_S * 2 ** (tries - 1))
