"""What listing a source gives: its files, then its units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hfbucket.core.units import Unit, UnitFacts
from hfbucket.io.store import FileInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """The files of one source, sorted by path."""

    #: The folder given, a single file's parent, or a glob's part before the first wildcard's last slash
    #: (FORMAT section 1).
    root: str
    #: Those that were named themselves, by the path or by its glob.
    named: frozenset[bytes]
    found: Sequence[FileInfo]
    #: What has a hidden name, which is passed over, by extension; a folder is one.
    hidden: Mapping[str, int] = field(default_factory=dict)
    #: A folder was given.
    is_folder: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The units of one source, in order of their names' UTF-8 bytes, and what lay beside them."""

    units: tuple[Unit, ...]
    facts: UnitFacts
    #: Urls of files that may be annotations, those nearest to the root first; some of them where there are many.
    beside: tuple[str, ...] = ()
