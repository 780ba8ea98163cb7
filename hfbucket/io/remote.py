"""Files and folders at an fsspec URL, for a build that writes there: whole or not at all, and asked for patiently.

Object stores show an upload when it is complete. Elsewhere a file is sent under a hidden name and then moved.
"""

from __future__ import annotations

import errno
import os
import posixpath
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final, TypeVar, cast

from hfbucket.io import waits
from hfbucket.io.atomic import TEMPORARY, TEMPORARY_NAME
from hfbucket.io.patience import NO_USE, patiently
from hfbucket.io.random_file import RandomFile, Window
from hfbucket.io.urls import filesystem

T = TypeVar("T")

_NUMBERS: Final = {
    FileNotFoundError: errno.ENOENT,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
    PermissionError: errno.EACCES,
}

_OBJECT_STORES: Final = frozenset(
    {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "tos", "obs", "r2"}
)
"""Protocols of stores that know no folders, and show a file when all of it is there."""


@dataclass(frozen=True, order=True, slots=True)
class Remote:
    """A file or a folder at an fsspec URL: what a build asks of a `pathlib.Path`, asked of a store.

    It is nothing but its url, so it can be sent anywhere: whoever uses it takes keys from its own environment. Nothing
    is remembered, for others write there.

    Raises:
        OSError: by every method that asks: the store cannot be reached, or refuses.
        SourceError: by these, too: the protocol is unknown, its package is not installed, or there are no keys for it
            on this machine.
    """

    #: Without a slash at its end.
    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, below: str) -> Remote:
        return Remote(f"{self.url}/{below}")

    @property
    def name(self) -> str:
        """The last part of the url."""
        return posixpath.basename(self.url)

    @property
    def parent(self) -> Remote:
        """The folder it is in."""
        return Remote(posixpath.dirname(self.url))

    @property
    def protocol(self) -> str:
        """What stands before `://`."""
        return self.url.partition("://")[0]

    @property
    def _is_object(self) -> bool:
        return self.protocol in _OBJECT_STORES

    def is_relative_to(self, folder: Remote) -> bool:
        """Return whether it is a folder or lies below it."""
        return f"{self.url}/".startswith(f"{folder.url}/")

    def relative_to(self, folder: Remote) -> PurePosixPath:
        """Return its path below a folder."""
        return PurePosixPath(self.url.removeprefix(f"{folder.url}/"))

    def exists(self, *, is_first: bool = False) -> bool:
        """Return whether a file is there, or a folder with something in it.

        Args:
            is_first: nothing was done yet: that nobody answers there is told soon.
        """
        try:
            self._ask(lambda fs, path: fs.info(path), is_first=is_first)
        except FileNotFoundError:
            return False
        return True

    def size_bytes(self) -> int:
        """Return the size of a file."""
        return int(self._ask(lambda fs, path: fs.info(path))["size"])

    def read_bytes(self) -> bytes:
        """Return the content of a file."""
        return cast("bytes", self._ask(lambda fs, path: fs.cat_file(path)))

    def open(self) -> BinaryIO:
        """Return a file opened for reading with seek; every read is one of its range."""
        file = self.open_random()
        return cast("BinaryIO", Window(file, 0, file.size_bytes))

    def open_random(self) -> RandomFile:
        """Return a file opened for reading at any place."""
        return RandomFile(self.url, size_bytes=self.size_bytes())

    def sizes(self) -> dict[str, int]:
        """Return the size in bytes of every file below a folder, by its path there, sorted."""
        found: dict[str, Any] = self._ask(lambda fs, path: _listed(fs, path))
        return {name: int(found[name].get("size") or 0) for name in sorted(found)}

    def glob(self, pattern: str) -> Iterator[Remote]:
        """Yield the files below a folder that match a pattern, sorted; `*` and `?` stand for no slash."""
        fixed = pattern.partition("*")[0].rpartition("/")[0]
        folder = self / fixed if fixed else self
        parts = pattern.removeprefix(f"{fixed}/").split("/")
        matching = re.compile("/".join(translate(part).removesuffix(r"\Z").removesuffix(r"\z") for part in parts))
        for name in folder.sizes():
            if name.count("/") == len(parts) - 1 and matching.fullmatch(name):
                yield folder / name

    def put(self, source: Path | bytes) -> None:
        """Bring a file of this machine, or bytes, there: what others see is what was there before, or all of it."""
        size_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
        if self._is_object:
            self._ask(lambda fs, path: _send(fs, source, path), size_bytes=size_bytes)
            return

        def aside(fs: Any, path: str) -> None:  # noqa: ANN401 (a file system of fsspec)
            folder, name = posixpath.split(path)
            hidden = f"{folder}/.{name}.{socket.gethostname()}.{os.getpid()}{TEMPORARY}"
            fs.makedirs(folder, exist_ok=True)
            _send(fs, source, hidden)
            if fs.exists(path):  # not every store moves a file over another
                fs.rm_file(path)
            fs.mv(hidden, path)

        self._ask(aside, size_bytes=size_bytes)

    def get(self, path: Path) -> None:
        """Bring a file here, as one that is whole only when this returns."""
        self._ask(lambda fs, remote: fs.get_file(remote, str(path)))

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete a file."""
        if missing_ok and not self._is_object and not self.exists():  # what clients say of no such file differs
            return
        try:
            self._ask(lambda fs, path: fs.rm_file(path))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove_tree(self) -> None:
        """Delete a folder with all that is in it, where there is one."""

        def remove(fs: Any, path: str) -> None:  # noqa: ANN401 (a file system of fsspec)
            if not self._is_object:
                fs.rm(path, recursive=True)
            elif names := fs.find(path):
                fs.rm(names)

        if self.exists():
            self._ask(remove)

    def remove_temporaries(self) -> None:
        """Delete what killed processes left half-written below a folder, where the store shows such files at all."""
        if not self._is_object:
            for name in self.sizes():
                if TEMPORARY_NAME.fullmatch(posixpath.basename(name)):
                    (self / name).unlink(missing_ok=True)

    def _ask(self, action: Callable[[Any, str], T], *, size_bytes: int = 0, is_first: bool = False) -> T:
        """Return what an action on the store gives; it is done again, after a while, where that may help.

        Args:
            size_bytes: that are sent.

        Raises:
            OSError: names the url, whatever the store's client raised: clients have errors of their own.
        """
        fs, path = filesystem(self.url, asks_once=is_first)
        after_s = None if is_first else waits.LISTED_AFTER_S

        def attempt() -> T:
            fs.invalidate_cache()
            return action(fs, path)

        try:
            return patiently(
                attempt, self.url, has_client=True, is_first=is_first, after_s=after_s, size_bytes=size_bytes
            )
        except NO_USE as error:  # clients raise it with no number, or one of their own
            number = next(number for kind, number in _NUMBERS.items() if isinstance(error, kind))
            raise OSError(number, str(error), self.url) from error


def _send(fs: Any, source: Path | bytes, path: str) -> None:  # noqa: ANN401 (a file system of fsspec)
    if isinstance(source, bytes):
        fs.pipe_file(path, source)
    else:
        fs.put_file(str(source), path)


def _listed(fs: Any, path: str) -> dict[str, Any]:  # noqa: ANN401 (a file system of fsspec)
    """Return what a store tells of every file below a folder, by the path there; nothing where there is no folder."""
    try:
        found = fs.find(path, detail=True)
    except FileNotFoundError:
        return {}
    start = path.rstrip("/") + "/"
    return {name.removeprefix(start): facts for name, facts in found.items() if name.startswith(start)}
