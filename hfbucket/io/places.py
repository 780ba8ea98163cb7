"""Places: a file or a folder that a build writes, on this machine or at any fsspec URL.

A place is a `Path` or a `Remote`, which has as much of a path's methods as a build needs. What both do in their own
ways is a function here.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from hfbucket.io import atomic, patterns
from hfbucket.io.ahead import ahead
from hfbucket.io.random_file import RandomFile
from hfbucket.io.remote import Remote
from hfbucket.io.urls import absolute, is_local, local_path

__all__ = [
    "Place", "Remote", "below", "free_bytes", "in_order", "made_here", "matching", "open_random", "place_of", "present",
    "remove_temporaries", "remove_tree", "scratch", "size_bytes", "sizes", "write_bytes",
]  # fmt: skip

T = TypeVar("T")
R = TypeVar("R")

Place = Path | Remote
"""Where a build writes a file or a folder."""

_SIGN_EVERY_S: Final = 5.0

_AT_ONCE: Final = 16
"""Requests to a store at the same time: their time is waiting."""


def place_of(url: str | os.PathLike[str]) -> Place:
    """Return the place of a url."""
    text = os.fspath(url)
    return Path(local_path(text)) if is_local(text) else Remote(absolute(text))


def write_bytes(place: Place, data: bytes) -> None:
    """Write a whole file at once: afterwards it holds `data`, or what it held before."""
    if isinstance(place, Path):
        atomic.write_bytes(place, data)
    else:
        place.put(data)


@contextmanager
def made_here(place: Place, *, sign: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield the path of this machine at which to make a file that is to stand at `place`.

    That is the place itself; for one elsewhere it is a file aside, which is brought there, whole, when the block ends
    well. A file that was not made is not brought.

    Args:
        sign: called every few seconds while it is brought, which may take long and ends by the client's own limits.

    Raises:
        OSError: the store cannot be reached, or refuses.
    """
    if isinstance(place, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
        yield place
        return
    with scratch() as folder:
        here = folder / place.name
        yield here
        if here.exists():
            with ThreadPoolExecutor(1) as thread:
                put = thread.submit(place.put, here)
                while not wait([put], timeout=_SIGN_EVERY_S).done:
                    sign()
                put.result()


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a new folder of this machine; those that killed processes left are deleted."""
    names = f"hfbucket-{socket.gethostname()}-"
    if os.name == "posix":
        for left in Path(tempfile.gettempdir()).glob(f"{names}*"):
            process_id = left.name.removeprefix(names).partition("-")[0]
            if process_id.isdigit() and not _runs(int(process_id)):
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{names}{os.getpid()}-") as folder:
        yield Path(folder)


def _runs(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def open_random(place: Place) -> RandomFile:
    """Return a file opened for reading at any place."""
    return RandomFile(str(place)) if isinstance(place, Path) else place.open_random()


def size_bytes(place: Place) -> int:
    """Return the size of a file.

    Raises:
        OSError: there is none.
    """
    return place.stat().st_size if isinstance(place, Path) else place.size_bytes()


def free_bytes(place: Place) -> int | None:
    """Return how much room there is at a folder; None where nothing tells."""
    return shutil.disk_usage(place).free if isinstance(place, Path) else None


def matching(folder: Place, pattern: str) -> list[Place]:
    """Return what matches a pattern below a folder, sorted."""
    return list(patterns.matching(folder, pattern) if isinstance(folder, Path) else folder.glob(pattern))


def below(place: Place, folder: Place) -> str:
    """Return the path of a place below a folder, with `/`."""
    return str(place)[len(str(folder)) + 1 :].replace(os.sep, "/")


def present(folder: Place) -> Callable[[str], bool]:
    """Return what tells whether a file of some name is in a folder; of one elsewhere, what was there at this moment."""
    if isinstance(folder, Path):
        here = folder
        return lambda name: (here / name).exists()
    return frozenset(folder.sizes()).__contains__


def sizes(folder: Place) -> Callable[[str], int]:
    """Return what gives the size in bytes of the file of some name in a folder, 0 where there is none; as `present`."""
    if isinstance(folder, Path):
        here = folder
        return lambda name: (here / name).stat().st_size if (here / name).exists() else 0
    found = folder.sizes()
    return lambda name: found.get(name, 0)


def remove_tree(place: Place) -> None:
    """Delete a folder with all that is in it, where there is one."""
    if isinstance(place, Remote):
        place.remove_tree()
    elif place.exists():
        shutil.rmtree(place)


def remove_temporaries(*folders: Place) -> None:
    """Delete what killed processes left half-written in these folders; elsewhere, also below them."""
    for folder in folders:
        if isinstance(folder, Path):
            atomic.remove_temporaries(folder)
        else:
            folder.remove_temporaries()


def in_order(function: Callable[[T], R], items: Iterable[T], *, at: Place, at_once: int = _AT_ONCE) -> Iterator[R]:
    """Yield what a function gives for every item, in order; for places elsewhere some are worked on ahead."""
    if isinstance(at, Path):
        return map(function, items)
    return ahead(((partial(function, item), 0) for item in items), at_once=at_once)
