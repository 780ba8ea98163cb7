"""Annotation files that lie beside the images of a source, found by what stands in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hfbucket.errors import SourceError
from hfbucket.io import store
from hfbucket.sources.annotations.files import EXTENSIONS, looks_like_annotations, name_of

_MOST_ABOVE: Final = 64


def find(urls: Sequence[str], source: str, columns: Sequence[str]) -> str | None:
    """Return the one of these files that is an annotation file; None where none is.

    Args:
        source: name of the source, for errors.
        columns: further fields that hold captions.

    Raises:
        SourceError: several are; or one that may be cannot be read, and all captions would be missing.
    """
    found = [url for url in urls if _looks_beside(url, columns)]
    if len(found) > 1:
        names = f"{', '.join(map(name_of, found[:-1]))} and {name_of(found[-1])}"
        raise SourceError(
            f"source {source!r} has {len(found)} files with captions, {names}: choose with --annotations FILE"
        )
    return found[0] if found else None


def named_files(path: str) -> list[str]:
    """Return the urls of an annotation file, of those in a folder, or of what a glob matches; in order.

    Raises:
        SourceError: there is none.
    """
    url = store.absolute(path)
    try:
        kind = store.kind_of(url)
        root, pattern = store.split_glob(url)
        if kind == "folder":
            names = [file.path for file in store.walk(url) if file.kind == "file"]
            urls = [store.join(url, name) for name in names if name.rpartition(b".")[2].decode("latin-1") in EXTENSIONS]
        elif kind == "nothing" and pattern is not None:
            urls = [store.join(root, name) for name in store.glob(root, pattern)]
        else:
            return [url]
    except OSError as error:
        raise SourceError(f"--annotations {path}: cannot be looked at: {error}") from error
    if not urls:
        raise SourceError(f"--annotations {path}: no file is there that may be annotations ({', '.join(EXTENSIONS)})")
    return urls


def above_source(url: str) -> str | None:
    """Return the one annotation file that lies in the folder above a source on this machine; None where none does."""
    root = store.split_glob(url)[0]
    if not store.is_local(root):
        return None
    above, _ = store.split_name(store.local_path(root))
    try:
        names = (file.path for file in store.walk(above, deep=False) if file.kind == "file")
        urls = [store.join(above, name) for name in names if name.rpartition(b".")[2].decode("latin-1") in EXTENSIONS]
    except OSError:
        return None
    found = [url for url in urls[:_MOST_ABOVE] if _looks(url, ())]
    return found[0] if len(found) == 1 else None


def _looks_beside(url: str, columns: Sequence[str]) -> bool:
    try:
        return looks_like_annotations(url, columns)
    except FileNotFoundError:  # gone since it was listed
        return False
    except OSError as error:
        raise SourceError(
            f"{name_of(url)} may hold the captions and cannot be read: {error.strerror or error}; make it readable, or "
            "name the file that has them with --annotations"
        ) from error


def _looks(url: str, columns: Sequence[str]) -> bool:
    try:
        return looks_like_annotations(url, columns)
    except OSError:
        return False
