"""The model of manifest.json: frozen dataclasses whose fields are the file's keys, and nothing else.

The file is `core.manifest.plain.to_dict(manifest)` as indented JSON; see FORMAT section 6 for what every field means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

FORMATS: Final = ("bucketed_shards_v2", "bucketed_shards_v1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """A size in pixels."""

    w: int
    h: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One shard. `file` lies below the export, with `/`; `sha256` and `bytes` may lack in foreign manifests."""

    file: str
    count: int | None = None
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketEntry:
    """One bucket of the manifest, with or without shards."""

    base_resolution: int
    proto: Size
    scaled: Size
    count: int
    bytes: int | None = None
    shards: tuple[Shard, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Generator:
    """What wrote the export."""

    name: str
    version: str
    pillow: str | None = None
    libjpeg: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class License:
    """The license line of the card; all null when none was given."""

    id: str | None = None
    name: str | None = None
    link: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionVariant:
    """One caption variant; counts are images."""

    name: str
    selected: bool
    priority: int
    images_with_ok_caption: int
    images_selected: int
    source_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Captions:
    """How captions were chosen."""

    variants: tuple[CaptionVariant, ...] = ()
    selector: str = "priority"
    seed: int | None = None
    missing_policy: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceEntry:
    """One source, by name; never by a path of the machine that read it."""

    name: str
    kind: str
    repo_id: str | None = None
    url: str | None = None
    revision: str | None = None
    splits: tuple[str, ...] = ()
    units: int | None = None
    images_seen: int | None = None
    bytes: int | None = None
    license: str | None = None
    homepage: str | None = None
    index_sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleTable:
    """One Parquet file of the sample tables."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """One picture that the card shows, below `assets/`."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryEntry:
    """One change of a finished export."""

    export_id: str
    created: str
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The whole truth about an export. Keys we do not know are kept in `extra`."""

    format: str
    created: str | None = None
    export_id: str | None = None
    content_sha256: str | None = None
    history: tuple[HistoryEntry, ...] = ()
    generator: Generator | None = None
    title: str | None = None
    description: str | None = None
    license: License = License()
    language: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    citation: str | None = None
    sections: Mapping[str, str] = field(default_factory=dict)
    image_mode: str | None = None
    base_resolutions: tuple[int, ...] = ()
    divisible: int | None = None
    proto_base: int | None = None
    bucket_rule: Mapping[str, Any] = field(default_factory=dict)
    resize: Mapping[str, Any] = field(default_factory=dict)
    crop: Mapping[str, Any] = field(default_factory=dict)
    jpeg: Mapping[str, Any] = field(default_factory=dict)
    order: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    captions: Captions = Captions()
    caption_sources: tuple[Mapping[str, Any], ...] = ()
    sources: tuple[SourceEntry, ...] = ()
    buckets: Mapping[str, BucketEntry] = field(default_factory=dict)
    samples: tuple[SampleTable, ...] = ()
    #: Pictures depend on the release that draws them, and say nothing that the rest does not: no part of the content.
    assets: tuple[Asset, ...] = ()
    statistics: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, int] = field(default_factory=dict)
    reencoded_in_passthrough: int | None = None
    part_of: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def small_files(self) -> tuple[SampleTable | Asset, ...]:
        """The files beside the shards that stand here with size and hash: sample tables and pictures."""
        return (*self.samples, *self.assets)
