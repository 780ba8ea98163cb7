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
        SourceError: several are.
    """
    found = [url for url in urls if _looks(url, columns)]
    if len(found) > 1:
        names = f"{', '.join(map(name_of, found[:-1]))} and {name_of(found[-1])}"
        raise SourceError(
            f"source {source!r} has {len(found)} files with captions, {names}: choose with --annotations FILE"
        )
    return found[0] if found else None


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


def _looks(url: str, columns: Sequence[str]) -> bool:
    try:
        return looks_like_annotations(url, columns)
    except OSError:
        return False
