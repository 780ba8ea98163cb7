"""What scanning a folder looks at: images, opened, and the files beside them; fetched ahead where they are far away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from hfbucket.core.units import FileEntry, Unit
from hfbucket.io import store

_SIDECAR_LIMIT_BYTES: Final = 16 << 20
_HEAD_BYTES: Final = 32 << 10
"""Of an image that is far away: most headers lie in them, and a request for fewer is no cheaper."""

Content = store.RandomFile | bytes | str | OSError
"""An image, opened; the bytes of what lies beside it, or why they are not taken; or why it cannot be read."""


def contents_of(unit: Unit) -> Iterator[Content]:
    """Yield of every entry of a unit its image, where it is there, its JSON and its text, where it has them.

    Files of this machine are opened when their turn comes. Of images that are far away the first bytes are fetched.
    """
    is_far = not store.is_local(unit.url)
    return store.ahead(
        (partial(_attempt, fetch, store.join(unit.url, path), size), min(size, at_most) if is_far else None)
        for entry in unit.entries
        for fetch, path, size, at_most in _wanted(entry)
    )


def _wanted(entry: FileEntry) -> Iterator[tuple[Callable[[str, int], Content], bytes, int, int]]:
    """Yield what fetches it, its path, its size, and of how many bytes at most."""
    if entry.size_bytes >= 0:
        yield _open_image, entry.path, entry.size_bytes, _HEAD_BYTES
    if entry.json is not None:
        yield _read_sidecar, entry.json, entry.json_bytes, _SIDECAR_LIMIT_BYTES
    if entry.text is not None:
        yield _read_sidecar, entry.text, entry.text_bytes, _SIDECAR_LIMIT_BYTES


def _attempt(fetch: Callable[[str, int], Content], url: str, size_bytes: int) -> Content:
    try:
        return fetch(url, size_bytes)
    except OSError as error:
        return error


def _open_image(url: str, size_bytes: int) -> store.RandomFile:
    return store.RandomFile(url, size_bytes=size_bytes, head_bytes=_HEAD_BYTES)


def _read_sidecar(url: str, size_bytes: int) -> bytes | str:
    with store.RandomFile(url, size_bytes=size_bytes) as file:
        if file.size_bytes > _SIDECAR_LIMIT_BYTES:
            return f"has {file.size_bytes} bytes, more than {_SIDECAR_LIMIT_BYTES}"
        return file.pread(0, file.size_bytes)
