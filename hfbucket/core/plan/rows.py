"""What planning needs of the index: compact arrays, filled one piece of the index at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.config import Config
from hfbucket.core.law.geometry import Words, digest_words
from hfbucket.core.law.sizes import SizeNumbers
from hfbucket.core.outcomes import CODE, EXPORTED, OUTCOMES
from hfbucket.core.plan.captions import Choice, select
from hfbucket.core.plan.encoding import ENCODE_BUCKET, ENCODE_FULL, ENCODE_NONE
from hfbucket.core.plan.weights import Weights

Int64s = npt.NDArray[np.int64]

PASSTHROUGH: Final = "passthrough_jpeg"

_ALWAYS: Final = ("digest", "width", "height", "outcome", "captions")
_WHERE_BYTES_ARE_KEPT: Final = ("size_bytes", "format", "orientation", "color")

MAX_SIDE_PX: Final = 2**31 - 1
"""The largest side a plan counts with; no codec has larger ones. Beyond is `skipped_too_large`."""


def columns_for(config: Config) -> tuple[str, ...]:
    """Return the columns of the index that a plan depends on."""
    return (*_ALWAYS, *_WHERE_BYTES_ARE_KEPT) if config.image_mode == PASSTHROUGH else _ALWAYS


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Arrays over index rows in source order: 14 bytes a row, and 9 more where source bytes are kept."""

    #: uint64[n, words]: the digests' first bytes, 8 a word, big-endian.
    words: Words
    #: Which of `sizes` each image has; of images that cannot be read that of 0 x 0 pixels.
    size: npt.NDArray[np.int32]
    numbers: SizeNumbers
    #: 0 unless source bytes are kept.
    size_bytes: Int64s
    #: Codes of core.outcomes, as far as they are decided without a bucket; 0 is still eligible.
    outcome: npt.NDArray[np.uint8]
    #: The place in the priority of the variant that is selected, -1 for none.
    caption_index: npt.NDArray[np.int8]
    #: ENCODE_BUCKET, ENCODE_NONE or ENCODE_FULL.
    encode: npt.NDArray[np.int8]
    caption_bytes: Weights = field(default_factory=Weights)

    @classmethod
    def empty(cls, rows: int, config: Config, *, words: int = 1) -> Rows:
        """Return arrays of this length to `put` pieces into, with so many words of each digest."""
        keeps_bytes = config.image_mode == PASSTHROUGH
        return cls(
            words=np.zeros((rows, words), dtype=np.uint64),
            size=np.zeros(rows, dtype=np.int32),
            numbers=SizeNumbers(),
            size_bytes=np.zeros(rows, dtype=np.int64) if keeps_bytes else np.broadcast_to(np.int64(0), rows),
            outcome=np.zeros(rows, dtype=np.uint8),
            caption_index=np.zeros(rows, dtype=np.int8),
            encode=np.zeros(rows, dtype=np.int8) if keeps_bytes else np.broadcast_to(np.int8(ENCODE_BUCKET), rows),
        )

    def put(self, start: int, piece: pa.Table, config: Config, choice: Choice) -> None:
        """Fill in the rows from `start` on.

        Args:
            piece: `columns_for(config)` of rows of the index.
            choice: of the captions of that index.

        Raises:
            ValueError: a row has an unknown outcome, or neither an outcome nor a size.
        """
        here = slice(start, start + piece.num_rows)
        words = digest_words(pa.concat_arrays([pa.array([], pa.binary(32)), *piece["digest"].chunks]))
        self.words[here] = words[:, : self.words.shape[1]]
        self.caption_index[here] = select(piece["captions"], words, choice)
        heavy = pc.sum(pc.binary_length(pc.list_flatten(piece["captions"]))).as_py() or 0
        self.caption_bytes.add(start, piece.num_rows, heavy)
        outcome = _outcome(piece["outcome"])
        width, height = (_ints(piece[name]) for name in ("width", "height"))
        if np.any((outcome == EXPORTED) & ((width < 1) | (height < 1))):
            raise ValueError("index: a row without an outcome must have a width and a height of at least 1 pixel")
        too_large = (outcome == EXPORTED) & ((width > MAX_SIDE_PX) | (height > MAX_SIDE_PX))
        outcome[too_large] = CODE["skipped_too_large"]
        known = outcome == EXPORTED
        self.size[here] = self.numbers.number(np.where(known, width, 0), np.where(known, height, 0))
        if config.image_mode == PASSTHROUGH:
            self.size_bytes[here] = piece["size_bytes"].to_numpy()
            is_jpeg = _equal(piece["format"], "jpeg")
            self.encode[here] = np.where(is_jpeg & _keeps_meaning(piece, config), ENCODE_NONE, ENCODE_FULL)
            if config.not_jpeg == "skip":
                outcome[known & ~is_jpeg] = CODE["skipped_not_jpeg"]
        self.outcome[here] = outcome


def _outcome(names: pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    codes = pc.index_in(names, value_set=pa.array(OUTCOMES))
    if codes.null_count != names.null_count:
        unknown = pc.unique(names.filter(pc.and_(codes.is_null(), names.is_valid()))).to_pylist()
        raise ValueError(f"index: outcome must be null or one of {', '.join(OUTCOMES)}, got {unknown}")
    filled: npt.NDArray[np.uint8] = codes.fill_null(EXPORTED).to_numpy().astype(np.uint8)
    return filled


def _ints(column: pa.ChunkedArray) -> Int64s:
    values: Int64s = column.fill_null(0).to_numpy()
    return values


def _equal(column: pa.ChunkedArray, value: str) -> npt.NDArray[np.bool_]:
    equal: npt.NDArray[np.bool_] = pc.equal(column, value).fill_null(False).to_numpy()
    return equal


def _keeps_meaning(piece: pa.Table, config: Config) -> npt.NDArray[np.bool_]:
    """Return where a JPEG's bytes mean the same to every reader, or the user wants them kept.

    Stripping metadata takes the orientation with it, so a rotated image's bytes cannot be kept then.
    """
    upright: npt.NDArray[np.bool_] = piece["orientation"].fill_null(1).to_numpy() == 1
    plain = _equal(piece["color"], "rgb") | _equal(piece["color"], "gray")
    return plain if config.oriented == "keep" and not config.strip_metadata else plain & upright
