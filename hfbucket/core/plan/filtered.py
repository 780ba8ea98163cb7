"""What filters left out, and the words of the filter for the ledger."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_SHOWN_CHARS: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Filtered:
    """Which rows filters leave out."""

    #: uint8[rows]: 0 where a row stays, else the number of the filter, from 1; empty without filters.
    by: npt.NDArray[np.uint8]
    #: What each filter is called, "where: width >= 512".
    words: tuple[str, ...]

    @classmethod
    def none(cls) -> Filtered:
        """Return what there is without filters."""
        return cls(by=np.zeros(0, dtype=np.uint8), words=())

    def details(self, rows: npt.NDArray[np.int64]) -> pa.Array:
        """Return for each of these rows the filter that left it out, null where none did."""
        if not self.words:
            return pa.nulls(len(rows), pa.string())
        shown = [word if len(word) <= _SHOWN_CHARS else word[: _SHOWN_CHARS - 1] + "…" for word in self.words]
        return pa.array([None, *shown], pa.string()).take(pa.array(self.by[rows]))

    @property
    def sha256(self) -> str:
        """What was filtered, in source order: settings name a condition or a function, but not what came of it."""
        return hashlib.sha256(np.packbits(self.by > 0).tobytes()).hexdigest()
