"""The figures of a plan's report: counts, crop loss, other bases, bytes and time, from the plan's arrays."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from hfbucket.config import Config
from hfbucket.core.card.statistics import crop_loss_ppm
from hfbucket.core.chunks import chunks, rows_where
from hfbucket.core.law.assign import assign
from hfbucket.core.law.buckets import Bucket, Protos, scaled_buckets
from hfbucket.core.law.sizes import Sizes
from hfbucket.core.outcomes import CODE, EXPORTED, OUTCOMES, UNDECODABLE
from hfbucket.core.plan.encoding import ENCODE_BUCKET, ENCODE_FULL
from hfbucket.core.plan.layout import resized_of_sizes
from hfbucket.core.plan.model import Plan
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What a plan comes to by size; arrays are over the plan's sizes."""

    #: Exported images, and those of them that are encoded at the bucket's size and at their own.
    exported: Int64s
    encoded: Int64s
    encoded_full: Int64s
    #: Images that only the choice of bases decides about, and of those the ones that are too small.
    open_to_bases: Int64s
    too_small: Int64s
    #: Crop loss in millionths, and width and height after the cover resize; zeros where no image is exported.
    loss_ppm: Int64s
    resized_w: Int64s
    resized_h: Int64s


def figures_of(plan: Plan) -> Figures:
    """Return what a plan comes to."""
    kinds = len(plan.sizes.width)
    by_outcome = {
        CODE[name]: np.zeros(kinds, dtype=np.int64)
        for name in ("images_exported", "skipped_too_small", "skipped_too_cropped", "skipped_rare_bucket")
    }
    by_encode = {kind: np.zeros(kinds, dtype=np.int64) for kind in (ENCODE_BUCKET, ENCODE_FULL)}
    for here in chunks(len(plan.outcome)):
        outcome, size, encode = plan.outcome[here], plan.size[here], plan.encode[here]
        for code, images in by_outcome.items():
            images += np.bincount(size[outcome == code], minlength=kinds)
        for kind, images in by_encode.items():
            images += np.bincount(size[(outcome == EXPORTED) & (encode == kind)], minlength=kinds)
    resized_w, resized_h = resized_of_sizes(plan)
    loss_ppm, fits = np.zeros(kinds, dtype=np.int64), np.flatnonzero(plan.bucket_of_size >= 0)
    targets = np.array([(bucket.w, bucket.h) for bucket in plan.buckets], dtype=np.int64)
    w, h = targets[plan.bucket_of_size[fits]].T
    loss_ppm[fits] = crop_loss_ppm(w, h, resized_w[fits], resized_h[fits])
    return Figures(
        exported=by_outcome[EXPORTED],
        encoded=by_encode[ENCODE_BUCKET],
        encoded_full=by_encode[ENCODE_FULL],
        open_to_bases=np.sum(list(by_outcome.values()), axis=0),
        too_small=by_outcome[CODE["skipped_too_small"]],
        loss_ppm=loss_ppm,
        resized_w=resized_w,
        resized_h=resized_h,
    )


def base_tables(plan: Plan, found: Figures, batch_size: int) -> tuple[BaseTable, ...]:
    """Return one table per base that has images, largest base first."""
    used = np.flatnonzero(found.exported)
    number, total = plan.bucket_of_size[used], int(found.exported.sum())
    images, loss, worst = (np.zeros(len(plan.buckets), dtype=np.int64) for _ in range(3))
    np.add.at(images, number, found.exported[used])
    np.add.at(loss, number, found.loss_ppm[used] * found.exported[used])
    np.maximum.at(worst, number, found.loss_ppm[used])
    lines: dict[int, list[BucketLine]] = {}
    # A stable sort: of equals the first in table order comes first.
    for at in np.argsort(-images, kind="stable"):
        count, bucket = int(images[at]), plan.buckets[at]
        if count:
            line = BucketLine(
                bucket_id=bucket.bucket_id, w=bucket.w, h=bucket.h, images=count,
                share_ppm=count * 10**6 // total, mean_crop_loss_ppm=int(loss[at]) // count,
                worst_crop_loss_ppm=int(worst[at]), batches=count // batch_size, left_over=count % batch_size,
            )  # fmt: skip
            lines.setdefault(bucket.base, []).append(line)
    return tuple(
        BaseTable(base=base, images=sum(line.images for line in lines[base]), buckets=tuple(lines[base]))
        for base in sorted(lines, reverse=True)
    )


def first_rows(plan: Plan) -> dict[str, Int64s]:
    """Return the first rows of every reason that some image is left out for, in the order of OUTCOMES."""
    present = np.array(plan.images()) > 0
    codes = np.arange(len(OUTCOMES))
    return {
        name: rows_where(plan.outcome, codes == code, EXAMPLES)
        for code, name in enumerate(OUTCOMES)
        if code != EXPORTED and present[code]
    }


def worst_rows(plan: Plan, found: Figures) -> Int64s:
    """Return the exported rows that lose most, worst first, of equals the first in source order."""
    worst = np.zeros(0, dtype=np.int64)
    for here in chunks(len(plan.outcome)):
        loss = np.where(plan.outcome[here] == EXPORTED, found.loss_ppm[plan.size[here]], 0)
        least = np.partition(loss, -min(EXAMPLES, len(loss)))[-min(EXAMPLES, len(loss))]
        candidates = here.start + np.flatnonzero((loss >= least) & (loss > 0))
        worst = np.concatenate([worst, candidates])
        worst = worst[np.argsort(-found.loss_ppm[plan.size[worst]], kind="stable")][:EXAMPLES]
    return worst


def too_many_failures(plan: Plan, limit: Fraction) -> bool:
    """Return whether more of the images seen are undecodable than the limit allows."""
    images = plan.images()
    failed = sum(images[CODE[name]] for name in UNDECODABLE)
    return Fraction(failed, max(len(plan.outcome), 1)) > limit


def rescued_by_base(sizes: Sizes, images: Int64s, config: Config, protos: Protos) -> dict[int, int]:
    """Return for every common base below the lowest of the settings how many of the images it would take, if any.

    Args:
        images: int64[sizes], how many images there are of each size.
    """
    options = (_option((base,), sizes, images, config, protos) for base in LOWER_BASES if base < min(config.base))
    return {option.bases[0]: option.images for option in options if option.images}


def base_options(sizes: Sizes, images: Int64s, config: Config, protos: Protos) -> tuple[BaseOption, ...]:
    """Return what each of the common bases and their combinations would do with so many images of these sizes."""
    chosen = [bases for count in range(1, len(COMMON_BASES) + 1) for bases in combinations(COMMON_BASES, count)]
    return tuple(_option(bases, sizes, images, config, protos) for bases in chosen)


def _option(bases: tuple[int, ...], sizes: Sizes, images: Int64s, config: Config, protos: Protos) -> BaseOption:
    try:
        buckets: tuple[Bucket, ...] = scaled_buckets(bases, protos, config.divisible)
    except ConfigError:  # these protos leave no bucket at these bases, or none that a JPEG can hold
        buckets = ()
    given = assign(sizes.width, sizes.height, buckets, metric=config.metric, max_crop=config.max_crop)
    outcome = {name: int(images[given.outcome == CODE[name]].sum()) for name in OUTCOMES}
    fits = given.bucket >= 0
    filled = np.zeros(len(buckets), dtype=np.int64)
    np.add.at(filled, given.bucket[fits], images[fits])
    return BaseOption(
        bases=bases, images=outcome["images_exported"], skipped_too_small=outcome["skipped_too_small"],
        skipped_too_cropped=outcome["skipped_too_cropped"], buckets=int(np.count_nonzero(filled)),
        under_filled=int(np.count_nonzero((filled > 0) & (filled < config.batch_size))),
    )  # fmt: skip


def output_bytes(plan: Plan) -> int:
    """Return about how many bytes the shards will have."""
    return int(plan.shards.planned_bytes.sum())


def build_seconds(plan: Plan, found: Figures, source_bytes: int, workers: int) -> int:
    """Return about how many seconds writing takes, at least 1.

    Args:
        source_bytes: of the encoded source images that are exported.
    """
    source_pixels = plan.sizes.width * plan.sizes.height
    full = int((source_pixels * found.encoded_full).sum())
    nanoseconds = (
        (int((source_pixels * found.encoded).sum()) + full) * _SOURCE_PIXEL_NS
        + (int((found.resized_w * found.resized_h * found.encoded).sum()) + full) * _TARGET_PIXEL_NS
        + (source_bytes + output_bytes(plan)) * _BYTE_NS
    )
    return max(1, nanoseconds // 10**9 // workers)
