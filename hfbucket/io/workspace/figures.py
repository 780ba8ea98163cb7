"""Counts over a whole workspace, made by SQLite in one pass over the captions."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from hfbucket.io.workspace.database import reading


@dataclass(kw_only=True, slots=True)
class VariantCounts:
    """Counts of one variant's captions."""

    own: bool
    #: By status; an ok one that is blank counts as empty.
    statuses: dict[str, int] = field(default_factory=dict)
    #: Of ok ones: how many have so many characters.
    lengths: dict[int, int] = field(default_factory=dict)
    #: Of ok ones, where a language is given.
    languages: dict[str, int] = field(default_factory=dict)


def count_captions(path: str | os.PathLike[str]) -> tuple[int, dict[str, VariantCounts]]:
    """Return how many images there are, and the counts of every variant, sorted by UTF-8.

    Raises:
        WorkspaceError: the file is no workspace, or cannot be read.
    """
    with reading(path) as connection:
        connection.execute("BEGIN")
        (images,) = connection.execute("SELECT count(*) FROM images").fetchone()
        named = connection.execute("SELECT variant, own FROM variants ORDER BY variant")
        found = {_text(variant): VariantCounts(own=bool(own)) for variant, own in named}
        groups = connection.execute(
            "SELECT variant, CASE WHEN status = 'ok' AND trim(text, char(9, 10, 11, 12, 13, 32)) = '' THEN 'empty' "
            "ELSE status END AS what, CASE WHEN status = 'ok' THEN length(text) END AS chars, language, count(*) "
            "FROM captions GROUP BY 1, 2, 3, 4"
        )
        for variant, what, chars, language, count in groups:
            counts, status = found[_text(variant)], _text(what)
            _add(counts.statuses, status, count)
            if status == "ok":
                _add(counts.lengths, chars, count)
                if language is not None:
                    _add(counts.languages, _text(language), count)
    return images, found


def _add(counts: dict, key: str | int, count: int) -> None:  # type: ignore[type-arg]
    counts[key] = counts.get(key, 0) + count


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
