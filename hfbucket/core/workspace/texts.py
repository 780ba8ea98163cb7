"""Texts as other programs wrote them: many captions made clean at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.core.meta import clean_text

Bools = npt.NDArray[np.bool_]

_FIRST = np.zeros(256, dtype=bool)
_FIRST[:0x21] = True  # white space, NUL
_FIRST[[0xC2, 0xE1, 0xE2, 0xE3]] = True  # white space beyond ASCII begins with one of these
_FIRST[[0xEF, 0xFE, 0xFF]] = True  # byte order marks
_LAST = np.zeros(256, dtype=bool)
_LAST[:0x21] = True
_LAST[[*range(0x80, 0x8B), 0x9F, 0xA0, 0xA8, 0xA9, 0xAF]] = True  # and ends with one of these


def cleaned(texts: pa.Array) -> tuple[pa.Array, Bools]:
    """Return captions as `core.meta.clean_text` makes each (string), and which had to be repaired, bool[n].

    Args:
        texts: binary or string; nulls stay.
    """
    raw = texts.cast(pa.binary())
    repaired = np.zeros(len(raw), dtype=bool)
    odd = np.flatnonzero(_suspects(raw))
    if not len(odd):
        return raw.cast(pa.string()), repaired
    pairs = [clean_text(value) for value in raw.take(pa.array(odd)).to_pylist()]
    repaired[odd] = [was_repaired for _, was_repaired in pairs]
    source = np.arange(len(raw), dtype=np.int64)  # where each text is in the old ones followed by the new ones
    source[odd] = len(raw) + np.arange(len(odd))
    both = pa.concat_arrays([raw, pa.array([text.encode("utf-8") for text, _ in pairs], pa.binary())])
    return both.take(pa.array(source)).cast(pa.string()), repaired


def _suspects(raw: pa.Array) -> Bools:
    """Return which texts `clean_text` might change: the others are UTF-8 without anything to take away."""
    valid: Bools = raw.is_valid().to_numpy(zero_copy_only=False)
    _, offsets_buffer, data_buffer = raw.buffers()
    if not valid.any() or data_buffer is None:
        return np.zeros(len(raw), dtype=bool)
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[raw.offset : raw.offset + len(raw) + 1].astype(np.int64)
    data = np.frombuffer(data_buffer, dtype=np.uint8)[: offsets[-1]]
    full = valid & (np.diff(offsets) > 0)
    suspect = np.zeros(len(raw), dtype=bool)
    suspect[full] = _FIRST[data[offsets[:-1][full]]] | _LAST[data[offsets[1:][full] - 1]]
    zeros = np.flatnonzero(data[offsets[0] :] == 0) + offsets[0]
    suspect[np.searchsorted(offsets, zeros, side="right") - 1] = True
    try:
        raw.cast(pa.string())
    except pa.ArrowInvalid:  # some text is no UTF-8; which one does not say itself cheaply
        suspect |= full
    return suspect & full
