"""What goes between the sources and the stages: where images lie, unit by unit. Plain values, picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

SourceKind = Literal["folder", "tars", "parquet"]

NOT_THERE: Final = -1
NOT_TOLD: Final = -2
"""In the place of a file's size: there is no such file; its server does not tell how long it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceSpec:
    """One source as the user named it: `name=PATH`, or a path whose last part is its name."""

    #: Shown in manifest and card, never a path.
    name: str
    #: Folder, file or glob; a local path or any fsspec URL.
    url: str
    #: Put before every image_id, with its slash: `name/` where the user gave a name, else empty.
    prefix: str = ""
    kind: SourceKind


class FileEntry(NamedTuple):
    """One image file of a folder slice with what lies beside it; a tuple, as there is one for every image."""

    #: Path below the root as raw bytes (a name may not be UTF-8).
    path: bytes
    #: `NOT_THERE` where metadata names the file, or a link stands for it; `NOT_TOLD` where its server tells no size.
    size_bytes: int
    mtime_ns: int
    #: Same-stem sidecars that exist, as paths below the root: caption text and JSON metadata.
    text: bytes | None = None
    json: bytes | None = None
    text_bytes: int = 0
    json_bytes: int = 0
    #: Row of a metadata.jsonl / .csv / .parquet that names this file, as JSON.
    row: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """What is scanned, cached and reused as a whole: a tar, a Parquet file, a slice of a folder."""

    source: int
    kind: SourceKind
    #: The container, or the folder that `entries` lie below.
    url: str
    #: Path of the container below the source's root, UTF-8, `/`; for a folder slice its first file.
    name: str
    prefix: str
    size_bytes: int
    #: Changes whenever the bytes may have: mtime_ns of a local file, etag or checksum of a remote one.
    version: str
    #: Of a local container; 0 for others.
    mtime_ns: int = 0
    entries: tuple[FileEntry, ...] = ()
    #: Of an archive that was split: its parts in order, the first of which is `url`; else empty.
    parts: tuple[str, ...] = ()
    #: The name of the last of these parts; it stays where their copy, which is one file, is read instead.
    last_part: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitFacts:
    """What a scan learned about a unit beside its rows; facts of units fold with `+`."""

    #: Files or members that are no images and no sidecars, or are hidden, by extension ("" for none).
    ignored: Mapping[str, int] = field(default_factory=dict)
    #: Links, devices, directories, names that are absolute or climb.
    ignored_members: int = 0
    #: Every metadata column or JSON key seen, sorted.
    meta_keys: tuple[str, ...] = ()
    #: Those of them that some row's `meta` has: no captions, no positions on the globe; sorted.
    kept_keys: tuple[str, ...] = ()
    #: Sidecar extensions seen and how often.
    sidecars: Mapping[str, int] = field(default_factory=dict)
    #: Files that may hold captions and are not used, such as `captions.txt`; sorted, some of them where there are many.
    beside: tuple[str, ...] = ()
    #: What a user should be told once: "00002.tar ends inside member 0000203.jpg", sorted, unique.
    notes: tuple[str, ...] = ()

    def __add__(self, other: UnitFacts) -> UnitFacts:
        """Return the facts of both."""
        return UnitFacts(
            ignored=_sum(self.ignored, other.ignored),
            ignored_members=self.ignored_members + other.ignored_members,
            meta_keys=tuple(sorted({*self.meta_keys, *other.meta_keys})),
            kept_keys=tuple(sorted({*self.kept_keys, *other.kept_keys})),
            sidecars=_sum(self.sidecars, other.sidecars),
            beside=tuple(sorted({*self.beside, *other.beside})),
            notes=tuple(sorted({*self.notes, *other.notes})),
        )


def _sum(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {key: a.get(key, 0) + b.get(key, 0) for key in sorted({*a, *b})}
