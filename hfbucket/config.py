"""Every setting of a build, in one frozen object; flags, hfbucket.toml and Python build the same one.

A setting is *content* (it changes bytes, so it enters hashes and refusals to continue) or *run* (workers,
limits, progress), or *words* (what the card says). The kind stands in the field's metadata.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from hfbucket.config_values import flag_words, read, shown
from hfbucket.errors import ConfigError

ImageMode = Literal["reencode_jpeg", "passthrough_jpeg"]
MissingCaption = Literal["drop", "empty", "error"]

_T = TypeVar("_T")

DEFAULT_VARIANTS = ("caption", "text", "sidecar")
"""Where a caption is looked for without `--caption-column`, first found wins."""

ORIGINAL = "original"
"""The variant that is the source's own caption, where captions of a workspace or a priority are in play."""


NEAR_THRESHOLD = 4
"""The default of `near_threshold`."""


def content(default: _T, help: str, **limits: int) -> _T:
    """Return a dataclass field that changes the bytes of an export; `limits` are `low`, `high` and `size_in_bytes`."""
    return field(default=default, metadata={"kind": "content", "help": help, **limits})


def run(default: _T, help: str, **limits: int) -> _T:
    """Return a dataclass field that changes how a build runs, never what it writes."""
    return field(default=default, metadata={"kind": "run", "help": help, **limits})


def words(default: _T, help: str) -> _T:
    """Return a dataclass field that only the card and the manifest's words carry."""
    return field(default=default, metadata={"kind": "words", "help": help})


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The settings of a plan or a build.

    Values are taken as flags and TOML give them and kept exact: `"500MB"` becomes bytes, `"0.15"` and `0.15` become
    the fraction 3/20, a single value becomes a tuple of one where several are possible, `base` is put largest first.

    Raises:
        ConfigError: a value is of the wrong type or out of range.
    """

    base: tuple[int, ...] = content(
        (512,), "base resolution in pixels; several make tiers, largest first", low=1, high=16384
    )
    image_mode: ImageMode = content("reencode_jpeg", "re-encode to the bucket's size, or keep the source's JPEG bytes")
    protos: str = content("sdxl", "name of the proto bucket set, or a file with one WxH a line")
    divisible: int = content(32, "bucket sides are multiples of this many pixels", low=1, high=16384)
    metric: Literal["min-crop", "nearest-log", "nearest-linear"] = content("min-crop", "how the best bucket is chosen")
    max_crop: Fraction = content(
        Fraction(1), "largest share of the resized image that may be cropped away, 0 to 1", low=0, high=1
    )
    min_bucket: int = content(0, "buckets with fewer images are rare", low=0)
    rare: Literal["keep", "merge", "drop"] = content("keep", "what becomes of rare buckets")
    crop: Literal["corner", "center"] = content("corner", "where the crop box lies")
    corners: tuple[int, ...] = content(
        (0, 1, 2, 3), "allowed corners: 0 top left, 1 top right, 2 bottom left, 3 bottom right", low=0, high=3
    )
    corner_jitter: int = content(0, "pixels the box may move inward from its corner", low=0)
    quality: int = content(95, "JPEG quality, 1 to 100", low=1, high=100)
    subsampling: Literal["adaptive_scale", "4:4:4", "4:2:2", "4:2:0"] = content(
        "adaptive_scale", "JPEG chroma subsampling"
    )
    subsampling_threshold: Fraction = content(
        Fraction(85, 100), "adaptive_scale: 4:4:4 up to this cover scale", low=0, high=1
    )
    shuffle: int | None = content(None, "seed of a shuffled order; without it source order", low=0, high=2**63 - 1)
    max_shard_size: int = content(500_000_000, "planned bytes of a shard", low=1, size_in_bytes=1)
    max_shard_samples: int = content(10_000, "samples of a shard", low=1)
    caption_column: tuple[str, ...] = content((), "caption variants in order of priority")
    missing_caption: MissingCaption | None = content(
        None, "a sample without caption is dropped, kept empty, or an error"
    )
    priority: tuple[str, ...] = content(
        (), "caption variants to choose from, best first, commas between; `original` is the source's own"
    )
    select: Literal["first", "longest", "weighted"] = content(
        "first", "which of an image's captions is selected: the first by priority, the longest, or one drawn by weight"
    )
    weights: tuple[str, ...] = content(
        (), "weighted: NAME=WHOLE_NUMBER of every variant of the priority, commas between"
    )
    caption_seed: int = content(0, "weighted: seed of the draw", low=0, high=2**63 - 1)
    min_caption_chars: int = content(0, "captions with fewer characters are not selected", low=0)
    where: str | None = content(
        None, "SQL expression on an image's size, captions and metadata; where it is not true the image is left out"
    )
    filter: str | None = content(
        None, "MODULE:FUNCTION of your own, from a DataFrame of images to a mask of those to keep"
    )
    dedupe: Literal["none", "sha256", "pixels", "near"] = content(
        "none", "leave out duplicates of earlier images: of the same bytes, the same pixels, or looks that are near"
    )
    near_threshold: int = content(
        NEAR_THRESHOLD,
        "dedupe near: in how many of 64 bits the difference hashes of duplicates may differ",
        low=0,
        high=8,
    )
    id_column: str | None = content(None, "metadata column that gives the image_id")
    image_column: str | None = content(None, "image column of Parquet sources")
    not_jpeg: Literal["reencode", "skip"] = content("reencode", "passthrough: what becomes of files that are no JPEG")
    oriented: Literal["reencode", "keep"] = content(
        "reencode", "passthrough: what becomes of JPEGs with an EXIF rotation"
    )
    strip_metadata: bool = content(False, "passthrough: drop EXIF, XMP, IPTC and comments without decoding")
    check: Literal["structure", "decode", "none"] = content("structure", "passthrough: how source bytes are checked")
    source_hash: bool = content(True, "record the sha256 of every source image")
    keep_location: bool = content(False, "keep GPS positions in metadata")
    max_pixels: int = content(178_000_000, "images with more pixels are skipped before decoding", low=1)
    duplicate_ids: Literal["error", "first"] = content("error", "two inputs with one image_id: stop, or keep the first")
    format: Literal["bucketed_shards_v2", "bucketed_shards_v1"] = content("bucketed_shards_v2", "name of the format")

    captions: str | None = run(None, "caption workspace: an SQLite file with captions for the images of the sources")
    annotations: tuple[str, ...] = run((), "file or glob with captions of many images: JSON, JSONL, CSV, TSV, Parquet")
    update: bool = run(False, "append what is new in the sources to a finished export; what is there stays")
    source_type: Literal["folder", "tars", "parquet"] | None = run(None, "read sources as this kind; without it look")
    workers: int | None = run(None, "processes, 0 for this one alone; without it one per core", low=0)
    executor: Literal["local", "ray", "spark"] = run("local", "who scans and writes: processes here, or a cluster")
    ray_address: str | None = run(None, "ray: address of a running cluster; without it one is started here")
    spark_master: str | None = run(None, "spark: URL of the master; without it Spark runs here")
    stall_timeout: int = run(
        600, "seconds without a sign of life after which a task is ended and retried; 0: never", low=0
    )
    batch_size: int = run(32, "batch size the plan counts batches for", low=1)
    max_failure_ratio: Fraction = run(
        Fraction(5, 100), "share of undecodable images at which a build fails", low=0, high=1
    )
    expect_plan: str | None = run(None, "refuse to build any plan but this one")
    overwrite: bool = run(False, "start anew over an existing export with other settings")
    work_dir: str | None = run(None, "folder or URL for tasks, receipts and spool; <export>.work by default")
    cache_dir: str | None = run(None, "folder or URL of the index cache; HFBUCKET_CACHE by default")
    sample_units: int | None = run(None, "plan: estimate from this many units of each source", low=1)

    title: str | None = words(None, "title of the card")
    description: str | None = words(None, "description in the card")
    license: str | None = words(None, "license identifier of the card")
    license_name: str | None = words(None, "name of a license that has no identifier")
    license_link: str | None = words(None, "link to a license that has no identifier")
    language: tuple[str, ...] = words((), "language codes of the captions")
    tag: tuple[str, ...] = words((), "further tags of the card")
    citation: str | None = words(None, "how to cite the dataset")
    sections: str | None = words(None, "folder of Markdown files that become sections of the card")
    template: str | None = words(None, "folder of Jinja templates in the place of the card's own ones")

    def __post_init__(self) -> None:
        for f in fields(self):
            value = read(f.name, _hints()[f.name], f.metadata, getattr(self, f.name))
            object.__setattr__(self, f.name, value)
        object.__setattr__(self, "base", tuple(sorted(set(self.base), reverse=True)))
        object.__setattr__(self, "priority", _parts(self.priority))
        weights = sorted(_weights(_parts(self.weights)).items())
        object.__setattr__(self, "weights", tuple(f"{name}={weight}" for name, weight in weights))
        for name in ("base", "corners"):
            if not getattr(self, name):
                raise ConfigError(f"{name} must name at least one value, got none")
        for name in ("corners", "caption_column", "priority"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ConfigError(f"{name} must name every value once, got {shown(getattr(self, name))}")
        if self.filter is not None and not re.fullmatch(r"[^\W\d][\w.]*:[^\W\d][\w.]*", self.filter):
            raise ConfigError(f"filter must be MODULE:FUNCTION, got {self.filter!r}")
        if self.near_threshold != NEAR_THRESHOLD and self.dedupe != "near":
            raise ConfigError(f"near_threshold is for dedupe near, got {self.near_threshold} with dedupe {self.dedupe}")
        if self.expect_plan is not None and not re.fullmatch("[0-9a-f]{16}", self.expect_plan):
            raise ConfigError(f"expect_plan must be the 16 hex digits that `plan` prints, got {self.expect_plan!r}")

    def of_kind(self, kind: str) -> Mapping[str, Any]:
        """Return the settings of one kind ("content", "run" or "words"), in declaration order."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["kind"] == kind}

    @property
    def variants(self) -> tuple[str, ...]:
        """The caption variants that are looked for, in order of priority."""
        return self.caption_column or DEFAULT_VARIANTS

    @property
    def weight_of(self) -> dict[str, int]:
        """The weight of each variant that `weights` names."""
        return _weights(self.weights)

    def flags(self, *kinds: str) -> tuple[str, ...]:
        """Return the command line flags of the settings of these kinds that are not at their default."""
        return tuple(
            word
            for f in fields(self)
            if f.metadata["kind"] in kinds and getattr(self, f.name) != f.default
            for word in flag_words(f.name, f.metadata, getattr(self, f.name))
        )


def _parts(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in texts that may hold several, with commas between."""
    return tuple(part for text in values for item in text.split(",") if (part := item.strip()))


def _weights(values: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in values:
        name, _, weight = item.rpartition("=")
        if not name or not re.fullmatch("[0-9]{1,9}", weight) or int(weight) == 0:
            raise ConfigError(f"weights must be NAME=NUMBER, a whole number from 1 to 999999999, got {item!r}")
        if name in found:
            raise ConfigError(f"weights must name every variant once, got {name!r} twice")
        found[name] = int(weight)
    return found


def setting_names(values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Return the values under their field names of Config; a name may be written with `-` or `_`.

    Raises:
        ConfigError: a name is no setting, or stands twice; the message names `where` and the nearest setting.
    """
    known = _hints()
    found: dict[str, Any] = {}
    for written, value in values.items():
        name = written.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known settings are {', '.join(sorted(known))}"
            raise ConfigError(f"{where}: unknown setting {written!r}; {hint}")
        if name in found:
            raise ConfigError(f"{where}: {name!r} is given twice, once with '-' and once with '_'; keep one")
        found[name] = value
    return found


@cache
def _hints() -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(Config).items() if not name.startswith("_")}


def is_several(name: str) -> bool:
    """Return whether a setting takes several values."""
    return get_origin(_hints()[name]) is tuple


def choices(name: str) -> tuple[str, ...]:
    """Return the values a setting may have, or nothing where they are not a fixed few."""
    hint = _hints()[name]
    parts = [hint, *get_args(hint)]
    return next((get_args(part) for part in parts if get_origin(part) is Literal), ())


def is_switch(name: str) -> bool:
    """Return whether a setting is on or off."""
    return _hints()[name] is bool
