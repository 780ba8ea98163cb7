"""Rows of the index, the same for every kind of source: an image, its captions, its metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.keys import digest_of
from hfbucket.core.meta import SIDECAR, clean_text, meta_json, split_captions, without_location
from hfbucket.core.units import Unit, UnitFacts
from hfbucket.errors import SampleError
from hfbucket.io.images.probe import probe
from hfbucket.io.pieces import Pieces
from hfbucket.schemas import INDEX

TEXT_EXTENSIONS: Final = ("txt", "caption")
"""Sidecars that hold a caption, the first that is there wins."""

_CHUNK_ROWS: Final = 16_384
_CHUNK_CHARS: Final = 1 << 23
"""Of captions and metadata: rows stay values of Python until there are so many of either."""


Scanned = tuple[Pieces, UnitFacts]
"""The rows of a unit, schema INDEX, and what else was seen in it."""


class Look(Protocol):
    """What finds out about an image: `look_at`, or the like of it."""

    def __call__(self, file: BinaryIO, *, name: str, size_bytes: int, max_pixels: int) -> dict[str, Any]:
        """Return the index columns that an image's header gives, or why the image is out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where an image lies: columns of the index."""

    archive: str | None
    member: str
    path: bytes | None
    offset: int
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SimpleSamples:
    """Columns of JPEGs in an archive, one `txt` at most beside each."""

    members: Sequence[str]
    #: Their names up to the extension.
    keys: Sequence[str]
    offsets: Sequence[int]
    sizes: Sequence[int]
    widths: Sequence[int]
    heights: Sequence[int]
    orientations: Sequence[int]
    colors: Sequence[str]
    gps: Sequence[bool]
    texts: Sequence[bytes | None]


class Rows:
    """Collects the index rows of one unit, and what else was seen in it.

    Args:
        aside: the folder for rows that are too many to be held in memory.
    """

    def __init__(self, unit: Unit, config: Config, aside: Path | None = None) -> None:
        self._unit, self._config = unit, config
        self._packed = Pieces(INDEX, aside)
        self._columns: dict[str, list[Any]] = {name: [] for name in INDEX.names}
        self._chars = 0
        self._meta_keys: set[str] = set()
        self._kept_keys: set[str] = set()
        self._sidecars: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._notes: set[str] = set()
        self.ignored_members = 0

    def add(
        self,
        place: Place,
        *,
        key: str,
        image: Mapping[str, Any],
        meta: Mapping[str, Any],
        sidecars: Mapping[str, bytes],
    ) -> None:
        """Add an image.

        Args:
            key: its image_id without the source's prefix, unless a metadata column gives the id.
            image: columns that `look_at` or `unreadable` returned.
            sidecars: caption files by extension.
        """
        self._meta_keys.update(meta)
        row: dict[str, Any] = {"archive": place.archive, "member": place.member, "path": place.path}
        row |= {"offset": place.offset, "size_bytes": place.size_bytes, "mtime_ns": place.mtime_ns, **image}
        image_id, problem = self._image_id(key, meta)
        if problem and row.get("outcome") is None:
            row |= {"outcome": "source_errors", "detail": problem}
        captions, repaired, rest = split_captions(meta, sidecars, self._config.variants)
        cleared, located = without_location(rest)
        row["gps"] = located or row.get("gps")
        if not self._config.keep_location:
            rest = cleared
        self._kept_keys.update(rest)
        row |= {"image_id": image_id, "digest": digest_of(image_id)}
        row |= {"captions": captions, "caption_repaired": repaired, "meta": meta_json(rest)}
        for name, column in self._columns.items():
            column.append(row.get(name))
        self._chars += len(row["meta"]) + sum(len(text) for text in captions if text)
        self._pack_if_many()

    def add_simple(self, samples: SimpleSamples) -> None:
        """Add images that all is known of, and whose only metadata are captions; no metadata column gives their ids.

        What `add` does with such a one, for many at once.
        """
        count, unit, start = len(samples.keys), self._unit, f"{self._unit.prefix}{self._unit.name}/"
        ids = [start + key for key in samples.keys]
        texts = [clean_text(text) if text is not None else (None, False) for text in samples.texts]
        is_used = [variant in (SIDECAR, "txt") for variant in self._config.variants]
        if captioned := count - samples.texts.count(None):
            self._sidecars["txt"] += captioned
        self._chars += sum(len(text) for text, _ in texts if text)
        self._extend(
            count,
            image_id=ids,
            digest=[digest_of(image_id) for image_id in ids],
            archive=repeat(unit.name, count),
            member=samples.members,
            offset=samples.offsets,
            size_bytes=samples.sizes,
            mtime_ns=repeat(unit.mtime_ns, count),
            format=repeat("jpeg", count),
            width=samples.widths,
            height=samples.heights,
            orientation=samples.orientations,
            color=samples.colors,
            gps=samples.gps,
            captions=[[text if used else None for used in is_used] for text, _ in texts],
            caption_repaired=[was_repaired for _, was_repaired in texts] if any(is_used) else repeat(False, count),
            meta=repeat(meta_json({}), count),
        )

    def _extend(self, count: int, **columns: Iterable[object]) -> None:
        for name, column in self._columns.items():
            column.extend(columns.get(name) or repeat(None, count))
        self._pack_if_many()

    def _pack_if_many(self) -> None:
        if len(self._columns["image_id"]) >= _CHUNK_ROWS or self._chars >= _CHUNK_CHARS:
            self._pack()

    def _pack(self) -> None:
        """Turn the rows so far into a table, which takes a tenth of their memory."""
        arrays = [pa.array(self._columns[field.name], field.type) for field in INDEX]
        self._packed.add(pa.Table.from_arrays(arrays, schema=INDEX))
        for column in self._columns.values():
            column.clear()
        self._chars = 0

    def _image_id(self, key: str, meta: Mapping[str, Any]) -> tuple[str, str]:
        """Return the id, and what is wrong with the column that should have given it."""
        text, problem = id_text(self._config.id_column, meta)
        return self._unit.prefix + (text or key), problem

    def sidecar(self, extension: str) -> None:
        """Count a sidecar that belongs to an image."""
        self._sidecars[extension] += 1

    def ignore(self, extension: str, count: int = 1) -> None:
        """Count files or members that are no images and belong to none."""
        self._ignored[extension] += count

    def note(self, text: str, *, name: str | None = None) -> None:
        """Keep something a user should be told once, about the file `name` or the unit."""
        self._notes.add(f"{name or self._unit.name} {text}")

    def finish(self) -> Scanned:
        """Return the rows, schema INDEX, and the facts."""
        facts = UnitFacts(
            ignored=dict(sorted(self._ignored.items())),
            ignored_members=self.ignored_members,
            meta_keys=tuple(sorted(self._meta_keys)),
            kept_keys=tuple(sorted(self._kept_keys)),
            sidecars=dict(sorted(self._sidecars.items())),
            notes=tuple(sorted(self._notes)),
        )
        self._pack()
        return self._packed, facts


def id_text(column: str | None, meta: Mapping[str, Any]) -> tuple[str, str]:
    """Return the id that a metadata column gives, or nothing, and what is wrong with that column, or nothing."""
    if column is None:
        return "", ""
    value = meta.get(column)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        return "", f"its metadata has no id in {column!r}: {value!r:.80}"
    return str(value).encode("utf-8", "replace").decode("utf-8"), ""


def look_at(file: BinaryIO, *, name: str, size_bytes: int, max_pixels: int) -> dict[str, Any]:
    """Return the index columns that an image's header gives, or why the image is out."""
    try:
        seen = probe(file, name=name, size_bytes=size_bytes)
    except SampleError as error:
        return {"outcome": error.outcome, "detail": error.detail}
    columns: dict[str, Any] = {
        "format": seen.format,
        "width": seen.width,
        "height": seen.height,
        "orientation": seen.orientation,
        "color": seen.color,
        "gps": seen.gps,
    }
    if seen.width * seen.height > max_pixels:
        detail = f"{seen.width}x{seen.height} pixels are more than the limit of {max_pixels}"
        columns |= {"outcome": "skipped_too_large", "detail": detail}
    return columns


def unreadable(detail: str) -> dict[str, Any]:
    """Return the index columns of an image that could not be read from its source."""
    return {"outcome": "source_errors", "detail": detail}


def extension_of(name: str) -> str:
    """Return the lower-case extension of a file name without its dot, or an empty text."""
    stem, dot, extension = name.rpartition("/")[2].rpartition(".")
    return extension.lower() if dot and stem else ""
