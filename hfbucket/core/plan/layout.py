"""Layout: which shard every exported row goes to, and its place there; and, from that, crops and planned bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hfbucket.config import Config
from hfbucket.core.chunks import chunks
from hfbucket.core.law.buckets import MAX_SIDE_PX, Bucket
from hfbucket.core.law.geometry import Int64s, Words, cover_columns, crop_columns
from hfbucket.core.law.sizes import Sizes
from hfbucket.core.outcomes import EXPORTED
from hfbucket.core.plan import packing
from hfbucket.core.plan.encoding import ENCODE_NONE
from hfbucket.core.plan.model import Int8s, Int16s, Int32s, Plan, Shards
from hfbucket.core.plan.order import in_order
from hfbucket.core.plan.rows import PASSTHROUGH, Rows

Bools = npt.NDArray[np.bool_]
Chunks = Iterator[tuple[Int64s, Int32s]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Eligible:
    """The rows that may get a place: those without another outcome by now, but for what an export holds already."""

    rows: Rows
    #: uint8[n]: codes of core.outcomes.
    outcome: npt.NDArray[np.uint8]
    #: bool[n]: what an export holds; None for nothing.
    apart: Bools | None

    def of(self, at: Int64s | slice) -> Bools:
        """Return which of these rows are eligible."""
        found: Bools = self.outcome[at] == EXPORTED
        return found if self.apart is None else found & ~self.apart[at]

    def chunks(self) -> Chunks:
        """Yield the eligible rows, ascending, and the size of each, some at a time."""
        for here in chunks(len(self.outcome)):
            found = np.flatnonzero(self.of(here))
            yield here.start + found, self.rows.size[here][found]

    def images(self, sizes: int) -> Int64s:
        """Return how many of the rows have each size, int64[sizes]."""
        result = np.zeros(sizes, dtype=np.int64)
        for _, size in self.chunks():
            result += np.bincount(size, minlength=sizes)
        return result


def lay_out(
    eligible: Eligible,
    sizes: Sizes,
    bucket: Int16s,
    buckets: tuple[Bucket, ...],
    config: Config,
    *,
    plan_id: str,
    first_shard: Int64s,
) -> Plan:
    """Return the plan of rows whose outcome is decided: all that are eligible get a place.

    Args:
        bucket: int16[sizes]; -1 for sizes that no eligible row has.
        first_shard: int64[buckets], the number of the first shard of every bucket.
    """
    rows = eligible.rows
    heads = None if config.shuffle is None else rows.words[:, 0]
    members, images = in_order(eligible.chunks, bucket, len(buckets), heads, config.shuffle or 0, len(rows.size))
    return Plan(
        buckets=buckets,
        outcome=eligible.outcome,
        size=rows.size,
        sizes=sizes,
        bucket_of_size=bucket,
        caption_index=_placed_captions(eligible),
        encode=rows.encode,
        members=members,
        shards=_cut(members, images, _PlannedBytes(rows, sizes, bucket, buckets, config), config, first_shard),
        plan_id=plan_id,
    )


def _placed_captions(eligible: Eligible) -> Int8s:
    """Return the caption of every row with a place."""
    result = np.full(len(eligible.outcome), -1, dtype=np.int8)
    for at, _ in eligible.chunks():
        result[at] = eligible.rows.caption_index[at]
    return result


class _PlannedBytes:
    """What rows count for in shard cuts."""

    def __init__(self, rows: Rows, sizes: Sizes, bucket: Int16s, buckets: Sequence[Bucket], config: Config) -> None:
        self._rows = rows
        self._encoded = _encoded_bytes(sizes, bucket, buckets, config)

    def of(self, members: npt.NDArray[np.signedinteger]) -> Int64s:
        """Return the planned bytes of these rows."""
        encoded: Int64s = self._encoded[self._rows.size[members]]
        keeps = self._rows.encode[members] == ENCODE_NONE
        return np.where(keeps, packing.kept_bytes(self._rows.size_bytes[members]), encoded)


def _encoded_bytes(sizes: Sizes, bucket: Int16s, buckets: Sequence[Bucket], config: Config) -> Int64s:
    """Return the planned bytes of images of every size where they are encoded, int64[sizes]."""
    if config.image_mode == PASSTHROUGH:
        # No JPEG has larger sides: such an image ends in encode_errors, here it must only not overflow.
        pixels = np.minimum(sizes.width, MAX_SIDE_PX) * np.minimum(sizes.height, MAX_SIDE_PX)
        return packing.encoded_bytes(pixels, packing.bytes_per_1000_px(packing.FULL_QUALITY, packing.FULL_SUBSAMPLING))
    target_w, target_h = _targets(bucket, buckets)
    return packing.encoded_bytes(target_w * target_h, _k_of_size(sizes, bucket, buckets, config))


def _targets(bucket: Int16s, buckets: Sequence[Bucket]) -> tuple[Int64s, Int64s]:
    """Return the target width and height of every size, int64[sizes]; of unused sizes anything."""
    targets = np.array([(each.w, each.h) for each in buckets], dtype=np.int64)[bucket]
    return targets[:, 0], targets[:, 1]


def _k_of_size(sizes: Sizes, bucket: Int16s, buckets: Sequence[Bucket], config: Config) -> Int64s | int:
    if config.subsampling != "adaptive_scale":
        return packing.bytes_per_1000_px(config.quality, config.subsampling)
    limits = np.array(
        [[packing.fine_chroma_from(side, config.subsampling_threshold) for side in (b.w, b.h)] for b in buckets],
        dtype=np.int64,
    )[bucket]  # int64[sizes, 2]
    is_fine = (sizes.width >= limits[:, 0]) & (sizes.height >= limits[:, 1])
    fine, coarse = (packing.bytes_per_1000_px(config.quality, name) for name in ("4:4:4", "4:2:0"))
    return np.where(is_fine, fine, coarse)


def _cut(
    members: npt.NDArray[np.signedinteger], images: Int64s, planned: _PlannedBytes, config: Config, first_shard: Int64s
) -> Shards:
    """Return the shards of rows in member order.

    Args:
        images: int64[buckets], how many of the rows are in each.
    """
    samples, sizes_bytes, per_bucket = [], [], []
    start = 0
    for count in images.tolist():
        run = members[start : start + count]
        cut = packing.cut((planned.of(run[here]) for here in chunks(count)), config.max_shard_size,
                          config.max_shard_samples)  # fmt: skip
        samples.append(cut[0])
        sizes_bytes.append(cut[1])
        per_bucket.append(len(cut[0]))
        start += count
    bucket = np.repeat(np.arange(len(images)), per_bucket)
    before = np.cumsum([0, *per_bucket])[bucket]
    return Shards(
        bucket=bucket.astype(np.int16),
        number=(np.arange(len(bucket)) - before + first_shard[bucket]).astype(np.int32),
        start=np.cumsum(np.concatenate([np.zeros(1, dtype=np.int64), *samples])),
        planned_bytes=np.concatenate([np.zeros(0, dtype=np.int64), *sizes_bytes]),
    )


def resized_of_sizes(plan: Plan) -> tuple[Int64s, Int64s]:
    """Return widths and heights after the cover resize of images of every size, int64[sizes]; zeros without bucket."""
    fits = plan.bucket_of_size >= 0
    width, height = np.zeros(len(fits), dtype=np.int64), np.zeros(len(fits), dtype=np.int64)
    targets = (side[fits] for side in _targets(plan.bucket_of_size, plan.buckets))
    width[fits], height[fits] = cover_columns(plan.sizes.width[fits], plan.sizes.height[fits], *targets)
    return width, height


def geometry_of(plan: Plan, members: Int64s, words: Words, config: Config) -> dict[str, Int32s]:
    """Return the columns `resized_w`, `resized_h`, `crop_left` and `crop_top` of rows that have a place.

    Args:
        words: uint64[members, >= 3], their digests as `digest_words` gives them.
    """
    size = plan.size[members]
    target_w, target_h = _targets(plan.bucket_of_size[size], plan.buckets)
    resized_w, resized_h = cover_columns(plan.sizes.width[size], plan.sizes.height[size], target_w, target_h)
    left, top = crop_columns(
        resized_w - target_w, resized_h - target_h, words,
        crop=config.crop, corners=config.corners, corner_jitter=config.corner_jitter,
    )  # fmt: skip
    columns = {"resized_w": resized_w, "resized_h": resized_h, "crop_left": left, "crop_top": top}
    return {name: values.astype(np.int32) for name, values in columns.items()}
