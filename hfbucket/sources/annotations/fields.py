"""What a record of an annotation file says: which image, its captions, and the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hfbucket.core.keys import text_of
from hfbucket.core.meta import clean_text, meta_json, raw_bytes, without_location

NAME_FIELDS: Final = (
    "file_name", "filename", "file_path", "filepath", "path", "image_path", "img_path", "image_file", "image_name",
    "image", "img", "file", "image/key", "__key__", "key",
)  # fmt: skip
"""Fields that may name an image, the first that is there wins; without any, `image_id` does."""

CAPTION_FIELDS: Final = ("captions", "caption", "text", "description", "sentence", "alt_text", "comment")
"""Fields that may hold an image's captions, the first that is there wins; before them `caption_1`, `caption_2` …"""

_NUMBERED: Final = re.compile(r"caption_(\d{1,3})")

_MAY_LOCATE: Final = re.compile(r"gps|[\[{:,]\"?[\[{]", re.IGNORECASE)
"""In JSON: a value that names GPS, a list or object, or a text that may be JSON itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """Which settings decide what is taken from a record."""

    #: Caption columns that the user named: taken from records as they are.
    columns: tuple[str, ...] = ()
    keep_location: bool = False

    @property
    def takes_captions(self) -> bool:
        """Whether captions are found by the names of their fields: not where the user named other columns alone."""
        return not self.columns or any(place_of(column) is not None for column in self.columns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What one record says."""

    #: Path or name of the image, with `/`; None where the record has none.
    name: str | None
    #: The number or text that stands for the image among the `images` of the file; else None.
    image_ref: str | None = None
    #: In their order; None for what is blank or no text.
    captions: list[str | None] = field(default_factory=list)
    #: Of every column that the user named.
    named: list[str | None] = field(default_factory=list)
    repaired: bool = False
    #: Some caption is neither text nor absent.
    has_odd_caption: bool = False
    has_blank_caption: bool = False
    #: The rest, as canonical JSON, and its keys.
    meta: str = "{}"
    keys: tuple[str, ...] = ()


def place_of(variant: str) -> int | None:
    """Return which of an image's captions a variant's name stands for, from 0: `caption` the first, `caption_2` …"""
    if variant == "caption":
        return 0
    match = _NUMBERED.fullmatch(variant)
    return int(match[1]) - 1 if match and int(match[1]) else None


def names_images(columns: Iterable[str]) -> bool:
    """Return whether fields with these names can say which image they are about."""
    known = {column.strip().lower() for column in columns}
    return bool(known & {*NAME_FIELDS, "image_id"})


def has_captions(columns: Iterable[str], named: Sequence[str] = ()) -> bool:
    """Return whether one of these fields holds captions, by its name."""
    known = {column.strip().lower() for column in columns}
    return bool(known & {*CAPTION_FIELDS, *named}) or any(_NUMBERED.fullmatch(column) for column in known)


class RecordReader:
    """Reads the records of a file, looking once at each set of fields that they have."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._shapes: dict[tuple[str, ...], _Shape] = {}

    def read(self, record: Mapping[str, Any], *, refers: bool = False) -> Said:
        """Return what a record says.

        Args:
            refers: `image_id` stands for one of the file's `images`.
        """
        written = tuple(record)
        shape = self._shapes.get(written)
        if shape is None:
            shape = self._shapes[written] = _shape(written, self._fields)
        name, image_ref, used = _named(record, shape, refers)
        values = _values(record, shape)
        texts = [_text(value) for value in values]
        named = [_text(record.get(column)) for column in self._fields.columns]
        rest = {
            key.strip(): record[key]
            for key in shape.rest
            if key not in used and not (key in self._fields.columns and isinstance(record[key], str))
        }
        meta = self._meta(rest, shape)
        return Said(
            name=name,
            image_ref=image_ref,
            captions=[text for text, _ in texts],
            named=[text for text, _ in named],
            repaired=any(repaired for _, repaired in (*texts, *named)),
            has_blank_caption=any(
                text is None and isinstance(value, str) for value, (text, _) in zip(values, texts, strict=True)
            ),
            has_odd_caption=any(value is not None and not isinstance(value, str) for value in values),
            meta=meta,
            keys=tuple(sorted(rest)),
        )

    def _meta(self, rest: dict[str, Any], shape: _Shape) -> str:
        """Return the metadata as JSON, and take out of it what tells a position, where that is to be left out."""
        if not rest:
            return "{}"
        meta = meta_json(rest)
        if self._fields.keep_location or not (shape.may_locate or _MAY_LOCATE.search(meta)):
            return meta
        cleared, found = without_location(rest)
        if found:
            for key in rest.keys() - cleared.keys():
                del rest[key]
            meta = meta_json(cleared)
        return meta


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shape:
    """What a set of fields is for; the fields as they are written."""

    #: That may name the image, best first.
    names: tuple[str, ...]
    captions: tuple[str, ...]
    #: All others, those that may name the image among them.
    rest: tuple[str, ...]
    #: Some field's name speaks of a position.
    may_locate: bool


def _shape(written: Sequence[str], fields: Fields) -> _Shape:
    lower = {str(key).strip().lower(): key for key in written}
    numbered = sorted((int(match[1]), key) for low, key in lower.items() if (match := _NUMBERED.fullmatch(low)))
    captions = [key for _, key in numbered] or [lower[known] for known in CAPTION_FIELDS if known in lower][:1]
    if not fields.takes_captions:
        captions = []
    return _Shape(
        names=tuple(lower[known] for known in NAME_FIELDS if known in lower),
        captions=tuple(captions),
        rest=tuple(key for key in written if key not in captions),
        may_locate=without_location(dict.fromkeys(map(str, written)))[1],
    )


def _named(record: Mapping[str, Any], shape: _Shape, refers: bool) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Return (name, reference to the file's `images`) of a record, one of them None at least, and their fields."""
    for key in shape.names:
        value = record[key]
        if isinstance(value, str) and value.strip():
            return clean_name(value), None, (key,)
    value = record.get("image_id")
    if refers and value is not None:
        return None, str(value), ("image_id", "id")  # the id is the annotation's, not the image's
    if value is None or isinstance(value, (bool, float, dict, list)) or value == "":
        return None, None, ()
    subreddit = record.get("subreddit")  # RedCaps: images lie in a folder of that name, or not
    named = f"{subreddit}/{value}" if isinstance(subreddit, str) and subreddit else str(value)
    return clean_name(named), None, ()


def _values(record: Mapping[str, Any], shape: _Shape) -> list[Any]:
    """Return the captions of a record as they stand there."""
    values = [record[key] for key in shape.captions]
    if len(values) == 1 and isinstance(values[0], (list, tuple)):
        return list(values[0])
    return values


def clean_name(name: str) -> str:
    """Return the name of an image as paths below a source are written."""
    path = text_of(raw_bytes(name.strip().replace("\\", "/")))
    while path.startswith(("./", "/")):
        path = path.removeprefix(".").lstrip("/")
    return path


def _text(value: object) -> tuple[str | None, bool]:
    """Return a caption's text, None where there is none, and whether it had to be repaired."""
    if not isinstance(value, str):
        return None, False
    text, repaired = clean_text(value)
    return text or None, repaired
