"""Whether what came from the web is what was listed: answers to several requests may be of several versions."""

from __future__ import annotations

from hfbucket.core.units import Unit
from hfbucket.errors import changed
from hfbucket.io.store import info
from hfbucket.io.urls import is_http
from hfbucket.sources.containers import split_version


def check_unchanged(unit: Unit) -> None:
    """Check that a container on the web, with all parts of one that was split, is what it was when it was listed.

    Local ones are compared where they are opened. Other stores are not asked again: what they say of one file need not
    be what they say in a listing.

    Raises:
        SourceError: it is not.
        OSError: it is gone, or cannot be reached.
    """
    if unit.kind == "folder" or not is_http(unit.url):
        return
    if unit.parts:
        depth = unit.name.count("/") + 1  # of the parts' paths below the root
        paths = ("/".join(url.split("/")[-depth:]).encode("utf-8") for url in unit.parts)
        version = split_version([info(url, path) for url, path in zip(unit.parts, paths, strict=True)])
    else:
        version = info(unit.url).version
    if version != unit.version:
        raise changed(unit.url)
