"""What the card tells about an export's samples: crop loss, downscale and caption lengths, in integers only.

Statistics of shards fold with `+` in any order to the same result, so they need no second pass over the samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.errors import FormatError

Ints = npt.NDArray[np.int64]

CROP_LOSS_BANDS_PPM: Final = (0, 10_000, 50_000, 100_000, 150_000, 200_000, 300_000)
"""Upper ends of the bands of crop loss, in millionths of the resized image; what lies above is the last band."""

DOWNSCALE_BANDS_PERMILLE: Final = (1000, 1250, 1500, 2000, 3000, 4000, 8000)
"""Upper ends of the bands of source side / resized side, in thousandths; 1000 is the source's own size."""

CAPTION_BANDS_CHARACTERS: Final = (0, 20, 50, 100, 200, 500, 1000)
"""Upper ends of the bands of caption length, in Unicode characters; 0 is no caption."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How one number spreads over images."""

    #: Inclusive upper ends of the bands, ascending; one more band lies above the last.
    up_to: tuple[int, ...]
    #: Images in each band: one more entry than `up_to`.
    images: tuple[int, ...]
    #: Sum of the number over all images.
    sum: int
    #: Largest number of one image; 0 without images.
    max: int

    def __post_init__(self) -> None:
        if len(self.images) != len(self.up_to) + 1:
            raise FormatError(f"must have one band more than ends, got {len(self.images)} and {len(self.up_to)}")

    def __add__(self, other: Spread) -> Spread:
        """Return the spread over the images of both.

        Raises:
            FormatError: the two were counted in different bands.
        """
        if self.up_to != other.up_to:
            raise FormatError(f"spreads of different bands do not add up: {self.up_to} and {other.up_to}")
        return Spread(
            up_to=self.up_to,
            images=tuple(a + b for a, b in zip(self.images, other.images, strict=True)),
            sum=self.sum + other.sum,
            max=max(self.max, other.max),
        )

    @property
    def count(self) -> int:
        """Images counted."""
        return sum(self.images)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One number over the images of one group."""

    images: int
    #: Of the number, over all these images.
    sum: int
    max: int

    def __add__(self, other: Measure) -> Measure:
        """Return the measure over the images of both."""
        return Measure(images=self.images + other.images, sum=self.sum + other.sum, max=max(self.max, other.max))


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """Statistics of exported samples. The field names are the keys of the manifest's `statistics`."""

    #: Share of the resized image that the crop box leaves out, in millionths.
    crop_loss_ppm: Spread
    #: How often the image's resized side goes into the source's, in thousandths.
    downscale_permille: Spread
    #: Length of the selected caption.
    caption_characters: Spread
    #: Crop loss by bucket id, as `crop_loss_ppm`. Exports of earlier releases do not have it.
    crop_loss_ppm_by_bucket: Mapping[str, Measure] = field(default_factory=dict)
    #: Length of every caption that is not blank, chosen or not, by variant. Exports of earlier releases lack it, too.
    caption_characters_by_variant: Mapping[str, Measure] = field(default_factory=dict)

    def __add__(self, other: Statistics) -> Statistics:
        """Return the statistics of the samples of both."""
        spreads = {name: getattr(self, name) + getattr(other, name) for name in SPREADS}
        measures = {name: _added(getattr(self, name), getattr(other, name)) for name in MEASURES}
        return Statistics(**spreads, **measures)  # type: ignore[arg-type]  # mypy cannot tell the names apart

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest's `statistics`: plain integers and lists."""
        spreads = {name: _spread_dict(getattr(self, name)) for name in SPREADS}
        return spreads | {
            name: {group: _measure_dict(measure) for group, measure in sorted(getattr(self, name).items())}
            for name in MEASURES
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], where: str = "statistics") -> Statistics:
        """Return what `to_dict` gave.

        Raises:
            FormatError: a key is missing or of the wrong type; the message names it.
        """
        spreads = {name: _spread(value, name, where) for name in SPREADS}
        measures = {name: _measures(value, name, where) for name in MEASURES}
        return cls(**spreads, **measures)  # type: ignore[arg-type]  # mypy cannot tell the names apart


SPREADS: Final = ("crop_loss_ppm", "downscale_permille", "caption_characters")
MEASURES: Final = ("crop_loss_ppm_by_bucket", "caption_characters_by_variant")


def sample_statistics(samples: pa.Table) -> Statistics:
    """Return the statistics of a table with (at least) bucket_id, geometry and caption columns of `schemas.SAMPLES`.

    A missing caption counts as one of no characters.
    """
    w, h, source_w, source_h, resized_w, resized_h = (
        _ints(samples, name) for name in ("w", "h", "source_w", "source_h", "resized_w", "resized_h")
    )
    downscale = _downscale_permille(source_w, source_h, resized_w, resized_h)
    characters = pc.fill_null(pc.utf8_length(samples.column("caption")), 0).to_numpy().astype(np.int64)
    crop_loss = crop_loss_ppm(w, h, resized_w, resized_h)
    return Statistics(
        crop_loss_ppm=spread(crop_loss, CROP_LOSS_BANDS_PPM),
        downscale_permille=spread(downscale, DOWNSCALE_BANDS_PERMILLE),
        caption_characters=spread(characters, CAPTION_BANDS_CHARACTERS),
        crop_loss_ppm_by_bucket=_grouped(samples.column("bucket_id"), pa.chunked_array([pa.array(crop_loss)])),
        caption_characters_by_variant=_by_variant(samples.column("captions")),
    )


def crop_loss_ppm(w: Ints, h: Ints, resized_w: Ints, resized_h: Ints) -> Ints:
    """Return the share of each resized image that a (w, h) crop leaves out, in millionths, rounded up.

    Rounded up, so that 0 means that nothing was cropped. Exact: the two steps of long division keep every
    product below 2**63 for images of up to 9e15 pixels.
    """
    resized = np.maximum(resized_w * resized_h, 1)
    thousandths, rest = np.divmod((resized - w * h) * 1000, resized)
    return np.asarray(thousandths * 1000 - (-rest * 1000) // resized)


def spread(values: Ints, up_to: Sequence[int]) -> Spread:
    """Return how the values spread over bands with the given inclusive upper ends."""
    bands = np.searchsorted(np.asarray(up_to, dtype=np.int64), values, side="left")
    counts = np.bincount(bands, minlength=len(up_to) + 1)
    return Spread(
        up_to=tuple(up_to),
        images=tuple(int(count) for count in counts),
        sum=int(values.sum()),
        max=int(values.max(initial=0)),
    )


def _by_variant(captions: pa.ChunkedArray) -> dict[str, Measure]:
    """Return the length of every caption that is not blank, by variant."""
    flat = pa.chunked_array([pc.list_flatten(chunk) for chunk in captions.chunks], captions.type.value_type)
    texts, variants = pc.struct_field(flat, "text"), pc.struct_field(flat, "variant")
    characters = pc.utf8_length(texts)
    said = pc.fill_null(pc.invert(pc.or_(pc.equal(characters, 0), pc.utf8_is_space(texts))), False)
    return _grouped(variants.filter(said), characters.filter(said))


def _grouped(groups: pa.ChunkedArray, values: pa.ChunkedArray) -> dict[str, Measure]:
    """Return the measure of the values of every group."""
    found = pa.table({"group": groups, "value": values.cast(pa.int64())}).group_by("group")
    rows = found.aggregate([("value", "count"), ("value", "sum"), ("value", "max")]).to_pylist()
    return {
        row["group"]: Measure(images=row["value_count"], sum=row["value_sum"], max=row["value_max"]) for row in rows
    }


def _added(some: Mapping[str, Measure], others: Mapping[str, Measure]) -> dict[str, Measure]:
    both = {group: measure + others[group] for group, measure in some.items() if group in others}
    return {**some, **others, **both}


def _measure_dict(value: Measure) -> dict[str, int]:
    return {"images": value.images, "max": value.max, "sum": value.sum}


def _measures(value: Mapping[str, Any], name: str, where: str) -> dict[str, Measure]:
    groups = value.get(name, {})
    try:
        return {
            str(group): Measure(**{f.name: int(entry[f.name]) for f in fields(Measure)})
            for group, entry in groups.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"must hold integers under images, max and sum for every group: {error}"
        raise FormatError(message, where=f"{where}.{name}") from error


def _downscale_permille(source_w: Ints, source_h: Ints, resized_w: Ints, resized_h: Ints) -> Ints:
    # Both sides shrink by one factor but for rounding to whole pixels; the longer side shows it best.
    wide = source_w >= source_h
    source, resized = np.where(wide, source_w, source_h), np.where(wide, resized_w, resized_h)
    return np.asarray(-(-source * 1000 // np.maximum(resized, 1)))


def _ints(samples: pa.Table, name: str) -> Ints:
    return np.asarray(samples.column(name).to_numpy(), dtype=np.int64)


def _spread_dict(value: Spread) -> dict[str, Any]:
    return {"images": list(value.images), "max": value.max, "sum": value.sum, "up_to": list(value.up_to)}


def _spread(value: Mapping[str, Any], name: str, where: str) -> Spread:
    entry = value.get(name)
    if not isinstance(entry, Mapping):
        raise FormatError(f"must be an object, got {entry!r}", where=f"{where}.{name}")
    try:
        return Spread(
            up_to=tuple(int(end) for end in entry["up_to"]),
            images=tuple(int(count) for count in entry["images"]),
            sum=int(entry["sum"]),
            max=int(entry["max"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        message = f"must hold integers under images, max, sum and up_to: {error}"
        raise FormatError(message, where=f"{where}.{name}") from error
