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

CAPTION_FIELDS: Final = ("captions", "caption", "text", "description", "sentence", "alt_text")
"""Fields that may hold an image's captions, the first that is there wins; before them `caption_1`, `caption_2` …"""

_NUMBERED: Final = re.compile(r"caption_(\d{1,3})")


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


def read_record(record: Mapping[str, Any], fields: Fields, *, refers: bool = False) -> Said:
    """Return what a record says.

    Args:
        refers: `image_id` stands for one of the file's `images`.
    """
    rest = {str(key).strip(): value for key, value in record.items() if key is not None}
    name, image_ref = _taken_name(rest, refers)
    if image_ref is not None:
        rest.pop("id", None)  # of the annotation, not of the image
    named = [_text(rest.get(column)) for column in fields.columns]
    values = _taken_captions(rest) if fields.takes_captions else []
    texts = [_text(value) for value in values]
    for column in fields.columns:
        if isinstance(rest.get(column), str):
            del rest[column]
    if not fields.keep_location:
        rest, _ = without_location(rest)
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
        meta=meta_json(rest) if rest else "{}",
        keys=tuple(sorted(rest)),
    )


def _taken_name(rest: dict[str, Any], refers: bool) -> tuple[str | None, str | None]:
    """Return (name, reference to the file's `images`) of a record, of which at least one is None; take them out."""
    lower = {key.lower(): key for key in rest}
    for known in NAME_FIELDS:
        value = rest.get(lower.get(known, ""))
        if isinstance(value, str) and value.strip():
            del rest[lower[known]]
            return clean_name(value), None
    if refers and rest.get("image_id") is not None:
        return None, str(rest.pop("image_id"))
    value = rest.get("image_id")
    if value is None or isinstance(value, (bool, float, dict, list)) or value == "":
        return None, None
    subreddit = rest.get("subreddit")  # RedCaps: images lie in a folder of that name, or not
    named = f"{subreddit}/{value}" if isinstance(subreddit, str) and subreddit else str(value)
    return clean_name(named), None


def clean_name(name: str) -> str:
    """Return the name of an image as paths below a source are written."""
    path = text_of(raw_bytes(name.strip().replace("\\", "/")))
    while path.startswith(("./", "/")):
        path = path.removeprefix(".").lstrip("/")
    return path


def _taken_captions(rest: dict[str, Any]) -> list[Any]:
    """Return the captions of a record as they stand there, and take them out."""
    numbered = sorted((int(match[1]), key) for key in rest if (match := _NUMBERED.fullmatch(key.lower())))
    if numbered:
        return [rest.pop(key) for _, key in numbered]
    lower = {key.lower(): key for key in rest}
    for known in CAPTION_FIELDS:
        if known in lower:
            value = rest.pop(lower[known])
            return list(value) if isinstance(value, (list, tuple)) else [value]
    return []


def _text(value: object) -> tuple[str | None, bool]:
    """Return a caption's text, None where there is none, and whether it had to be repaired."""
    if not isinstance(value, str):
        return None, False
    text, repaired = clean_text(value)
    return text or None, repaired
