"""Local paths and URLs as text: what they mean, taken apart and joined."""

from __future__ import annotations

import os
import re
from typing import Any

from hfbucket.errors import SourceError

_LOCAL = re.compile(r"(?:file|local)://")
_WILDCARD = re.compile(r"[*?\[]")


def is_local(url: str) -> bool:
    """Return whether the url is a path of this machine."""
    return "://" not in url or _LOCAL.match(url) is not None


def is_http(url: str) -> bool:
    """Return whether the url is one of the web."""
    return url.startswith(("http://", "https://"))


def local_path(url: str) -> str:
    """Return the absolute path of a local url, without protocol."""
    return os.path.abspath(os.path.expanduser(_LOCAL.sub("", url)))


def absolute(url: str) -> str:
    """Return a url that means the same in every process."""
    return local_path(url) if is_local(url) else url if url.endswith("://") else url.rstrip("/")


def join(root: str, path: bytes) -> str:
    """Return the url of a path below a root."""
    below = os.fsdecode(path) if is_local(root) else path.decode("utf-8", "surrogateescape")
    return root + below if root.endswith("://") else root.rstrip("/") + "/" + below


def split_name(url: str) -> tuple[str, bytes]:
    """Return (root, path below it) of a file: the folder it lies in, and its name."""
    protocol, mark, path = url.rpartition("://")
    folder, slash, name = path.rpartition("/")
    if not mark:
        return folder or slash or ".", os.fsencode(name)
    return protocol + mark + folder, name.encode("utf-8")


def split_glob(url: str) -> tuple[str, str | None]:
    """Return (root, pattern below it), or (url, None) where there is no wildcard."""
    wildcard = _WILDCARD.search(url)
    if wildcard is None:
        return url, None
    slash = url.rfind("/", 0, wildcard.start())
    if slash < 0:
        return ".", url
    root = url[: slash + 1]
    return root if root in ("/", _protocol(url)) else root[:-1], url[slash + 1 :]


def _protocol(url: str) -> str:
    """Return `s3://` of a URL, an empty text of a path."""
    head, mark, _ = url.partition("://")
    return head + mark if mark else ""


def filesystem(url: str, *, token: str | bool | None = None, asks_once: bool = False) -> tuple[Any, str]:
    """Return the fsspec file system of a URL, and the path in it.

    Args:
        token: for the Hub; None is the one of the environment or the login.
        asks_once: its client shall not try again by itself, as that of S3 does for up to 15 s where no server is: who
            asks, does.

    Raises:
        SourceError: the protocol is unknown, or its package is not installed.
    """
    import fsspec  # what reads local files alone is spared it

    try:
        options: dict[str, Any] = {"token": token} if token is not None and url.startswith("hf://") else {}
        if asks_once and url.startswith(("s3://", "s3a://")):
            given = fsspec.config.conf.get(_protocol(url)[:-3], {}).get("config_kwargs", {})
            options["config_kwargs"] = {**given, "retries": {"total_max_attempts": 1}}
        fs, path = fsspec.core.url_to_fs(url, **options)
    except (ValueError, ImportError) as error:
        missing = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
        remedy = f": pip install {missing}" if missing else ""
        raise SourceError(f"{url}: cannot be opened: {error}{remedy}") from error
    return fs, str(path)


def asked(fs: Any, path: str) -> dict[str, Any]:  # noqa: ANN401 (of fsspec)
    """Return what a store says of one file, as fsspec's `info` gives it; of the web with errors that tell.

    Raises:
        OSError: there is no such file, or the store cannot be reached.
        SourceError: a web server refuses.
    """
    if is_http(path):
        from hfbucket.io import http

        if http.is_plain(fs):
            return http.facts(fs, path)
    return dict(fs.info(path))
