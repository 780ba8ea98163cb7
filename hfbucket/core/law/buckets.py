"""Buckets: proto tables and what they scale to at a base resolution (FORMAT section 2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hfbucket.errors import ConfigError

PROTO_BASE: Final = 1024
"""The base resolution in pixels that proto sizes are defined at."""

MAX_SIDE_PX: Final = 65_500
"""The largest side libjpeg encodes; no bucket may be larger."""

MAX_BUCKETS: Final = 32_767
"""The most buckets an int16 column can number."""

Protos = tuple[tuple[int, int], ...]

# The aspect table of the SDXL paper (arXiv 2307.01952, appendix), as (width, height), in the paper's order.
_SDXL: Final = """
2048x512 1984x512 1920x512 1856x512 1792x576 1728x576 1664x576 1600x640 1536x640 1472x704
1408x704 1344x704 1344x768 1280x768 1216x832 1152x832 1152x896 1088x896 1088x960 1024x960
1024x1024 960x1024 960x1088 896x1088 896x1152 832x1152 832x1216 768x1280 768x1344 704x1408
704x1472 640x1536 640x1600 576x1664 576x1728 576x1792 512x1856 512x1920 512x1984 512x2048
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """One size that images are brought to. All sizes are in pixels."""

    bucket_id: str
    base: int
    proto_w: int
    proto_h: int
    w: int
    h: int


def parse_protos(text: str) -> Protos:
    """Return the (width, height) pairs of a proto table: one `WxH` a line, `#` starts a comment.

    Raises:
        ConfigError: a line is no size, a size stands twice, or there is none.
    """
    protos: dict[tuple[int, int], int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        size = _size(entry, f"line {number}")
        if size in protos:
            raise ConfigError(f"protos, line {number}: {entry} stands in line {protos[size]} already; remove one")
        protos[size] = number
    if not protos:
        raise ConfigError("protos: expected one WxH a line, got none; write for example 1024x1024")
    return tuple(protos)


def _size(entry: str, where: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]{0,5})\s*[xX]\s*([1-9][0-9]{0,5})", entry)
    if match is None:
        raise ConfigError(f"protos, {where}: must be WxH in pixels such as 1152x896, got {entry!r}")
    return int(match[1]), int(match[2])


SDXL: Final[Protos] = tuple(_size(entry, "sdxl") for entry in _SDXL.split())
"""The default proto table, 40 rows from widest to tallest."""


def scaled_buckets(bases: Iterable[int], protos: Sequence[tuple[int, int]], divisible: int) -> tuple[Bucket, ...]:
    """Return every bucket, bases from the largest to the smallest, within a base in table order.

    A proto side `p` becomes `floor(p * base / 1024 / divisible) * divisible`. Protos with a zero side are dropped;
    of protos that collapse to one size the first gives the bucket its name.

    Raises:
        ConfigError: no bucket is left, a side is beyond what JPEG can hold, or there are too many.
    """
    ordered = sorted(set(bases), reverse=True)
    buckets = tuple(bucket for base in ordered for bucket in _at_base(base, protos, divisible, len(ordered) > 1))
    if not buckets:
        raise ConfigError(f"base {ordered} and divisible {divisible} leave no bucket; raise the one or lower the other")
    for bucket in buckets:
        if max(bucket.w, bucket.h) > MAX_SIDE_PX:
            raise ConfigError(f"bucket {bucket.bucket_id}: sides must be at most {MAX_SIDE_PX} px, the limit of JPEG, "
                              f"got {bucket.w}x{bucket.h}; lower the base")  # fmt: skip
    if len(buckets) > MAX_BUCKETS:
        raise ConfigError(f"there must be at most {MAX_BUCKETS} buckets, got {len(buckets)}; use fewer protos or bases")
    return buckets


def _at_base(base: int, protos: Sequence[tuple[int, int]], divisible: int, several: bool) -> Iterable[Bucket]:
    first: dict[tuple[int, int], tuple[int, int]] = {}
    for proto_w, proto_h in protos:
        scaled = (_scale(proto_w, base, divisible), _scale(proto_h, base, divisible))
        if min(scaled) > 0:
            first.setdefault(scaled, (proto_w, proto_h))
    for (w, h), (proto_w, proto_h) in first.items():
        name = f"p{proto_w}x{proto_h}"
        bucket_id = f"r{base}_{name}" if several else name
        yield Bucket(bucket_id=bucket_id, base=base, proto_w=proto_w, proto_h=proto_h, w=w, h=h)


def _scale(side: int, base: int, divisible: int) -> int:
    return side * base // (PROTO_BASE * divisible) * divisible
