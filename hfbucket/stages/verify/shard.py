"""One shard, checked: the task that verify maps over shards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from hfbucket.core.checks.expected import Expected
from hfbucket.core.checks.problems import Lack, Problem, capped, lacks_of, problem
from hfbucket.core.checks.samples import (
    Member,
    check_caption,
    check_metadata,
    group_members,
    meta_differences,
    parse_metadata,
)
from hfbucket.core.checks.tables import KEY_BYTES, check_rows, key_bytes
from hfbucket.core.keys import MEMBERS
from hfbucket.core.manifest.model import Shard
from hfbucket.errors import FormatError, SampleError
from hfbucket.io.export_files import open_file, viewed
from hfbucket.io.images.decode import Decoded, decode_rgb
from hfbucket.io.images.jpeg import Segment, segments
from hfbucket.io.table_search import read_pieces_where, read_where
from hfbucket.io.ustar import padding, read_members

__all__ = ["ShardResult", "ShardTask", "check_bytes", "check_shard"]

_SUBSAMPLING: Final = {0x11: "4:4:4", 0x21: "4:2:2", 0x22: "4:2:0"}
"""Sampling factors of the first component to the name; those of the others are 1x1."""

_EXIF, _ICC = 0xE1, 0xE2
_METADATA_MARKERS: Final = {_EXIF: "APP1 (EXIF, XMP)", _ICC: "APP2 (ICC)", 0xED: "APP13 (IPTC)", 0xFE: "a comment"}
_ROWS_AT_ONCE: Final = 512

_FRAMES: Final = (0xC0, 0xC1, 0xC2)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardTask:
    """A shard with what the manifest says about it. Picklable."""

    export: str
    shard: Shard
    expected: Expected
    #: Also open every sample.
    full: bool
    #: Settings `strip_metadata` and `oriented` of passthrough: what was done to source bytes.
    stripped: bool
    oriented_kept: bool
    max_pixels: int
    #: Sample tables that hold rows of this shard.
    tables: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardResult:
    """What was found in one shard."""

    problems: tuple[Problem, ...]
    #: What an export of another tool does not have.
    lacks: tuple[Lack, ...] = ()
    #: 16 bytes for each sample.
    keys: bytes = b""
    #: The keys of `meta` in its first sample; None where there is none.
    meta_keys: tuple[str, ...] | None = None

    @property
    def samples(self) -> int:
        """How many samples there are, whole or not."""
        return len(self.keys) // KEY_BYTES


def check_shard(task: ShardTask) -> ShardResult:
    """Return what is wrong with a shard: hash, headers, members, keys, count, and with `full` every sample."""
    try:
        with viewed(task.export, task.shard.file) as view:
            return check_bytes(task, view)
    except OSError as error:
        found = problem("missing", f"cannot be read: {error.strerror or error}", file=task.shard.file)
        return ShardResult(problems=(found,))


def check_bytes(task: ShardTask, view: memoryview) -> ShardResult:
    """Return what is wrong with the bytes of a shard."""
    keys: list[str] = []
    facts: list[dict[str, Any]] = []
    problems = tuple(_problems(task, view, keys, facts))
    lacks: tuple[Lack, ...] = ()
    if not task.expected.ours:
        problems, lacks = lacks_of(problems)
    meta_keys = next((tuple(sorted(fact["meta"])) for fact in facts if isinstance(fact.get("meta"), dict)), None)
    joined = b"".join(map(key_bytes, keys))
    return ShardResult(problems=capped(problems), lacks=lacks, keys=joined, meta_keys=meta_keys)


def _problems(task: ShardTask, view: memoryview, keys: list[str], facts: list[dict[str, Any]]) -> Iterator[Problem]:
    """Yield what is wrong, put the keys of all samples into `keys`, and what whole samples say into `facts`."""
    shard, file = task.shard, task.shard.file
    if shard.bytes is not None and len(view) != shard.bytes:
        yield problem("size", f"must have {shard.bytes} bytes, got {len(view)}", file=file)
    if shard.sha256 is not None:
        actual = hashlib.sha256(view).hexdigest()
        if actual != shard.sha256:
            yield problem("hash", f"sha256 must be {shard.sha256}, got {actual}: some byte has changed", file=file)
    members: list[tuple[str, int, int]] = []
    yield from _members(task, view, members)
    samples: list[dict[str, Member]] = []
    for found in group_members(members, file):
        if isinstance(found, Problem):
            yield found
        else:
            keys.append(found[0])
            samples.append(found[1])
    if shard.count is not None and len(samples) != shard.count:
        yield problem("count", f"must hold {shard.count} samples, got {len(samples)}", file=file)
    if task.full:
        for key, sample in zip(keys, samples, strict=True):
            yield from _sample(task, key, sample, view, facts)
        yield from meta_differences(facts, file)
        if task.tables:
            yield from _rows(task, view, facts)


def _members(task: ShardTask, view: memoryview, members: list[tuple[str, int, int]]) -> Iterator[Problem]:
    """Put the members of a tar into `members`, up to the first that cannot be read."""
    try:
        for name, offset, size in read_members(view, strict=task.expected.ours):
            members.append((name, offset, size))
            if task.expected.ours and any(bytes(view[offset + size : offset + size + padding(size)])):
                yield problem("tar", f"{name} must be padded with NULs", file=task.shard.file)
    except FormatError as error:
        yield problem("tar", str(error), file=task.shard.file)


def _sample(
    task: ShardTask, key: str, sample: Mapping[str, Member], view: memoryview, facts: list[dict[str, Any]]
) -> Iterator[Problem]:
    """Yield what is wrong with one sample, and put what it says into `facts`."""
    if any(extension not in sample for extension in MEMBERS):
        yield problem("image", "lacks a member and cannot be read", file=task.shard.file, key=key)
        return
    file = task.shard.file
    jpg, txt, text = (bytes(view[m.offset : m.offset + m.size_bytes]) for m in (sample[e] for e in MEMBERS))
    yield from check_caption(txt, file, key)
    metadata, wrong = parse_metadata(text, file, key)
    if wrong is not None:
        yield wrong
    if metadata is not None:
        yield from check_metadata(metadata, key, task.expected)
        places = {f"{e}_{what}": getattr(m, name) for e, m in sample.items() for what, name in _PLACE}
        facts.append({**metadata, **places, "key": key})
    yield from _image(task, key, jpg, metadata or {})


_PLACE: Final = (("offset", "offset"), ("size", "size_bytes"))


def _image(task: ShardTask, key: str, jpg: bytes, metadata: Mapping[str, Any]) -> Iterator[Problem]:
    file = task.shard.file
    try:
        decoded = decode_rgb(jpg, max_pixels=task.max_pixels)
        found = list(segments(jpg)) if jpg[:2] == b"\xff\xd8" else []
    except SampleError as error:
        code = "source_image" if _is_source(task, jpg, metadata) else "image"
        yield problem(code, f"{key}.jpg cannot be decoded: {error.detail}", file=file, key=key)
        return
    if not found:
        yield problem("image", f"{key}.jpg is no JPEG", file=file, key=key)
    expected = _size(task, metadata)
    if expected not in (None, decoded.image.size):
        got = "{}x{}".format(*decoded.image.size)
        message = f"{key}.jpg must have {'{}x{}'.format(*expected or ())} pixels, got {got}"
        yield problem("image_size", message, file=file, key=key)
    if metadata.get("image_mode") == "reencode_jpeg":
        yield from _bare(task, key, found, _METADATA_MARKERS, "was encoded here")
        yield from _subsampling(task, key, jpg, metadata)
    elif metadata.get("image_mode") == "passthrough_jpeg":
        yield from _kept_bytes(task, key, jpg, found, decoded, metadata)


def _kept_bytes(
    task: ShardTask, key: str, jpg: bytes, found: list[Segment], decoded: Decoded, metadata: Mapping[str, Any]
) -> Iterator[Problem]:
    """Yield what is wrong with source bytes that were kept (FORMAT section 5, passthrough)."""
    file = task.shard.file
    if _is_source(task, jpg, metadata) is False:
        message = f"{key}.jpg must be the source's bytes, sha256 {metadata['source_sha256']}"
        yield problem("source_hash", message, file=file, key=key)
    if task.stripped:
        # an orientation that is kept stands alone in an APP1 of its own
        banned = {m: n for m, n in _METADATA_MARKERS.items() if m != _ICC and (m != _EXIF or decoded.orientation == 1)}
        yield from _bare(task, key, found, banned, "was stripped")
    if decoded.orientation != 1 and not task.oriented_kept:
        message = f"{key}.jpg has EXIF orientation {decoded.orientation} and must be re-encoded"
        yield problem("mode", message, file=file, key=key)
    if "cmyk_converted" in decoded.notes:
        yield problem("mode", f"{key}.jpg is CMYK and must be re-encoded", file=file, key=key)


def _bare(task: ShardTask, key: str, found: list[Segment], banned: Mapping[int, str], why: str) -> Iterator[Problem]:
    markers = sorted({banned[segment.marker] for segment in found if segment.marker in banned})
    if markers:
        message = f"{key}.jpg {why} and must have no metadata, got {', '.join(markers)}"
        yield problem("image_metadata", message, file=task.shard.file, key=key)


def _is_source(task: ShardTask, jpg: bytes, metadata: Mapping[str, Any]) -> bool | None:
    """Return whether these are the source's bytes as they must be here; None where nothing says that they must."""
    stated = metadata.get("source_sha256")
    if task.stripped or metadata.get("image_mode") != "passthrough_jpeg" or stated is None:
        return None
    return bool(hashlib.sha256(jpg).hexdigest() == stated)


def _size(task: ShardTask, metadata: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the size in pixels that the decoded, upright image must have; None where nothing says so."""
    if task.expected.image_mode == "reencode_jpeg":
        return task.expected.scaled.w, task.expected.scaled.h
    w, h = metadata.get("source_w"), metadata.get("source_h")
    return (w, h) if type(w) is int and type(h) is int else None


def _subsampling(task: ShardTask, key: str, jpg: bytes, metadata: Mapping[str, Any]) -> Iterator[Problem]:
    jpeg = metadata.get("jpeg")
    stated = jpeg.get("subsampling") if isinstance(jpeg, dict) else None
    for segment in segments(jpg):
        if segment.marker in _FRAMES and jpg[segment.start + 9] == 3:
            actual = _SUBSAMPLING.get(jpg[segment.start + 11], "another")
            if stated is not None and actual != stated:
                message = f"{key}.jpg must have subsampling {stated}, got {actual}"
                yield problem("image", message, file=task.shard.file, key=key)


def _rows(task: ShardTask, view: memoryview, facts: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Yield where the sample tables differ from the shard, captions included, of which few are held."""
    shard = task.shard.file
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(open_file(task.export, name)) for name in task.tables]
            count = sum(read_where(file, "shard", shard, ["shard"]).num_rows for file in files)
            if count != len(facts):
                message = f"the sample tables have {count} rows of its {len(facts)} samples"
                yield problem("samples", message, file=shard)
            pieces = (piece for file in files for piece in read_pieces_where(file, "shard", shard))
            rows = (row for piece in pieces for batch in piece.to_batches(_ROWS_AT_ONCE) for row in batch.to_pylist())
            yield from check_rows(rows, ({**fact, "text": _caption(view, fact)} for fact in facts), file=shard)
    except (OSError, pa.ArrowException, ValueError) as error:
        message = f"the sample tables' rows of it cannot be read: {error}"
        yield problem("samples", message, file=shard)


def _caption(view: memoryview, fact: Mapping[str, Any]) -> str:
    start = fact["txt_offset"]
    return bytes(view[start : start + fact["txt_size"]]).decode("utf-8", "replace").removesuffix("\n")
