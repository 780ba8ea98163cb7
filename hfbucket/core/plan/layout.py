"""Layout: shard, place, crop and planned bytes of every row that is exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from hfbucket.config import Config
from hfbucket.core.law.buckets import MAX_SIDE_PX, Bucket
from hfbucket.core.law.geometry import Int64s, cover_columns, crop_columns
from hfbucket.core.law.sizes import Sizes
from hfbucket.core.plan import packing
from hfbucket.core.plan.model import ENCODE_NONE, Plan
from hfbucket.core.plan.order import shuffle_keys
from hfbucket.core.plan.rows import Rows

Int32s = npt.NDArray[np.int32]
_Scalar = TypeVar("_Scalar", bound=np.generic)

_CHUNK: Final = 1 << 18  # rows for which temporaries live at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """The rows that are exported: positions int64[kept] in source order, and the size of each, int32[kept]."""

    rows: Int64s
    size: Int32s
    sizes: Sizes
    #: int16[sizes]; -1 for sizes that no kept row has.
    bucket: npt.NDArray[np.int16]


def lay_out(
    rows: Rows,
    kept: Kept,
    outcome: npt.NDArray[np.uint8],
    buckets: tuple[Bucket, ...],
    config: Config,
    *,
    plan_id: str,
    first_shard: Int64s,
) -> Plan:
    """Return the plan of rows whose outcome and bucket are decided.

    Args:
        first_shard: int64[buckets], the number of the first shard of every bucket.
    """
    planned = _planned_bytes(rows, kept, buckets, config)
    shard, position = _pack(rows, kept, planned, config)
    shard += first_shard[kept.bucket[kept.size]].astype(np.int32)
    resized_w, resized_h, left, top = _geometry(rows, kept, buckets, config)

    def spread(values: npt.NDArray[_Scalar], elsewhere: int) -> npt.NDArray[_Scalar]:
        result = np.full(len(outcome), elsewhere, dtype=values.dtype)
        result[kept.rows] = values
        return result

    return Plan(
        buckets=buckets,
        outcome=outcome,
        bucket=spread(kept.bucket[kept.size], -1),
        shard=spread(shard, -1),
        position=spread(position, -1),
        caption_index=spread(rows.caption_index[kept.rows], -1),
        encode=spread(rows.encode[kept.rows], 0),
        resized_w=spread(resized_w, 0),
        resized_h=spread(resized_h, 0),
        crop_left=spread(left, 0),
        crop_top=spread(top, 0),
        planned_bytes=spread(planned, 0),
        plan_id=plan_id,
    )


def _targets(kept: Kept, buckets: Sequence[Bucket]) -> tuple[Int64s, Int64s]:
    """Return the target width and height of every size, int64[sizes]; of unused sizes anything."""
    targets = np.array([(bucket.w, bucket.h) for bucket in buckets], dtype=np.int64)[kept.bucket]
    return targets[:, 0], targets[:, 1]


def _planned_bytes(rows: Rows, kept: Kept, buckets: Sequence[Bucket], config: Config) -> Int64s:
    if config.image_mode == "passthrough_jpeg":
        # No JPEG has larger sides: such an image ends in encode_errors, here it must only not overflow.
        pixels = np.minimum(kept.sizes.width, MAX_SIDE_PX) * np.minimum(kept.sizes.height, MAX_SIDE_PX)
        k = packing.bytes_per_1000_px(packing.FULL_QUALITY, packing.FULL_SUBSAMPLING)
        as_is = packing.kept_bytes(rows.size_bytes[kept.rows])
        return np.where(rows.encode[kept.rows] == ENCODE_NONE, as_is, packing.encoded_bytes(pixels, k)[kept.size])
    target_w, target_h = _targets(kept, buckets)
    return packing.encoded_bytes(target_w * target_h, _k_of_size(kept, buckets, config))[kept.size]


def _k_of_size(kept: Kept, buckets: Sequence[Bucket], config: Config) -> Int64s | int:
    if config.subsampling != "adaptive_scale":
        return packing.bytes_per_1000_px(config.quality, config.subsampling)
    limits = np.array(
        [[packing.fine_chroma_from(side, config.subsampling_threshold) for side in (b.w, b.h)] for b in buckets],
        dtype=np.int64,
    )[kept.bucket]  # int64[sizes, 2]
    is_fine = (kept.sizes.width >= limits[:, 0]) & (kept.sizes.height >= limits[:, 1])
    fine, coarse = (packing.bytes_per_1000_px(config.quality, name) for name in ("4:4:4", "4:2:0"))
    return np.where(is_fine, fine, coarse)


def _pack(rows: Rows, kept: Kept, planned: Int64s, config: Config) -> tuple[Int32s, Int32s]:
    """Return shard and position of every kept row: sorted by bucket, then by the order of the settings, then cut."""
    bucket = kept.bucket[kept.size]
    if config.shuffle is None:
        order = np.argsort(bucket, kind="stable")
    else:
        order = np.argsort(shuffle_keys(rows.words[kept.rows, 0], config.shuffle), kind="stable")
        order = order[np.argsort(bucket[order], kind="stable")]
    shard, position = np.empty(len(bucket), dtype=np.int32), np.empty(len(bucket), dtype=np.int32)
    start = 0
    for count in np.bincount(bucket).tolist():
        run = order[start : start + count]
        shard[run], position[run] = packing.cut(planned[run], config.max_shard_size, config.max_shard_samples)
        start += count
    return shard, position


def _geometry(rows: Rows, kept: Kept, buckets: Sequence[Bucket], config: Config) -> tuple[Int32s, ...]:
    """Return resized widths and heights, crop lefts and tops of every kept row."""
    target_w, target_h = _targets(kept, buckets)
    resized_w, resized_h = cover_columns(kept.sizes.width, kept.sizes.height, target_w, target_h)
    slack_x, slack_y = resized_w - target_w, resized_h - target_h
    left, top = np.empty(len(kept.rows), dtype=np.int32), np.empty(len(kept.rows), dtype=np.int32)
    for start in range(0, len(kept.rows), _CHUNK):
        here = slice(start, start + _CHUNK)
        size = kept.size[here]
        left[here], top[here] = crop_columns(
            slack_x[size], slack_y[size], rows.words[kept.rows[here]],
            crop=config.crop, corners=config.corners, corner_jitter=config.corner_jitter,
        )  # fmt: skip
    return resized_w.astype(np.int32)[kept.size], resized_h.astype(np.int32)[kept.size], left, top
