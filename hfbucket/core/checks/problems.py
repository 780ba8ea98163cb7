"""What verify finds: broken promises with their remedy, and what exports of other tools lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hfbucket.core.keys import MANIFEST

__all__ = ["REMEDIES", "Lack", "Problem", "capped", "lacks_of", "merged", "problem"]

_REBUILD: Final = "delete the file and run the build command again, or fetch it again"
_MANIFEST: Final = "restore manifest.json from where it came, or delete it and run the build command again"
_TABLES: Final = "delete the folders samples and ledger and run the build command again: it writes them anew"
_REPORT: Final = "the writer broke the format: build again with --overwrite, and report it if it stays"

REMEDIES: Final[Mapping[str, str]] = {
    "manifest": _MANIFEST,
    "manifest_changed": f"{_MANIFEST}; words are changed with `hfbucket card`",
    "manifest_version": "upgrade hfbucket, or read it with what wrote it",
    "sums": _MANIFEST,
    "bucket_rule": _MANIFEST,
    "summary": _MANIFEST,
    "local_path": "run the build command again; do not publish it: it tells about the machine that wrote it",
    "missing": "run the build command again, or fetch the file again",
    "link": "put the file itself in the place of the link",
    "stray": "delete the file: no manifest names it, yet listings would load it",
    "size": _REBUILD,
    "hash": _REBUILD,
    "tar": _REBUILD,
    "members": _REPORT,
    "order": _REPORT,
    "key": _REPORT,
    "duplicate_key": _REPORT,
    "count": _REBUILD,
    "metadata": _REPORT,
    "metadata_form": _REPORT,
    "image_id": _REPORT,
    "bucket": _REPORT,
    "geometry": _REPORT,
    "mode": _REPORT,
    "caption": _REPORT,
    "location": "build again without --keep-location; do not publish it before",
    "image": _REBUILD,
    "source_image": "the source itself is so: build again with --check decode, which leaves such images out",
    "image_size": _REPORT,
    "image_metadata": _REPORT,
    "source_hash": _REBUILD,
    "samples": _TABLES,
    "ledger": _TABLES,
    "statistics": _TABLES,
    "croissant": "run `hfbucket card EXPORT`: it writes croissant.json anew",
    "hub_limit": "build again with another --max-shard-size: larger for fewer files, smaller for smaller ones",
    "license": "say how it may be used: `hfbucket card EXPORT --license ID`, or --license-name and --license-link",
    "placeholder": "write it out with `hfbucket card EXPORT`",
    "personal": "build again with --strip-metadata and no --keep-location, or push with --private or --allow-location",
    "part": "push it to a place of its own, or pull the whole and push that",
    "occupied": "push to a place of its own, or delete them there first",
    "visibility": "change it in the settings of the repository, or leave the flag away",
    "card": "run `hfbucket card EXPORT`: it renders README.md anew; text of your own goes into its --sections",
}
"""What to do about each kind of problem; the keys are all codes there are."""

_LACKS: Final[Mapping[str, str]] = {
    "members": "exactly jpg, txt and json in this order in every sample",
    "key": "keys of 32 hex digits",
    "metadata": "metadata keys this format has",
    "metadata_form": "metadata in canonical JSON",
    "image_id": "keys that are the first 32 hex digits of sha256(image_id)",
    "geometry": "resize and crop by the rules of this format",
    "mode": "image modes this format knows",
    "caption": "captions that end in one line break",
    "image_metadata": "re-encoded images without EXIF and ICC",
}
"""What is only a lack in an export that another tool wrote: it still reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One broken promise: where, what was expected and found, what to do."""

    #: A key of `REMEDIES`.
    code: str
    #: Below the export.
    file: str
    #: Of the sample, where it is about one.
    key: str | None = None
    message: str
    remedy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lack:
    """Something an export of another tool does not have, and how often."""

    code: str
    what: str
    count: int


def problem(code: str, message: str, *, file: str = MANIFEST, key: str | None = None) -> Problem:
    """Return a problem with the remedy of its kind."""
    return Problem(code=code, file=file, key=key, message=message, remedy=REMEDIES[code])


def capped(problems: Iterable[Problem], limit: int = 10) -> tuple[Problem, ...]:
    """Return at most `limit` problems of each file and kind, then one that counts the rest."""
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for found in problems:
        seen[found.file, found.code] += 1
        if seen[found.file, found.code] <= limit:
            kept.append(found)
    rest = {place: count - limit for place, count in seen.items() if count > limit}
    return (*kept, *(problem(code, f"{n} more like these", file=file) for (file, code), n in rest.items()))


def lacks_of(problems: Iterable[Problem]) -> tuple[tuple[Problem, ...], tuple[Lack, ...]]:
    """Return what remains a problem in an export of another tool, and what it only lacks."""
    remaining, lacking = [], Counter[str]()
    for found in problems:
        if found.code in _LACKS:
            lacking[found.code] += 1
        else:
            remaining.append(found)
    return tuple(remaining), tuple(Lack(code=code, what=_LACKS[code], count=n) for code, n in lacking.items())


def merged(lacks: Iterable[Lack]) -> tuple[Lack, ...]:
    """Return one lack for each kind, counts summed up."""
    counts: Counter[tuple[str, str]] = Counter()
    for lack in lacks:
        counts[lack.code, lack.what] += lack.count
    return tuple(Lack(code=code, what=what, count=count) for (code, what), count in counts.items())
