"""Geometry: cover resize and crop box, for one image and for columns of images (FORMAT section 4).

The scalar and the array functions say the same in integers; tests hold them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Int64s = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

ALL_CORNERS = (0, 1, 2, 3)
"""0 top left, 1 top right, 2 bottom left, 3 bottom right: bit 0 is right, bit 1 is bottom."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """How one image reaches its bucket; pixels. The crop box is (left, top, left + w, top + h) in the resized image."""

    resized_w: int
    resized_h: int
    crop_left: int
    crop_top: int
    #: The bucket's scaled size, which is the crop's.
    w: int
    h: int

    @property
    def uncropped(self) -> Geometry:
        """The same with all of the resized image."""
        return replace(self, crop_left=0, crop_top=0, w=self.resized_w, h=self.resized_h)


def cover(w: int, h: int, target_w: int, target_h: int) -> tuple[int, int]:
    """Return the (width, height) in pixels of the image (w, h) resized to just cover the target."""
    if target_w * h >= target_h * w:
        return target_w, max(target_h, _round_half_up(h * target_w, w))
    return max(target_w, _round_half_up(w * target_h, h)), target_h


def _round_half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def geometry(
    w: int,
    h: int,
    target_w: int,
    target_h: int,
    digest: bytes,
    *,
    crop: str = "corner",
    corners: Sequence[int] = ALL_CORNERS,
    corner_jitter: int = 0,
) -> Geometry:
    """Return the geometry of one image of w x h pixels (after EXIF orientation) in its bucket.

    Args:
        digest: sha256 of the image_id, 32 bytes.
    """
    resized_w, resized_h = cover(w, h, target_w, target_h)
    slack_x, slack_y = resized_w - target_w, resized_h - target_h
    if crop == "center":
        left, top = slack_x // 2, slack_y // 2
    else:
        pick, random_x, random_y = (int.from_bytes(digest[at : at + 8], "big") for at in (0, 8, 16))
        corner = corners[pick % len(corners)]
        jitter_x = random_x % (min(corner_jitter, slack_x) + 1)
        jitter_y = random_y % (min(corner_jitter, slack_y) + 1)
        left = slack_x - jitter_x if corner & 1 else jitter_x
        top = slack_y - jitter_y if corner & 2 else jitter_y
    return Geometry(resized_w=resized_w, resized_h=resized_h, crop_left=left, crop_top=top, w=target_w, h=target_h)


def cover_columns(w: Int64s, h: Int64s, target_w: Int64s, target_h: Int64s) -> tuple[Int64s, Int64s]:
    """Return `cover` of columns: resized widths and heights, int64[n]. Sides must lie in 1 .. 2**31 - 1."""
    by_width = target_w * h >= target_h * w
    resized_w = np.where(by_width, target_w, np.maximum(target_w, (2 * w * target_h + h) // (2 * h)))
    resized_h = np.where(by_width, np.maximum(target_h, (2 * h * target_w + w) // (2 * w)), target_h)
    return resized_w, resized_h


def crop_columns(
    slack_x: Int64s, slack_y: Int64s, words: Words, *, crop: str, corners: Sequence[int], corner_jitter: int
) -> tuple[Int64s, Int64s]:
    """Return the crop boxes' lefts and tops, int64[n].

    Args:
        words: uint64[n, >= 3], the digests as `digest_words` gives them.
    """
    if crop == "center":
        return slack_x // 2, slack_y // 2
    corner = np.asarray(corners, dtype=np.int64)[words[:, 0] % np.uint64(len(corners))]
    jitter_x = _jitter(words[:, 1], slack_x, corner_jitter)
    jitter_y = _jitter(words[:, 2], slack_y, corner_jitter)
    left = np.where(corner & 1, slack_x - jitter_x, jitter_x)
    top = np.where(corner & 2, slack_y - jitter_y, jitter_y)
    return left, top


def _jitter(random: Words, slack: Int64s, limit: int) -> Int64s:
    if limit == 0:
        return np.zeros_like(slack)
    return (random % (np.minimum(limit, slack) + 1).astype(np.uint64)).astype(np.int64)


def digest_words(digest: pa.Array) -> Words:
    """Return digests (fixed_size_binary(32) without nulls) as uint64[n, 4], each 8 bytes read big-endian."""
    data = np.frombuffer(digest.buffers()[1], dtype=">u8").reshape(-1, 4)
    return data[digest.offset : digest.offset + len(digest)].astype(np.uint64)
