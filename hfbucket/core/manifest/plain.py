"""manifest.json as plain data and back: liberal where that is safe, strict where it is not (FORMAT section 6)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from hfbucket.core.hashing import sha256_of
from hfbucket.core.keys import MANIFEST, safe_file
from hfbucket.core.manifest.model import FORMATS, Asset, BucketEntry, Manifest, SampleTable, Shard, Size
from hfbucket.errors import FormatError, UnsupportedVersionError

__all__ = ["GENERATOR", "content_sha256", "from_dict", "is_ours", "seal", "to_dict", "with_listed_shards"]

GENERATOR: Final = "hfbucket"
"""`generator.name` of what this package writes; other exports of the family are read liberally."""

WORDS: Final = ("title", "description", "license", "language", "tags", "citation", "sections")
"""The card's words: they may change without changing what the export is."""

_UNHASHED: Final = ("created", "export_id", "content_sha256", "history", "generator", "assets", *WORDS)
_STRUCTURAL: Final = ("format", "buckets", "samples")
_VERSION: Final = re.compile(r"bucketed_shards_v([0-9]+)(?:\.[0-9]+)?")
_BUCKET_ID: Final = re.compile(r"(?:r([1-9][0-9]{0,8})_)?p([1-9][0-9]{0,8})x([1-9][0-9]{0,8})")
_SHARD_KEYS: Final = {"file", "count", "bytes", "sha256"}
_SHARD_NAME: Final = re.compile(r"shard-[0-9]{5,}\.tar")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_TYPE_NAMES: Final = {int: "an integer", str: "a string", bool: "true or false"}


def to_dict(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest as plain JSON data, keys in the model's order, unknown keys of what was read last."""
    data: dict[str, Any] = {f.name: _plain(getattr(manifest, f.name)) for f in fields(Manifest) if f.name != "extra"}
    defaults = Manifest(format=manifest.format)
    for key, value in manifest.extra.items():
        # A foreign value that did not fit our model stands here under its own name, until a card sets that field.
        if key not in data or getattr(manifest, key) == getattr(defaults, key):
            data[key] = value
    return data


def content_sha256(manifest: Manifest) -> str:
    """Return the hash of what the export holds, without times, names, words, pictures and Parquet hashes."""
    data = {key: value for key, value in to_dict(manifest).items() if key not in _UNHASHED}
    data["samples"] = [{k: v for k, v in table.items() if k != "sha256"} for table in data["samples"]]
    return sha256_of(data)


def seal(manifest: Manifest) -> Manifest:
    """Return the manifest with `content_sha256` and `export_id` as its content asks."""
    digest = content_sha256(manifest)
    return replace(manifest, content_sha256=digest, export_id=digest[:16])


def with_listed_shards(manifest: Manifest, files: Iterable[str]) -> Manifest:
    """Return the manifest with the tars of a listing as shards of the buckets that have images but name none."""
    tars = sorted((file for file in files if file.endswith(".tar")), key=lambda file: file.encode("utf-8"))
    listed = {
        name: tuple(Shard(file=file) for file in tars if file.rpartition("/")[0] == f"buckets/{name}")
        for name, entry in manifest.buckets.items()
        if entry.count and not entry.shards
    }
    entries = {n: replace(e, shards=listed[n]) if n in listed else e for n, e in manifest.buckets.items()}
    return replace(manifest, buckets=entries) if listed else manifest


def is_ours(manifest: Manifest) -> bool:
    """Return whether this package wrote the export, so that every promise of the format holds it."""
    return manifest.generator is not None and manifest.generator.name == GENERATOR


def from_dict(data: object, *, where: str = MANIFEST) -> Manifest:
    """Return the manifest that `data`, parsed JSON, stands for.

    Exports that other tools wrote may give shards as bare names or not at all, leave out what a bucket's id says,
    and carry fields of other shapes: those are kept in `extra`.

    Args:
        where: the file's name, put before the place in every error.

    Raises:
        UnsupportedVersionError: a newer format.
        FormatError: anything else that is missing or wrong, with the place.
    """
    if not isinstance(data, dict):
        raise FormatError(f"must be a JSON object, got {_shown(data)}", where=where)
    _check_format(data.get("format"), where)
    generator = data.get("generator")
    ours = isinstance(generator, dict) and generator.get("name") == GENERATOR
    hints = _hints(Manifest)
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in data.items():
        if key not in hints or key == "extra":
            extra[key] = value
            continue
        try:
            known[key] = _field(data, key, hints[key], f"{where}: {key}")
        except FormatError:
            if ours or key in _STRUCTURAL:
                raise
            extra[key] = value
    if "buckets" not in known:
        raise FormatError("is missing; an export's manifest names its buckets", where=f"{where}: buckets")
    return Manifest(**known, extra=extra)


def _check_format(name: object, where: str) -> None:
    if name in FORMATS:
        return
    version = _VERSION.fullmatch(name) if isinstance(name, str) else None
    if version and int(version[1]) > 2:
        raise UnsupportedVersionError(
            f"is {name!r}, newer than {FORMATS[0]!r}, the newest this release knows; upgrade hfbucket",
            where=f"{where}: format",
        )
    if version is None or int(version[1]) < 1:
        raise FormatError(f"must be one of {', '.join(FORMATS)}, got {_shown(name)}", where=f"{where}: format")


def _field(data: Mapping[str, Any], key: str, hint: Any, where: str) -> Any:  # noqa: ANN401 (typed by the hint)
    if key == "buckets":
        return _buckets(data, where)
    if data[key] is None and key not in _STRUCTURAL:
        return _default(key)
    return _value(data[key], hint, where)


def _default(key: str) -> Any:  # noqa: ANN401 (of the field)
    return getattr(Manifest(format=FORMATS[0]), key)


def _buckets(manifest: Mapping[str, Any], where: str) -> dict[str, BucketEntry]:
    buckets = manifest["buckets"]
    if not isinstance(buckets, dict):
        raise FormatError(f"must be an object, got {_shown(buckets)}", where=where)
    return {name: _bucket(name, entry, manifest, f"{where}[{name!r}]") for name, entry in buckets.items()}


def _bucket(name: str, entry: object, manifest: Mapping[str, Any], where: str) -> BucketEntry:
    if not isinstance(entry, dict):
        raise FormatError(f"must be an object, got {_shown(entry)}", where=where)
    if "/" in safe_file(name, where=where):
        raise FormatError(f"must be the name of one folder, got {name!r}", where=where)
    filled = {**_from_id(name, manifest), **{key: value for key, value in entry.items() if value is not None}}
    shards = filled.get("shards", [])
    if not isinstance(shards, list):
        raise FormatError(f"must be an array, got {_shown(shards)}", where=f"{where}.shards")
    prefix = f"buckets/{name}/"
    filled["shards"] = [
        _usual_shard(prefix, shard) or _shard(name, shard, f"{where}.shards[{i}].file")
        for i, shard in enumerate(shards)
    ]
    if "count" not in filled and shards:
        counts = [shard.get("count") if isinstance(shard, dict) else None for shard in shards]
        if all(type(count) is int for count in counts):
            filled["count"] = sum(counts)
    read: BucketEntry = _value(filled, BucketEntry, where)
    return read


def _usual_shard(prefix: str, shard: Any) -> Shard | None:  # noqa: ANN401 (any JSON value)
    """Return a shard that is written as this package writes it, or None: of tens of thousands nearly all are.

    It is what `_value` returns for them, ten times as fast.
    """
    if type(shard) is not dict or shard.keys() != _SHARD_KEYS:
        return None
    file, count, size_bytes, sha256 = shard["file"], shard["count"], shard["bytes"], shard["sha256"]
    if type(file) is not str or not file.startswith(prefix) or not _SHARD_NAME.fullmatch(file, len(prefix)):
        return None
    if type(count) is not int or type(size_bytes) is not int or type(sha256) is not str:
        return None
    if not (0 <= count < 2**63 and 0 <= size_bytes < 2**63 and _SHA256.fullmatch(sha256)):
        return None
    return Shard(file=file, count=count, bytes=size_bytes, sha256=sha256)


def _shard(bucket_id: str, shard: object, where: str) -> object:
    """Return the shard as an object; a bare name lies in its bucket's folder."""
    entry = {"file": shard} if isinstance(shard, str) else shard
    if isinstance(entry, dict) and isinstance(entry.get("file"), str) and "/" not in entry["file"]:
        return {**entry, "file": f"buckets/{bucket_id}/{safe_file(entry['file'], where=where)}"}
    return entry


def _from_id(name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a bucket's id and the settings say about it (FORMAT section 2), for entries that leave it out."""
    match = _BUCKET_ID.fullmatch(name)
    if match is None:
        return {}
    w, h = int(match[2]), int(match[3])
    known: dict[str, Any] = {"proto": {"w": w, "h": h}}
    bases = manifest.get("base_resolutions")
    only = bases[0] if isinstance(bases, list) and len(bases) == 1 else manifest.get("base_resolution")
    base = int(match[1]) if match[1] else only
    divisible = manifest.get("divisible", 32)
    if type(base) is int and type(divisible) is int and divisible > 0:
        scaled = {axis: p * base // (1024 * divisible) * divisible for axis, p in (("w", w), ("h", h))}
        known |= {"base_resolution": base, "scaled": scaled}
    return known


def _plain(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _value(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401 (typed by the hint)
    """Return `value`, parsed JSON, as the type `hint`; the model's dataclasses are the grammar."""
    if type(value) is hint:  # most values of a manifest: told before the hint is looked at more closely, which is slow
        if hint is int and not 0 <= value < 2**63:
            raise FormatError(f"must be from 0 to 2**63 - 1, got {_shown(value)}", where=where)
        return value
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        (inner,) = (arg for arg in get_args(hint) if arg is not NoneType)
        return None if value is None else _value(value, inner, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise FormatError(f"must be an array, got {_shown(value)}", where=where)
        return tuple(_value(item, get_args(hint)[0], f"{where}[{i}]") for i, item in enumerate(value))
    if origin is not None or is_dataclass(hint):
        if not isinstance(value, dict):
            raise FormatError(f"must be an object, got {_shown(value)}", where=where)
        if origin is None:
            return _object(value, hint, where)
        return {key: _value(item, get_args(hint)[1], f"{where}[{key!r}]") for key, item in value.items()}
    raise FormatError(f"must be {_TYPE_NAMES[hint]}, got {_shown(value)}", where=where)


def _object(data: Mapping[str, Any], model: Any, where: str) -> Any:  # noqa: ANN401 (a dataclass of the model)
    values: dict[str, Any] = {}
    for f in fields(model):
        if f.name in data:
            values[f.name] = _value(data[f.name], _hints(model)[f.name], f"{where}.{f.name}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise FormatError("is missing", where=f"{where}.{f.name}")
    if model in (Shard, SampleTable, Asset):
        safe_file(values["file"], where=f"{where}.file")
        sha256 = values.get("sha256")
        if sha256 is not None and not _SHA256.fullmatch(sha256):
            raise FormatError(f"must be 64 lowercase hex digits, got {sha256!r}", where=f"{where}.sha256")
    if model is Size and not (values["w"] and values["h"]):
        raise FormatError(f"must be at least 1x1 pixels, got {values['w']}x{values['h']}", where=where)
    return model(**values)


@cache
def _hints(model: type) -> dict[str, Any]:
    return get_type_hints(model)


def _shown(value: object) -> str:
    text = {True: "true", False: "false", None: "null"}.get(value) if isinstance(value, bool | None) else None
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "an array"
    text = text or repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
