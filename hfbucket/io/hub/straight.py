"""The other server that the Hub sends to for bytes, asked by urllib3.

The Hub's client takes three times as much of the processor for the same bytes. But it knows what to do about refusals,
and about more kinds of proxies. So here is only the plain way to that server, or through a plain proxy: where it is not
open, the client goes on. Nothing of the login ever goes there, and what is raised names no address, for such are keys
for some time.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from functools import cache
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from huggingface_hub import constants, get_session
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but exported lazily

from hfbucket import __version__
from hfbucket.io.connections import connections, telling
from hfbucket.io.hub.file import LOST

_CLIENT: Final = sys.modules[get_session.__module__]
_LIBRARY: Final = sys.modules[LOST.__module__.partition(".")[0]]
"""Which the client stands on."""


def is_open() -> bool:
    """Return whether the client would go there the same way: by proxies of HTTP at most, and it is none of the user's.

    Where a release of it has other names for that, it is not known, and the way not open.
    """
    kinds = {urlsplit(proxy).scheme for scheme in ("http", "https") if (proxy := _proxy(scheme))}
    made_by = getattr(_CLIENT, "_GLOBAL_CLIENT_FACTORY", None)
    is_usual = made_by is not None and made_by is getattr(_CLIENT, "default_client_factory", None)
    return is_usual and hasattr(_LIBRARY, "create_ssl_context") and kinds <= {"http", "https"}


def _proxy(scheme: str) -> str | None:
    """Return the URL of the user's proxy for URLs of a scheme."""
    found = getproxies().get(scheme) or getproxies().get("all")
    return found if not found or "://" in found else f"http://{found}"


def ask(url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse | None:
    """Return the answer to a request, whatever it says, its body to be read; None where none came."""
    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.hostname or "") else _proxy(parts.scheme)
    is_secret = any(place.startswith("https:") for place in (url, proxy or ""))
    pool = connections(_certificates() if is_secret else None, proxy)
    all_headers = {**_who(), **headers}
    timeout = urllib3.Timeout(constants.HF_HUB_DOWNLOAD_TIMEOUT)
    try:
        return pool.request("GET", url, headers=all_headers, timeout=timeout, redirect=False, preload_content=False)
    except urllib3.exceptions.HTTPError:
        return None


def reader(response: urllib3.BaseHTTPResponse, where: str) -> Callable[[int], bytes]:
    """Return what returns so many of an answer's next bytes, fewer at its end, then none.

    Raises:
        ConnectionError: by what is returned: the connection is lost.
    """

    def read(size: int) -> bytes:
        with telling(where):
            return response.read(size, decode_content=False)

    return read


@cache
def _who() -> dict[str, str]:
    return dict(build_hf_headers(token=False, library_name="hfbucket", library_version=__version__))


@cache
def _certificates() -> ssl.SSLContext:
    """Return what the client checks servers against: by variables like SSL_CERT_FILE, too."""
    context: ssl.SSLContext = _LIBRARY.create_ssl_context()
    return context
