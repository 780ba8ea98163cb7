"""The figures of a plan's report: counts, crop loss, other bases, bytes and time, from the plan's arrays."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from hfbucket.config import Config
from hfbucket.core.card.statistics import crop_loss_ppm
from hfbucket.core.law.assign import assign
from hfbucket.core.law.buckets import Bucket, Protos, scaled_buckets
from hfbucket.core.law.sizes import Sizes
from hfbucket.core.outcomes import CODE, EXPORTED, OUTCOMES, UNDECODABLE
from hfbucket.core.plan.model import ENCODE_FULL, ENCODE_NONE, Plan
from hfbucket.core.plan.report import BaseOption, BaseTable, BucketLine
from hfbucket.errors import ConfigError

Int64s = npt.NDArray[np.int64]

EXAMPLES: Final = 3
"""Image ids shown for every reason and for the worst crops."""

COMMON_BASES: Final = (1024, 512, 256)
LOWER_BASES: Final = (1024, 768, 512, 384, 256, 128, 64)

# Nanoseconds of one core: decoding and resizing a source pixel, resizing and encoding a target pixel, and hashing,
# checking and writing a byte. Pillow with libjpeg-turbo on a current x86 core; an estimate, no promise.
_SOURCE_PIXEL_NS, _TARGET_PIXEL_NS, _BYTE_NS = 14, 12, 4


def exported_loss_ppm(plan: Plan) -> tuple[Int64s, Int64s]:
    """Return the rows that are exported, and the crop loss of each in millionths."""
    rows = np.flatnonzero(plan.outcome == EXPORTED)
    w, h = (np.array([getattr(b, side) for b in plan.buckets], dtype=np.int64)[plan.bucket[rows]] for side in "wh")
    resized_w, resized_h = (getattr(plan, name)[rows].astype(np.int64) for name in ("resized_w", "resized_h"))
    return rows, crop_loss_ppm(w, h, resized_w, resized_h)


def base_tables(plan: Plan, rows: Int64s, loss_ppm: Int64s, batch_size: int) -> tuple[BaseTable, ...]:
    """Return one table per base that has images, largest base first."""
    number = plan.bucket[rows]
    images = np.bincount(number, minlength=len(plan.buckets))
    loss = np.zeros(len(plan.buckets), dtype=np.int64)
    np.add.at(loss, number, loss_ppm)
    worst = np.zeros(len(plan.buckets), dtype=np.int64)
    np.maximum.at(worst, number, loss_ppm)
    lines: dict[int, list[BucketLine]] = {}
    # A stable sort: of equals the first in table order comes first.
    for at in np.argsort(-images, kind="stable"):
        count, bucket = int(images[at]), plan.buckets[at]
        if count:
            line = BucketLine(
                bucket_id=bucket.bucket_id, w=bucket.w, h=bucket.h, images=count,
                share_ppm=count * 10**6 // len(rows), mean_crop_loss_ppm=int(loss[at]) // count,
                worst_crop_loss_ppm=int(worst[at]), batches=count // batch_size, left_over=count % batch_size,
            )  # fmt: skip
            lines.setdefault(bucket.base, []).append(line)
    return tuple(
        BaseTable(base=base, images=sum(line.images for line in lines[base]), buckets=tuple(lines[base]))
        for base in sorted(lines, reverse=True)
    )


def first_rows(plan: Plan) -> dict[str, Int64s]:
    """Return the first rows of every reason that some image is left out for, in the order of OUTCOMES."""
    found = {name: np.flatnonzero(plan.outcome == CODE[name])[:EXAMPLES] for name in OUTCOMES[1:]}
    return {name: rows for name, rows in found.items() if len(rows)}


def worst_rows(rows: Int64s, loss_ppm: Int64s) -> Int64s:
    """Return positions in `rows` of those that lose most, worst first, of equals the first in source order."""
    if not len(rows):
        return rows
    least = np.partition(loss_ppm, -min(EXAMPLES, len(rows)))[-min(EXAMPLES, len(rows))]
    candidates = np.flatnonzero((loss_ppm >= least) & (loss_ppm > 0))
    return candidates[np.argsort(-loss_ppm[candidates], kind="stable")][:EXAMPLES]


def too_many_failures(plan: Plan, limit: Fraction) -> bool:
    """Return whether more of the images seen are undecodable than the limit allows."""
    failed = sum(int(np.count_nonzero(plan.outcome == CODE[name])) for name in UNDECODABLE)
    return Fraction(failed, max(len(plan.outcome), 1)) > limit


def rescued_by_base(sizes: Sizes, config: Config, protos: Protos) -> dict[int, int]:
    """Return for every common base below the lowest of the settings how many of the images it would take, if any."""
    options = (_option((base,), sizes, config, protos) for base in LOWER_BASES if base < min(config.base))
    return {option.bases[0]: option.images for option in options if option.images}


def base_options(sizes: Sizes, config: Config, protos: Protos) -> tuple[BaseOption, ...]:
    """Return what each of the common bases and their combinations would do with images of these sizes."""
    chosen = [bases for count in range(1, len(COMMON_BASES) + 1) for bases in combinations(COMMON_BASES, count)]
    return tuple(_option(bases, sizes, config, protos) for bases in chosen)


def _option(bases: tuple[int, ...], sizes: Sizes, config: Config, protos: Protos) -> BaseOption:
    try:
        buckets: tuple[Bucket, ...] = scaled_buckets(bases, protos, config.divisible)
    except ConfigError:  # these protos leave no bucket at these bases, or none that a JPEG can hold
        buckets = ()
    given = assign(sizes.width, sizes.height, buckets, metric=config.metric, max_crop=config.max_crop)
    outcome = {name: int(sizes.images[given.outcome == CODE[name]].sum()) for name in OUTCOMES}
    fits = given.bucket >= 0
    filled = np.zeros(len(buckets), dtype=np.int64)
    np.add.at(filled, given.bucket[fits], sizes.images[fits])
    return BaseOption(
        bases=bases, images=outcome["images_exported"], skipped_too_small=outcome["skipped_too_small"],
        skipped_too_cropped=outcome["skipped_too_cropped"], buckets=int(np.count_nonzero(filled)),
        under_filled=int(np.count_nonzero((filled > 0) & (filled < config.batch_size))),
    )  # fmt: skip


def output_bytes(plan: Plan) -> int:
    """Return about how many bytes the shards will have."""
    return int(plan.planned_bytes.sum())


def build_seconds(plan: Plan, source_pixels: Int64s, size_bytes: Int64s, workers: int) -> int:
    """Return about how many seconds writing takes, at least 1.

    Args:
        source_pixels: int64[rows], 0 where unknown.
        size_bytes: int64[rows], of the encoded source images.
    """
    exported = plan.outcome == EXPORTED
    encoded = exported & (plan.encode != ENCODE_NONE)
    resized_pixels = plan.resized_w.astype(np.int64) * plan.resized_h
    target_pixels = np.where(plan.encode == ENCODE_FULL, source_pixels, resized_pixels)[encoded]
    nanoseconds = (
        int(source_pixels[encoded].sum()) * _SOURCE_PIXEL_NS
        + int(target_pixels.sum()) * _TARGET_PIXEL_NS
        + (int(size_bytes[exported].sum()) + output_bytes(plan)) * _BYTE_NS
    )
    return max(1, nanoseconds // 10**9 // workers)
