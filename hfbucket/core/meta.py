"""What a source says about its images: captions made clean, metadata as JSON, positions on the globe left out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hfbucket.core.hashing import canonical_json

SIDECAR: Final = "sidecar"
"""The variant that is the text file beside an image, whatever its extension."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LOCATION_WORDS: Final = frozenset({"gps", "latitude", "longitude", "lat", "lon", "lng", "geolocation", "geotag"})
_LOCATION_HINT = re.compile(r"gps|lat|lon|lng|geo", re.IGNORECASE)
_LOCATION_TEXT = re.compile(r"gps(?:info|latitude|longitude|position|coordinates)", re.IGNORECASE)
_UTF8_MARK: Final = b"\xef\xbb\xbf"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


def clean_text(value: str | bytes) -> tuple[str, bool]:
    """Return a caption without NULs and outer whitespace, and whether it had to be repaired.

    What is no UTF-8 becomes U+FFFD; in text, bytes that were none stand as lone surrogates (`surrogateescape`).
    """
    raw = value if isinstance(value, bytes) else raw_bytes(value)
    raw = raw.removeprefix(_UTF8_MARK)
    encoding = "utf-16" if raw.startswith(_UTF16_MARKS) else "utf-8"
    try:
        text = raw.decode(encoding)
        repaired = encoding == "utf-16"
    except UnicodeDecodeError:
        text, repaired = raw.decode(encoding, "replace"), True
    if "\0" in text:
        text, repaired = text.replace("\0", ""), True
    return text.strip(), repaired


def raw_bytes(text: str) -> bytes:
    """Return the bytes a text was read from: UTF-8, with lone surrogates of `surrogateescape` as the bytes they hid."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # halves of surrogate pairs from JSON escapes
        return text.encode("utf-8", "surrogatepass")


def split_captions(
    meta: Mapping[str, Any], sidecars: Mapping[str, bytes], variants: Sequence[str]
) -> tuple[list[str | None], bool, dict[str, Any]]:
    """Return one caption or None per variant, whether any was repaired, and the metadata without what became one.

    Args:
        meta: the sample's own metadata.
        sidecars: its text files by extension, `txt` or `caption`.
        variants: names of metadata keys; `sidecar` is the first of the sidecars, `txt` that one.
    """
    captions: list[str | None] = []
    repaired = False
    rest = dict(meta)
    for variant in variants:
        value = meta.get(variant)
        if isinstance(value, (str, bytes)):
            rest.pop(variant, None)
        else:
            value = _first_text(value)
        if value is None and variant == SIDECAR:
            value = next(iter(sidecars.values()), None)
        elif value is None and variant == "txt":  # what stock tools call it
            value = sidecars.get("txt")
        text, was_repaired = (None, False) if value is None else clean_text(value)
        captions.append(text)
        repaired |= was_repaired
    return captions, repaired, rest


def _first_text(value: object) -> str | None:
    """Return the first text of a list of captions; the list itself stays in the metadata."""
    if not isinstance(value, (list, tuple)):
        return None
    return next((item for item in value if isinstance(item, str) and item.strip()), None)


def without_location(meta: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the metadata without GPS positions, however deep, and whether there were any.

    Keys that speak of a position go; JSON kept as a string (the `exif` of img2dataset) is looked into, and any other
    text that names GPS fields goes as a whole.
    """
    kept = {key: value for key, value in meta.items() if not _is_location(key)}
    found = len(kept) < len(meta)
    for key, value in kept.items():
        kept[key], inside = _clear_value(value)
        found |= inside
    return kept, found


def _is_location(key: str) -> bool:
    if not _LOCATION_HINT.search(key):
        return False
    lowered = key.lower()
    if "gps" in lowered or "latitude" in lowered or "longitude" in lowered:
        return True
    return any(word.lower() in _LOCATION_WORDS for word in _WORD.findall(key))


def _clear_value(value: object) -> tuple[Any, bool]:
    if isinstance(value, str):
        return _clear_text(value)
    if isinstance(value, dict):
        return without_location(value)
    if isinstance(value, list):
        pairs = [_clear_value(item) for item in value]
        return [item for item, _ in pairs], any(found for _, found in pairs)
    return value, False


def _clear_text(text: str) -> tuple[str | None, bool]:
    if text.startswith(("{", "[")) and _LOCATION_HINT.search(text):
        parsed = parse_json(text)
        if isinstance(parsed, (dict, list)):
            cleared, found = _clear_value(parsed)
            return (json.dumps(cleared, ensure_ascii=False), True) if found else (text, False)
    if _LOCATION_TEXT.search(text):
        return None, True
    return text, False


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401 - JSON is anything
    """Return what a JSON text stands for, or None where it is none; bytes that are no UTF-8 become lone surrogates."""
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError):
        return None


def meta_json(meta: Mapping[str, Any]) -> str:
    """Return metadata as canonical JSON; bytes become null, other values without a JSON form their text."""
    try:
        return canonical_json(meta)
    except TypeError:
        return canonical_json(_plain(meta))


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return None
    try:
        canonical_json(value)
    except TypeError:
        return str(value)
    return value
