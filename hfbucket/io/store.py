"""Where bytes lie: local paths and any fsspec URL behind one set of functions. What other modules read by.

A *url* is a local path or a URL with a protocol. Paths below a root are raw bytes with `/`, because the name of a
local file may be no UTF-8; `join` turns root and path into a url again.
"""

from __future__ import annotations

import glob as local_glob
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, cast

from hfbucket.core.events import Event, Notice
from hfbucket.errors import SourceError
from hfbucket.io import waits
from hfbucket.io.ahead import ahead
from hfbucket.io.atomic import replacing
from hfbucket.io.flushed_file import FlushedFile
from hfbucket.io.patience import patiently
from hfbucket.io.random_file import JoinedFile, RandomFile, Window, open_seekable
from hfbucket.io.stream import stream
from hfbucket.io.urls import absolute, asked, filesystem, is_http, is_local, join, local_path, split_glob, split_name

T = TypeVar("T")

__all__ = [
    "FileInfo", "JoinedFile", "RandomFile", "Window", "absolute", "ahead", "download", "glob", "info", "is_local",
    "join", "kind_of", "local_path", "look", "names_in", "open_seekable", "read_bytes", "split_glob", "split_name",
    "stream", "walk",
]  # fmt: skip

_VERSION_KEYS = (
    "etag", "ETag", "checksum", "sha256", "md5", "md5Hash", "crc32c", "Content-MD5", "Digest", "lfs", "blob_id",
    "mtime", "LastModified", "Last-Modified", "last_modified", "updated", "created",
)  # fmt: skip

_UP_TO_HIDDEN = re.compile(r"(?:(?!\.)[^/]*/)*\.[^/]*")

_OF_LINKS = ("text/html", "application/xhtml+xml")
"""What a folder is on the web."""


class FileInfo(NamedTuple):
    """One file of a listing; a tuple, as there is one for every image."""

    #: Below the listed root, raw bytes with `/`.
    path: bytes
    size_bytes: int
    #: 0 where the store keeps none.
    mtime_ns: int
    #: Changes whenever the bytes may have.
    version: str
    #: `missing`: a link to nothing; `other`: pipe, socket, device; `hidden`: of whatever kind, it was not looked at.
    kind: Literal["file", "missing", "other", "hidden"] = "file"
    #: Of its bytes, 64 hex digits, where the listing tells.
    sha256: str | None = None


def kind_of(url: str) -> Literal["file", "folder", "nothing"]:
    """Return what stands at a url."""
    found = look(url)
    return "file" if isinstance(found, FileInfo) else found


def look(url: str, path: bytes = b"") -> FileInfo | Literal["folder", "nothing"]:
    """Return what stands at a url: of a file its facts, and that its place below its root is `path`."""
    if is_local(url):
        place = local_path(url)
        return "folder" if os.path.isdir(place) else info(url, path) if os.path.exists(place) else "nothing"
    fs, remote = filesystem(url, asks_once=True)
    if is_http(url):
        return _look_on_the_web(fs, remote, path)

    def there() -> FileInfo | Literal["folder", "nothing"]:
        return "folder" if fs.isdir(remote) else _remote_info(path, fs.info(remote)) if fs.exists(remote) else "nothing"

    return _told(url, there, is_first=True)


def _told(url: str, action: Callable[[], T], *, token: str | bool | None = None, is_first: bool = False) -> T:
    """Return what a store's client gives, with errors that name the url.

    Args:
        is_first: nothing was asked there yet: that nobody answers is told soon.

    Raises:
        OSError, SourceError: the store, or the Hub, cannot be reached, or refuses.
    """
    after_s = None if is_first else waits.LISTED_AFTER_S
    if not url.startswith("hf://"):
        return patiently(action, url, has_client=True, is_first=is_first, after_s=after_s)
    from hfbucket.io.hub import errors, file

    patience = errors.BRIEF if is_first else errors.PATIENT
    trying = waits.tries(patience.tries, patience.pauses_s)

    def attempt() -> T:
        with waits.watched(file.hub_host, trying, after_s=after_s):
            return action()

    def tell(event: Event) -> None:
        if isinstance(event, Notice) and not is_first:  # then it is soon told as an error
            waits.trouble(file.hub_host(), event.text, trying)

    with errors.reading(url, token):
        return errors.patiently(attempt, doing=url, token=token, patience=patience, on_event=tell)


def _look_on_the_web(fs: Any, url: str, path: bytes) -> FileInfo | Literal["folder", "nothing"]:  # noqa: ANN401
    """Do as `look`. What may be a list of links is read; fsspec reads whatever there is, a whole tar as well."""
    try:
        facts = patiently(partial(asked, fs, url), url, is_first=True)
    except FileNotFoundError:
        return "nothing"
    return "folder" if facts.get("mimetype") in _OF_LINKS and fs.isdir(url) else _remote_info(path, facts)


def info(url: str, path: bytes = b"") -> FileInfo:
    """Return the facts of one file, whose place below its root is `path`.

    Raises:
        OSError: there is no such file, or the store cannot be reached.
        SourceError: a web server refuses.
    """
    if is_local(url):
        place = local_path(url)
        if os.path.islink(place) and not os.path.exists(place):
            return _missing(path)
        return _local_info(path, os.stat(place))
    fs, remote = filesystem(url)
    return _remote_info(path, patiently(partial(asked, fs, remote), url))


def walk(root: str, *, deep: bool = True, hidden: bool = False, token: str | bool | None = None) -> list[FileInfo]:
    """Return every file below a folder, sorted by the bytes of its path; hidden names are skipped.

    Links are followed, except those that lead back into a folder they stand in.

    Args:
        deep: also look into the folders below.
        hidden: also return what has a hidden name, be it a file or a folder, which is not entered.
    """
    walked = _walk_local(root, deep) if is_local(root) else _walk_remote(root, deep, token)
    return sorted((file for file in walked if hidden or file.kind != "hidden"), key=lambda file: file.path)


def names_in(folder: str) -> list[bytes]:
    """Return the names of the files in a folder, sorted; hidden ones are skipped."""
    if is_local(folder):
        return [file.path for file in walk(folder, deep=False) if file.kind == "file"]
    return sorted(below.encode("utf-8") for below in _listed(folder, False, None)[1] if not _hidden(below))


def glob(root: str, pattern: str) -> list[bytes]:
    """Return what matches a pattern below a root, as sorted paths below it; hidden names only where asked for."""
    if is_local(root):
        found = local_glob.glob(pattern, root_dir=local_path(root), recursive=True)
        return sorted(os.fsencode(name).rstrip(b"/") for name in found)
    fs, path = filesystem(root, asks_once=True)
    matched = _told(root, lambda: fs.glob(path.rstrip("/") + "/" + pattern), is_first=True)
    names = (_below(path, name) for name in matched)
    hidden_wanted = _hidden(pattern)
    return sorted(name.encode("utf-8") for name in names if hidden_wanted or not _hidden(name))


def read_bytes(url: str, *, limit_bytes: int | None = None, token: str | bool | None = None) -> bytes:
    """Return the whole content of a file, or about its first `limit_bytes` where it is larger."""
    pieces, size = [], 0
    for piece in stream(url, token=token, use_cache=True):
        pieces.append(piece)
        size += len(piece)
        if limit_bytes is not None and size >= limit_bytes:
            break
    return b"".join(pieces)


def download(
    url: str, path: Path, size_bytes: int, *, parts: Sequence[str] = (), check: Callable[[], None] = lambda: None
) -> None:
    """Copy a file of `size_bytes` to a path of this machine: whole, or not at all.

    Args:
        parts: of a file that was split, all of its parts, to be joined.
        check: called when all has come; where it raises, the copy is none.

    Raises:
        OSError: it cannot be read, or the disk is full.
        SourceError: it has another size.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The disk works while the network does.
    with replacing(path) as temporary, FlushedFile(temporary, named=path) as file:
        for part in parts or (url,):
            for block in stream(part, size_bytes=None if parts else size_bytes):
                file.write(block)
        if file.size_bytes != size_bytes:
            got = file.size_bytes
            raise SourceError(f"{url}: has {got} bytes, listed were {size_bytes}; run the same command again")
        check()


def _below(root: str, name: str) -> str:
    """Return the path of a listed name below its root."""
    start = root.rstrip("/") + "/"
    if not name.startswith(start):
        raise SourceError(f"{root}: its listing names {name}, which is not below it: give the path the listing gives")
    return name[len(start) :]


def _hidden(path: str) -> str:
    """Return a path up to the first hidden name in it; nothing where there is none."""
    match = _UP_TO_HIDDEN.match(path)
    return match[0] if match else ""


def _local_info(path: bytes, status: os.stat_result) -> FileInfo:
    kind: Literal["file", "other"] = "file" if stat.S_ISREG(status.st_mode) else "other"
    version = f"{status.st_size}-{status.st_mtime_ns}"
    return FileInfo(path=path, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns, version=version, kind=kind)


def _remote_info(path: bytes, facts: Mapping[str, Any]) -> FileInfo:
    if facts.get("size") is None:  # of a page that is made when it is asked for: no file to count on
        return _missing(path)
    size_bytes = int(facts["size"])
    known = [f"{key}={facts[key]}" for key in _VERSION_KEYS if facts.get(key) is not None]
    lfs = facts.get("lfs")  # the Hub's: large files of a repository are known by their sha256
    sha256 = lfs.get("sha256") if isinstance(lfs, Mapping) else None
    version = ";".join([str(size_bytes), *known])
    return FileInfo(path=path, size_bytes=size_bytes, mtime_ns=0, version=version, sha256=sha256)


def _missing(path: bytes, kind: Literal["missing", "hidden"] = "missing") -> FileInfo:
    return FileInfo(path=path, size_bytes=0, mtime_ns=0, version=kind, kind=kind)


def _walk_local(root: str, deep: bool) -> Iterator[FileInfo]:
    base = os.fsencode(local_path(root))
    status = os.stat(base)
    # Each open folder with the identities of the folders around it: a link back to one of them is not entered.
    stack: list[tuple[bytes, frozenset[tuple[int, int]]]] = [(b"", frozenset({(status.st_dev, status.st_ino)}))]
    while stack:
        below, around = stack.pop()
        with os.scandir(os.path.join(base, below) if below else base) as entries:
            for entry in entries:
                path = below + b"/" + entry.name if below else entry.name
                if entry.name.startswith(b"."):
                    yield _missing(path, "hidden")
                    continue
                try:
                    status = entry.stat()
                except OSError:  # a link to nothing, or around in circles
                    yield _missing(path)
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    yield _local_info(path, status)
                elif deep and (identity := (status.st_dev, status.st_ino)) not in around:
                    stack.append((path, around | {identity}))


def _walk_remote(root: str, deep: bool, token: str | bool | None) -> Iterator[FileInfo]:
    fs, everything = _listed(root, deep, token)
    listed = {below: facts for below, facts in everything.items() if not _hidden(below)}
    for below in {_hidden(below) for below in everything} - {""}:
        yield _missing(below.encode("utf-8"), "hidden")
    for below, facts in zip(listed, _facts(fs, list(listed.values())), strict=True):
        yield _remote_info(below.encode("utf-8"), facts)


def _listed(root: str, deep: bool, token: str | bool | None) -> tuple[Any, dict[str, Mapping[str, Any]]]:
    """Return the file system of a folder, and what its listing says of every file, by the path below it."""
    fs, path = filesystem(root, token=token)

    def find() -> dict[str, Mapping[str, Any]]:
        return cast("dict[str, Mapping[str, Any]]", fs.find(path, maxdepth=None if deep else 1, detail=True))

    named = ((_below(path, name), facts) for name, facts in _told(root, find, token=token).items())
    return fs, {below: facts for below, facts in named if below}


def _facts(fs: Any, listed: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 (of fsspec)
    """Yield the facts of listed files; where the listing has no sizes, as in a list of links, of each file alone."""

    def of(facts: Mapping[str, Any]) -> Mapping[str, Any]:
        return facts if facts.get("size") is not None else patiently(partial(asked, fs, facts["name"]), facts["name"])

    return ahead((partial(of, facts), None if facts.get("size") is not None else 0) for facts in listed)
