"""Archives that were split: `x.tar.gz.00`, `x.tar.gz.01` … or `x.tar.aa`, `x.tar.ab` … are one archive, `x.tar.gz`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from hfbucket.core.keys import text_of
from hfbucket.errors import SourceError

_PART: Final = re.compile(rb"(?P<whole>.+\.(?:tar|tar\.gz|tgz))\.(?P<suffix>\d{1,9}|[a-z]{2,9})", re.DOTALL | re.I)


def split_archives(paths: Iterable[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """Return the paths of the parts of every split archive, in their order, by the path of the whole.

    Suffixes are numbers from 0 or 1 on, or letters from `aa` (`aaa` …) on, as `split` of GNU and of BSD gives them.

    Raises:
        SourceError: a part is missing, or the suffixes do not follow each other.
    """
    found: dict[bytes, dict[str, bytes]] = {}
    for path in paths:
        match = _PART.fullmatch(path)
        if match is not None:
            found.setdefault(match["whole"], {})[match["suffix"].decode("ascii").lower()] = path
    return {whole: parts for whole, suffixes in found.items() if (parts := _ordered(whole, suffixes))}


def may_be_part(path: bytes) -> bool:
    """Return whether a file is named as a part of an archive that was split."""
    match = _PART.fullmatch(path)
    return match is not None and match["suffix"].lower() != b"gz"


def parts_with(part: bytes, paths: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the parts, in their order, of the archive that one of `paths` is a part of; only itself where it is none.

    Raises:
        SourceError: as `split_archives`.
    """
    whole = part.rpartition(b".")[0]
    archives = split_archives(path for path in paths if path.rpartition(b".")[0] == whole)
    return next((parts for parts in archives.values() if part in parts), (part,))


def _ordered(whole: bytes, parts: dict[str, bytes]) -> tuple[bytes, ...]:
    """Return the parts in order; nothing where the suffixes are extensions of other files."""
    digits = [suffix for suffix in parts if suffix.isdigit()]
    letters = [suffix for suffix in parts if not suffix.isdigit() and (suffix != "gz" or "gy" in parts)]
    if not any(set(suffix) == {"a"} for suffix in letters) and sum(suffix[0] == "a" for suffix in letters) < 2:
        letters = []  # x.tar.txt, x.tar.gz
    name = text_of(whole)
    if digits and letters:
        raise SourceError(f"{name}: has parts with numbers and with letters, .{min(digits)} and .{min(letters)}")
    order = sorted(digits, key=int) or sorted(letters, key=lambda suffix: (len(suffix), suffix))
    if not order:
        return ()
    if int(order[0]) > 1 if digits else set(order[0]) != {"a"}:
        raise SourceError(f"{name}: its first part is missing: the first there is .{order[0]}")
    for one, other in pairwise(order):
        if not _follows(one, other):
            raise SourceError(f"{name}: a part is missing: after .{one} comes .{other}")
    return tuple(parts[suffix] for suffix in order)


def _follows(one: str, other: str) -> bool:
    """Return whether one suffix comes right after another; GNU split goes on with `zaaa` after `yz`, 9000 after 89."""
    first, before_last, last = ("0", "8", "9") if one.isdigit() else ("a", "y", "z")
    if one.isdigit() and int(other) == int(one) + 1:
        return True
    if len(one) == len(other) and not one.isdigit():
        return _number(other) == _number(one) + 1
    at = len(one) - len(one.lstrip(last))
    is_end = one[at : at + 1] == before_last and not one[at + 1 :].strip(last)
    return is_end and other == one[:at] + last + first * (len(one) - at + 1)


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("a")
    return number
