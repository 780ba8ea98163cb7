"""`hfbucket explain`: one image size through the bucket law."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import click

from hfbucket.cli.options import SettingsCommand, as_text, config_options
from hfbucket.cli.output import json_option, show
from hfbucket.config import Config
from hfbucket.core.keys import digest_of
from hfbucket.core.law.buckets import scaled_buckets
from hfbucket.core.law.explain import Explanation, Score, explain
from hfbucket.core.law.geometry import Geometry, geometry
from hfbucket.stages.plan import read_protos

_SETTINGS = ("base", "protos", "divisible", "metric", "max_crop", "crop", "corners", "corner_jitter")
_CORNER_NAMES = ("top left", "top right", "bottom left", "bottom right")
_SCORE_NAMES = {"min-crop": "px cropped", "nearest-log": "aspects' ratio", "nearest-linear": "aspects' difference"}
_FIT_WORDS = {"fits": "", "too_small": "image too small", "too_cropped": "crops more than --max-crop"}


def _read_size(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    """Return (width, height) in pixels of `WxH`."""
    match = re.fullmatch(r"([1-9]\d{0,17})[xX]([1-9]\d{0,17})", value.strip())
    if match is None:
        raise click.BadParameter(f"must be the size of an image in pixels such as 4000x3000, got {value!r}", ctx, param)
    return int(match[1]), int(match[2])


@click.command(cls=SettingsCommand)
@click.argument("size", callback=_read_size, metavar="WxH")
@click.option(
    "--image-id", type=as_text, metavar="ID", help="Show the crop of this image: its corner comes from its id."
)
@config_options(*_SETTINGS)
@json_option
def command(size: tuple[int, int], image_id: str | None, config: Config, as_json: bool) -> None:
    """Show every bucket's score for an image of WxH pixels (after EXIF rotation), the choice, and the crop."""
    buckets = scaled_buckets(config.base, read_protos(config), config.divisible)
    result = explain(*size, buckets, metric=config.metric, max_crop=config.max_crop)
    crops = _crops(result, config, image_id)
    show(_data(result, crops), as_json=as_json, text=lambda: _text(result, crops, config))


def _crops(result: Explanation, config: Config, image_id: str | None) -> dict[str, Geometry]:
    """Return the crop by what decides it: the image, the center, or each corner an image may get."""
    bucket = result.chosen
    if bucket is None:
        return {}
    size = (result.width, result.height, bucket.w, bucket.h)
    if image_id is not None:
        digest = digest_of(image_id)
        jitter = config.corner_jitter
        return {image_id: geometry(*size, digest, crop=config.crop, corners=config.corners, corner_jitter=jitter)}
    if config.crop == "center":
        return {"center": geometry(*size, bytes(32), crop="center")}
    return {_CORNER_NAMES[corner]: geometry(*size, bytes(32), corners=(corner,)) for corner in config.corners}


def _data(result: Explanation, crops: dict[str, Geometry]) -> dict[str, Any]:
    chosen = result.chosen
    return {
        "width": result.width,
        "height": result.height,
        "outcome": result.outcome if chosen is None else None,
        "bucket_id": None if chosen is None else chosen.bucket_id,
        "crops": {
            name: {"resized_w": crop.resized_w, "resized_h": crop.resized_h, "crop_left": crop.crop_left,
                   "crop_top": crop.crop_top, "w": crop.w, "h": crop.h}
            for name, crop in crops.items()
        },
        "buckets": [_score_data(score) for score in result.scores],
    }  # fmt: skip


def _score_data(score: Score) -> dict[str, Any]:
    bucket = score.bucket
    return {
        "bucket_id": bucket.bucket_id,
        "base_resolution": bucket.base,
        "w": bucket.w,
        "h": bucket.h,
        "fit": score.fit,
        "score": str(score.score),
        "crop_share": str(score.crop_share),
        "chosen": score.chosen,
    }


def _text(result: Explanation, crops: dict[str, Geometry], config: Config) -> str:
    lines = [
        f"{result.width}x{result.height}, metric {config.metric} (smallest wins; of equals the first in the table)"
    ]
    for base in config.base:
        scores = [score for score in result.scores if score.bucket.base == base]
        # Stable: what fits by score, of equals in table order, then the rest in table order.
        ranked = sorted((score for score in scores if score.fit == "fits"), key=lambda score: score.score)
        rest = [score for score in scores if score.fit != "fits"]
        lines += ["", f"base {base}", f"  {'bucket':<20}{'target':>11}{_SCORE_NAMES[config.metric]:>22}{'crop':>9}"]
        lines += [_line(score) for score in (*ranked, *rest)]
    return "\n".join([*lines, "", *_choice(result, crops, config)])


def _line(score: Score) -> str:
    bucket = score.bucket
    note = "  <- chosen" if score.chosen else f"  {_FIT_WORDS[score.fit]}"
    crop = f"{_decimal(100 * score.crop_share, 2)}%"
    return (
        f"  {bucket.bucket_id:<20}{f'{bucket.w}x{bucket.h}':>11}{_decimal(score.score, 4):>22}{crop:>9}{note}".rstrip()
    )


def _decimal(value: Fraction, digits: int) -> str:
    scaled = round(value * 10**digits)
    return f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"


def _choice(result: Explanation, crops: dict[str, Geometry], config: Config) -> list[str]:
    bucket = result.chosen
    if bucket is None:
        return [f"No bucket: {result.outcome}."]
    some = next(iter(crops.values()))
    size = f"{some.resized_w}x{some.resized_h}, cropped to {bucket.w}x{bucket.h}"
    lines = [f"Bucket {bucket.bucket_id}: resized to {size}."]
    lines += [f"  crop at ({crop.crop_left}, {crop.crop_top}): {name}" for name, crop in crops.items()]
    if config.corner_jitter and crops.keys() <= set(_CORNER_NAMES):
        lines.append(f"  moved inward by up to {config.corner_jitter} px; --image-id ID shows one image's crop")
    return lines
