"""Connections to web servers by urllib3: shared by all of a process, with errors that tell.

A process that is forked off, as data loaders do it, begins its own: of one that two share, each would get what the
other asked for.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final
from urllib.parse import unquote

import urllib3

from hfbucket.errors import SourceError
from hfbucket.io.ahead import AT_ONCE

_TIMEOUT: Final = urllib3.Timeout(connect=30.0, read=60.0)
_RETRIES: Final = urllib3.Retry(total=None, connect=1, read=1, redirect=10, status=0, other=0)
"""At once: a connection that was kept may have been closed meanwhile."""


@cache
def connections(certificates: ssl.SSLContext | None = None, proxy: str | None = None) -> urllib3.PoolManager:
    """Return the connections of this process.

    Args:
        certificates: what servers are checked against; None is what the system trusts.
        proxy: the URL of one that they go through, with its login.
    """
    if proxy is None:
        return urllib3.PoolManager(maxsize=AT_ONCE, timeout=_TIMEOUT, retries=_RETRIES, ssl_context=certificates)
    login = urllib3.util.parse_url(proxy).auth
    return urllib3.ProxyManager(
        proxy, maxsize=AT_ONCE, timeout=_TIMEOUT, retries=_RETRIES, ssl_context=certificates,
        proxy_headers=urllib3.make_headers(proxy_basic_auth=unquote(login)) if login else None,
        proxy_ssl_context=certificates,
    )  # fmt: skip


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=connections.cache_clear)


@contextmanager
def telling(where: str) -> Iterator[None]:
    """Put what urllib3 raises into errors that name a place, no URL, and say whether another try may help.

    Raises:
        ConnectionError: it may; a ConnectionRefusedError where no server is found at the address at all.
        SourceError: it does not.
    """
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, urllib3.exceptions.ResponseError):  # of redirects without an end
            raise SourceError(f"{where}: {reason}") from error
        if isinstance(reason, urllib3.exceptions.NewConnectionError):
            raise ConnectionRefusedError(f"{where}: no server answers there ({reason})") from error
        raise ConnectionError(f"{where}: the connection is lost: {type(reason).__name__}: {reason}") from error
