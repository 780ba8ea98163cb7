"""What is in a caption workspace, variant by variant."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hfbucket.core.workspace.brought import STATUSES
from hfbucket.core.workspace.lengths import Lengths, lengths_of
from hfbucket.io.workspace.figures import VariantCounts, count_captions


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantStats:
    """One variant."""

    variant: str
    #: The source's own captions.
    own: bool
    #: Images by status of their caption.
    ok: int
    empty: int
    refused: int
    error: int
    #: Images without one.
    missing: int
    #: Share of all images that have an ok one, 0 to 1.
    share: float
    #: Of ok ones, in characters.
    chars: Lengths | None
    #: Of ok ones, by language where one is given; the most frequent first.
    languages: dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """A workspace."""

    workspace: str
    images: int
    variants: tuple[VariantStats, ...]


def stats(workspace: str | os.PathLike[str]) -> Stats:
    """Return the counts of a caption workspace; the source's own variants come last.

    Raises:
        WorkspaceError: the file is no workspace, or cannot be read.
    """
    images, found = count_captions(workspace)
    ordered = sorted(found.items(), key=lambda entry: entry[1].own)
    return Stats(
        workspace=os.fspath(workspace),
        images=images,
        variants=tuple(_of(name, counts, images) for name, counts in ordered if counts.statuses or not counts.own),
    )


def _of(variant: str, counts: VariantCounts, images: int) -> VariantStats:
    by_status = {status: counts.statuses.get(status, 0) for status in STATUSES}
    lengths = counts.lengths
    languages = sorted(counts.languages.items(), key=lambda entry: (-entry[1], entry[0]))
    return VariantStats(
        variant=variant,
        own=counts.own,
        **by_status,
        missing=images - sum(by_status.values()),
        share=round(by_status["ok"] / images, 6) if images else 0.0,
        chars=lengths_of(list(lengths), list(lengths.values())),
        languages=dict(languages),
    )


__all__ = ["Stats", "VariantStats", "stats"]
