"""What listing a source gives."""

from __future__ import annotations

from dataclasses import dataclass

from hfbucket.core.units import Unit, UnitFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The units of one source, in order of their names' UTF-8 bytes, and what lay beside them."""

    units: tuple[Unit, ...]
    facts: UnitFacts
    #: Urls of files that may be annotations, those nearest to the root first; some of them where there are many.
    beside: tuple[str, ...] = ()
