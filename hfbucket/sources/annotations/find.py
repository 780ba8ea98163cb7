"""Annotation files that lie beside the images of a source, found by what stands in them."""

from __future__ import annotations

from collections.abc import Sequence

from hfbucket.errors import SourceError
from hfbucket.sources.annotations.files import looks_like_annotations, name_of


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


def _looks(url: str, columns: Sequence[str]) -> bool:
    try:
        return looks_like_annotations(url, columns)
    except OSError:
        return False
