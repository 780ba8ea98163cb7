"""Captions from a file: what of it can be kept, and what is counted instead."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.workspace.texts import cleaned

STATUSES: Final = ("ok", "refused", "error", "empty")
LONGEST_CAPTION_BYTES: Final = 100_000
"""Longer captions, in bytes of UTF-8, are refused: no text encoder reads them, and they fill memory."""

NAMES: Final = ("image_id", "key", "source_sha256", "stem")
"""What an image can be called by; `stem` is its image_id without extension, or its key."""

BROUGHT: Final = pa.schema(
    [
        *(pa.field(name, pa.binary()) for name in (*NAMES, "text", "status", "source_id", "created", "language")),
        pa.field("score", pa.float64()),
    ]
)
"""Rows as a file has them: bytes that may be no UTF-8."""

_CONTROL: Final = r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]"
_RFC3339: Final = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$"


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What became of the rows of a file; counts of parts add up with `+`."""

    rows: int = 0
    #: Captions that were new, that took the place of another one, and that were there already.
    written: int = 0
    replaced: int = 0
    unchanged: int = 0
    #: Captions that were there and stay, because that was asked for.
    kept: int = 0
    #: Rows whose image the workspace does not have, and rows for an image that an earlier row had.
    unmatched: int = 0
    doubled: int = 0
    #: Rows that say nothing: no JSON object, cells that do not fit the columns, no image's name, no text or status.
    unreadable: int = 0
    #: Rows with a status other than ok, refused, error, empty, and rows with a longer caption than is kept.
    unknown_status: int = 0
    too_long: int = 0
    #: Of the rows that could be kept: blank, repaired (not UTF-8, NULs), with control characters (which stay).
    blank: int = 0
    repaired: int = 0
    control_characters: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Return the sums."""
        return Counts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)})


def prepared(rows: pa.Table) -> tuple[pa.Table, Counts]:
    """Return the rows that can be kept, all of text, and what was counted on the way.

    Captions are clean as `core.meta.clean_text` makes them. Without a status they are ok, or empty where they are
    blank; an ok one that is blank is empty, too. A row that has neither text nor status says nothing.

    Args:
        rows: schema BROUGHT.
    """
    columns = {name: _strings(rows[name]) for name in BROUGHT.names if name not in ("text", "score")}
    raw = rows["text"].combine_chunks()
    texts, repaired = cleaned(raw.chunk(0) if isinstance(raw, pa.ChunkedArray) else raw)
    blank = pc.fill_null(pc.equal(pc.binary_length(texts), 0), True)
    status = pc.if_else(pc.fill_null(pc.equal(columns["status"], "ok"), True), None, columns["status"])
    status = pc.coalesce(status, pc.if_else(blank, "empty", "ok"))
    named = np.logical_or.reduce([_mask(columns[name].is_valid()) for name in NAMES])
    named &= _mask(texts.is_valid()) | _mask(columns["status"].is_valid())
    known = _mask(pc.is_in(status, value_set=pa.array(STATUSES)))
    short = _mask(pc.less_equal(pc.fill_null(pc.binary_length(texts), 0), LONGEST_CAPTION_BYTES))
    good = named & known & short
    control = _mask(pc.fill_null(pc.match_substring_regex(texts, _CONTROL), False))
    created = columns["created"]
    columns["created"] = pc.if_else(pc.fill_null(pc.match_substring_regex(created, _RFC3339), False), created, None)
    columns |= {"status": status, "text": pc.if_else(blank, None, texts), "score": rows["score"]}
    counts = Counts(
        rows=rows.num_rows,
        unreadable=int(np.count_nonzero(~named)),
        unknown_status=int(np.count_nonzero(named & ~known)),
        too_long=int(np.count_nonzero(named & known & ~short)),
        blank=int(np.count_nonzero(good & _mask(blank))),
        repaired=int(np.count_nonzero(good & repaired)),
        control_characters=int(np.count_nonzero(good & control)),
    )
    return pa.table({name: columns[name] for name in BROUGHT.names}).filter(pa.array(good)), counts


def _strings(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text with null for empty; bytes that are no UTF-8 become U+FFFD."""
    full = pc.if_else(pc.fill_null(pc.greater(pc.binary_length(column), 0), False), column, None)
    try:
        return full.cast(pa.string())
    except pa.ArrowInvalid:
        texts = (None if value is None else value.decode("utf-8", "replace") for value in full.to_pylist())
        return pa.chunked_array([pa.array(texts, pa.string())])


def _mask(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return np.asarray(column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy())
