"""The promises one sample of a shard makes (FORMAT sections 1, 4, 5 and 7)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from hfbucket.core.checks.expected import Expected
from hfbucket.core.checks.problems import Problem, problem
from hfbucket.core.hashing import canonical_json
from hfbucket.core.keys import MEMBERS, digest_of, key_of
from hfbucket.core.law.geometry import Geometry, geometry
from hfbucket.core.meta import without_location

__all__ = [
    "METADATA", "Member", "check_caption", "check_metadata", "group_members", "meta_differences", "parse_metadata",
]  # fmt: skip

_INT: Final = (int,)
_TEXT: Final = (str,)
_TEXT_OR_NULL: Final = (str, type(None))

METADATA: Final[Mapping[str, tuple[type, ...]]] = {
    "w": _INT,
    "h": _INT,
    "jpeg": (dict, type(None)),
    "image_mode": _TEXT,
    "caption_variant": _TEXT_OR_NULL,
    "caption_selector_index": (int, type(None)),
    "caption_source_id": _TEXT_OR_NULL,
    "image_id": _TEXT,
    "bucket_id": _TEXT,
    "base_resolution": _INT,
    "source_w": _INT,
    "source_h": _INT,
    "resized_w": _INT,
    "resized_h": _INT,
    "crop_left": _INT,
    "crop_top": _INT,
    "source_sha256": _TEXT_OR_NULL,
    "source_split": _TEXT_OR_NULL,
    "source_archive": _TEXT_OR_NULL,
    "source_member": _TEXT_OR_NULL,
    "meta": (dict,),
}
"""Every key of `<key>.json` with the types its value may have."""

IMAGE_MODES: Final = ("reencode_jpeg", "passthrough_jpeg")

_KEY: Final = re.compile(r"[0-9a-f]{32}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One member of a shard; offsets and sizes in bytes, `offset` of its data."""

    key: str
    extension: str
    offset: int
    size_bytes: int


def group_members(
    members: Sequence[tuple[str, int, int]], file: str
) -> Iterator[tuple[str, dict[str, Member]] | Problem]:
    """Yield each sample of a shard as key and members by extension, or what is wrong with it.

    Args:
        members: name, offset of the data and size of every member, in order.
    """
    at = 0
    while at < len(members):
        key, _, _ = members[at][0].partition(".")
        group = []
        while at < len(members) and members[at][0].partition(".")[0] == key:
            name, offset, size = members[at]
            group.append(Member(key=key, extension=name.partition(".")[2], offset=offset, size_bytes=size))
            at += 1
        extensions = tuple(member.extension for member in group)
        if extensions != MEMBERS:
            message = f"must have the members {', '.join(MEMBERS)}, adjacent and once each, got {', '.join(extensions)}"
            yield problem("members", message, file=file, key=key)
        if not _KEY.fullmatch(key):
            yield problem("key", f"a key has 32 lowercase hex digits, got {key!r}", file=file, key=key)
        yield key, {member.extension: member for member in group}


def parse_metadata(data: bytes, file: str, key: str) -> tuple[dict[str, Any] | None, Problem | None]:
    """Return the metadata of a sample, None where it cannot be read, and what is wrong with its text."""
    try:
        text = data.decode("utf-8")
        value = json.loads(text)
        canonical = canonical_json(value)
    except (ValueError, RecursionError) as error:
        return None, problem("metadata", f"{key}.json is no JSON in UTF-8: {error}", file=file, key=key)
    if not isinstance(value, dict):
        return None, problem("metadata", f"{key}.json must be an object", file=file, key=key)
    if text == canonical:
        return value, None
    message = f"{key}.json must be canonical JSON: sorted keys, no spaces, non-ASCII as is"
    return value, problem("metadata_form", message, file=file, key=key)


def check_caption(data: bytes, file: str, key: str) -> Iterator[Problem]:
    """Yield what is wrong with the bytes of a sample's caption."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        yield problem("caption", f"{key}.txt must be UTF-8: {error.reason} at byte {error.start}", file=file, key=key)
        return
    if not text.endswith("\n"):
        yield problem("caption", f"{key}.txt must end in a line break", file=file, key=key)
    if "\0" in text:
        yield problem("caption", f"{key}.txt has a NUL at character {text.index(chr(0))}", file=file, key=key)


def check_metadata(metadata: Mapping[str, Any], key: str, expected: Expected) -> Iterator[Problem]:
    """Yield what is wrong with the parsed metadata of a sample, against the manifest and the law."""

    def wrong(code: str, message: str) -> Problem:
        return problem(code, f"{key}.json: {message}", file=expected.file, key=key)

    missing = [name for name in METADATA if name not in metadata and (name != "source_sha256" or expected.source_hash)]
    if missing:
        yield wrong("metadata", f"lacks {', '.join(missing)}")
    unknown = sorted(metadata.keys() - METADATA.keys())
    if unknown and expected.ours:
        yield wrong("metadata", f"has unknown keys {', '.join(unknown)}")
    mistyped = {name for name, types in METADATA.items() if name in metadata and type(metadata[name]) not in types}
    for name in sorted(mistyped):
        yield wrong("metadata", f"{name} is of the wrong type: {metadata[name]!r:.60}")
    wanted = {
        "w": expected.scaled.w,
        "h": expected.scaled.h,
        "bucket_id": expected.bucket_id,
        "base_resolution": expected.base_resolution,
    }
    for name, value in wanted.items():
        if name in metadata and metadata[name] != value:
            yield wrong("bucket", f"{name} must be {value} in this shard, got {metadata[name]!r:.60}")
    if missing or mistyped:
        return
    if key_of(digest_of(metadata["image_id"])) != key:
        expected_key = key_of(digest_of(metadata["image_id"]))
        yield wrong("image_id", f"key must be {expected_key} for image_id {metadata['image_id']!r:.200}")
    selected = metadata["caption_selector_index"]
    if expected.variants and metadata["caption_variant"] != _at(expected.variants, selected):
        yield wrong("caption", f"caption_selector_index {selected} is not of variant {metadata['caption_variant']!r}")
    yield from (wrong("mode", message) for message in _mode(metadata, expected))
    yield from (wrong("geometry", message) for message in _geometry(metadata, expected))
    yield from (wrong(code, message) for code, message in _source(metadata, expected))


def _at(variants: Sequence[str], index: int | None) -> str | None:
    return variants[index] if index is not None and 0 <= index < len(variants) else None


def _mode(metadata: Mapping[str, Any], expected: Expected) -> Iterator[str]:
    mode, jpeg = metadata["image_mode"], metadata["jpeg"]
    if mode not in IMAGE_MODES:
        yield f"image_mode must be one of {', '.join(IMAGE_MODES)}, got {mode!r}"
    elif mode == "passthrough_jpeg" and expected.image_mode != mode:
        yield f"image_mode must be {expected.image_mode} in this export, got {mode}"
    elif mode == "passthrough_jpeg" and jpeg is not None:
        yield f"jpeg must be null where the source's own bytes are kept, got {jpeg}"
    elif mode == "reencode_jpeg" and expected.ours and jpeg != _jpeg(metadata, expected):
        yield f"jpeg must be {_jpeg(metadata, expected)} by the settings, got {jpeg}"


def _jpeg(metadata: Mapping[str, Any], expected: Expected) -> dict[str, Any]:
    """Return how the settings say the image is encoded (FORMAT section 5)."""
    if expected.image_mode == "passthrough_jpeg":
        return {"quality": 95, "subsampling": "4:4:4"}
    subsampling = expected.subsampling
    if subsampling == "adaptive_scale" and expected.threshold is not None:
        scale = max(
            Fraction(expected.scaled.w, max(1, metadata["source_w"])),
            Fraction(expected.scaled.h, max(1, metadata["source_h"])),
        )
        subsampling = "4:4:4" if scale <= expected.threshold else "4:2:0"
    return {"quality": expected.quality, "subsampling": subsampling}


def _geometry(metadata: Mapping[str, Any], expected: Expected) -> Iterator[str]:
    w, h = metadata["source_w"], metadata["source_h"]
    if w < expected.scaled.w or h < expected.scaled.h:
        yield f"a source of {w}x{h} pixels does not fit a bucket of {expected.scaled.w}x{expected.scaled.h}"
        return
    digest = digest_of(metadata["image_id"])
    rule = geometry(
        w,
        h,
        expected.scaled.w,
        expected.scaled.h,
        digest,
        crop=expected.crop,
        corners=expected.corners,
        corner_jitter=expected.corner_jitter,
    )
    stated = Geometry(
        **{name: metadata[name] for name in ("resized_w", "resized_h", "crop_left", "crop_top")}, w=rule.w, h=rule.h
    )
    if stated != rule:
        yield f"must be resized to {_shown(rule)}, got {_shown(stated)}"


def _shown(geometry: Geometry) -> str:
    return f"{geometry.resized_w}x{geometry.resized_h} and cropped at ({geometry.crop_left}, {geometry.crop_top})"


def _source(metadata: Mapping[str, Any], expected: Expected) -> Iterator[tuple[str, str]]:
    sha256 = metadata.get("source_sha256")
    if expected.source_hash and not (sha256 and _SHA256.fullmatch(sha256)):
        yield "metadata", f"source_sha256 must be 64 hex digits while source_hash is on, got {sha256!r}"
    if not expected.source_hash and sha256 is not None:
        yield "metadata", "source_sha256 must be null while source_hash is off"
    if not expected.keep_location:
        kept, found = without_location(metadata["meta"])
        if found:
            names = sorted(name for name, value in metadata["meta"].items() if kept.get(name) != value)
            yield "location", f"meta tells where the picture was taken: {', '.join(names)}"


def meta_differences(samples: Sequence[Mapping[str, Any]], file: str) -> Iterator[Problem]:
    """Yield the samples whose `meta` has other keys than the first one's.

    Args:
        samples: parsed metadata, each with its `key`.
    """
    known = [sample for sample in samples if isinstance(sample.get("meta"), dict)]
    for sample in known[1:]:
        differing = sorted(known[0]["meta"].keys() ^ sample["meta"].keys())
        if differing:
            message = f"meta must have the same keys in every sample, differs in {', '.join(differing)[:200]}"
            yield problem("metadata", message, file=file, key=sample["key"])
