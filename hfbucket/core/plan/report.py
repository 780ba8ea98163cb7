"""What `hfbucket plan` tells: a plan counted and priced. Plain values, in the order they are shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceLine:
    """What was found in one source."""

    name: str
    kind: str
    #: Tars, Parquet files or slices of a folder that were read, and all there are: more where only some were asked for.
    units: int
    units_listed: int
    images: int
    bytes: int
    #: Images by format, most frequent first; "unknown" for those whose header could not be read.
    formats: Mapping[str, int]
    #: Other files by extension without its dot, most frequent first.
    ignored: Mapping[str, int]
    #: Links, devices, names that are absolute or climb.
    ignored_members: int
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One image behind a number, and the decoder's words where there are some."""

    image_id: str
    detail: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeLine:
    """One line of the funnel."""

    outcome: str
    images: int
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketLine:
    """One bucket that has images; its size in pixels."""

    bucket_id: str
    w: int
    h: int
    images: int
    #: Of all exported images, and the share of the resized image that is cropped away; millionths.
    share_ppm: int
    mean_crop_loss_ppm: int
    worst_crop_loss_ppm: int
    #: Full batches, and images left over.
    batches: int
    left_over: int

    @property
    def under_filled(self) -> bool:
        """Whether the bucket cannot fill one batch."""
        return self.batches == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseTable:
    """The buckets of one base resolution, most frequent first."""

    base: int
    images: int
    buckets: tuple[BucketLine, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorstCrop:
    """An image that loses much."""

    image_id: str
    bucket_id: str
    source_w: int
    source_h: int
    crop_loss_ppm: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseOption:
    """What another choice of bases would give, rare buckets aside."""

    bases: tuple[int, ...]
    images: int
    skipped_too_small: int
    skipped_too_cropped: int
    buckets: int
    under_filled: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionLine:
    """One caption variant. Counts but `selected` are of images that can be read and no filter left out."""

    variant: str
    #: Place in the priority; None where the variant is kept in the sample tables and never selected.
    priority: int | None
    #: With a caption that is not blank, and of those the ones with fewer characters than --min-caption-chars asks for.
    images: int
    too_short: int
    #: Of the images that would be exported.
    selected: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionReport:
    """What there is to choose from. Counts are of images that can be read and no filter left out."""

    variants: tuple[CaptionLine, ...]
    images: int
    #: Without a caption of any variant of the priority.
    without: int
    min_caption_chars: int
    #: With such captions that all have fewer characters than that.
    only_too_short: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a build takes; bytes and seconds are estimates."""

    output_bytes: int
    #: Images that are copied first, because their source can only be read from its beginning.
    spool_bytes: int
    #: Where the export would lie; None where it is no local folder.
    free_disk_bytes: int | None
    seconds: int
    workers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanReport:
    """Everything `hfbucket plan` prints. Counts are images."""

    sources: tuple[SourceLine, ...]
    images_seen: int
    funnel: tuple[OutcomeLine, ...]
    #: More could not be decoded than `--max-failure-ratio` allows: a build would stop.
    too_many_failures: bool
    batch_size: int
    tables: tuple[BaseTable, ...]
    worst_crops: tuple[WorstCrop, ...]
    #: Of the images that are too small, how many each lower base alone would take.
    rescued_by_base: Mapping[int, int]
    #: Only where no base was asked for.
    base_options: tuple[BaseOption, ...]
    captions_selected: Mapping[str, int]
    #: Only where captions are chosen by more than the usual places.
    captions: CaptionReport | None
    captions_repaired: int
    #: None in re-encode mode.
    reencoded_in_passthrough: int | None
    images_with_gps: int
    needs: Needs
    #: Seed of the shuffled order; None for the order of the sources.
    shuffle: int | None
    #: Whether only some units of a source were read, so that all numbers are for those alone.
    is_sample: bool
    plan_id: str
    build_command: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return dataclasses.asdict(self)
