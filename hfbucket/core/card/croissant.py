"""Croissant metadata of an export, from the manifest alone: what its files are, their hashes, and the sample tables.

The vocabulary is Croissant 1.0, https://docs.mlcommons.org/croissant/docs/croissant-spec.html.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from hfbucket.core.card.facts import front_matter, loader_configs
from hfbucket.core.card.markdown import line, plain
from hfbucket.core.card.sentences import description
from hfbucket.core.manifest.model import Manifest, SampleTable, Shard
from hfbucket.schemas import SAMPLES

__all__ = ["croissant_bytes", "croissant_problems"]

_CONTEXT: Final[Mapping[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the standard asks for, whole: readers warn about any other."""

_TABLES: Final = "sample-tables"
_TAR, _PARQUET = "application/x-tar", "application/x-parquet"

_COLUMNS: Final = {
    "key": "name of the sample in its shard: the first 32 hex digits of sha256(image_id)",
    "image_id": "name of the image in its source",
    "bucket_id": "the bucket it lies in",
    "base_resolution": "base resolution of the bucket",
    "shard": "the tar file it lies in",
    "jpg_offset": "first byte of the JPEG in the shard",
    "jpg_size": "bytes of the JPEG",
    "w": "width of the bucket in pixels",
    "h": "height of the bucket in pixels",
    "caption": "the chosen caption",
    "caption_variant": "which caption was chosen",
    "source_w": "width of the source image in pixels, upright",
    "source_h": "height of the source image in pixels, upright",
    "resized_w": "width after the resize, before the crop",
    "resized_h": "height after the resize, before the crop",
    "crop_left": "left side of the crop box in the resized image",
    "crop_top": "upper side of the crop box in the resized image",
    "source_sha256": "SHA-256 of the source file",
}
"""Columns of the sample tables that are described, with what they hold."""


def croissant_bytes(manifest: Manifest) -> bytes:
    """Return croissant.json: JSON as UTF-8, indented for people, one trailing newline."""
    return (json.dumps(_dataset(manifest), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def croissant_problems(data: bytes, manifest: Manifest) -> Iterator[str]:
    """Yield what in a croissant.json contradicts the manifest: other files, or other hashes of them."""
    try:
        entries = json.loads(data)["distribution"]
        found = {entry["contentUrl"]: entry["sha256"] for entry in entries if "contentUrl" in entry}
    except (ValueError, LookupError, TypeError) as error:
        yield f"is no Croissant metadata: {line(str(error))}"
        return
    wanted = {file.file: file.sha256 for file in _files(manifest)}
    for file in sorted(wanted.keys() | found.keys(), key=str):
        if file not in found:
            yield f"does not name {file}"
        elif found[file] != wanted.get(file):
            yield f"gives {line(str(file))} the sha256 {found[file]}, the manifest says {wanted.get(file)}"


def _files(manifest: Manifest) -> Iterator[Shard | SampleTable]:
    """Yield the files that have a hash: without one a file cannot stand in the metadata."""
    yield from (shard for entry in manifest.buckets.values() for shard in entry.shards if shard.sha256)
    yield from manifest.samples


def _dataset(manifest: Manifest) -> dict[str, Any]:
    told = front_matter(manifest)
    given = {
        "name": line(manifest.title or "") or "Images in aspect-ratio buckets",
        "description": plain(manifest.description or "").strip() or description(manifest),
        "license": line(manifest.license.link or manifest.license.id or manifest.license.name or ""),
        "citeAs": plain(manifest.citation or "").strip(),
        "keywords": told["tags"],
        "inLanguage": told.get("language"),
        "datePublished": manifest.created,
        "version": _version(manifest),
    }
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        **{key: value for key, value in given.items() if value},
        "distribution": [*map(_file_object, _files(manifest)), *_file_sets(manifest)],
        **({"recordSet": [_record_set()]} if manifest.samples else {}),
    }


def _version(manifest: Manifest) -> str:
    """Return how often content and words have changed, as a semantic version: 1.0.0 is the first build."""
    contents = list(dict.fromkeys(entry.export_id for entry in manifest.history))
    since = [entry for entry in manifest.history if entry.export_id == contents[-1]]
    return f"{max(len(contents), 1)}.{max(len(since) - 1, 0)}.0"


def _file_object(file: Shard | SampleTable) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.file,
        "name": file.file,
        "contentUrl": file.file,
        **({} if file.bytes is None else {"contentSize": f"{file.bytes} B"}),
        "encodingFormat": _PARQUET if isinstance(file, SampleTable) else _TAR,
        "sha256": file.sha256,
    }


def _file_sets(manifest: Manifest) -> Iterator[dict[str, Any]]:
    for config in loader_configs(manifest):
        text = f"webdataset shards of the config {config.name}: a jpg, txt and json member for each sample"
        yield _file_set(f"{config.name}-shards", text, _TAR, list(config.patterns))
    if manifest.samples:
        yield _file_set(_TABLES, "one row for each image", _PARQUET, ["samples/*.parquet"])


def _file_set(name: str, text: str, encoding: str, patterns: list[str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": text,
        "encodingFormat": encoding,
        "includes": patterns[0] if len(patterns) == 1 else patterns,
    }


def _record_set() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "One record for each image: where it lies, its sizes and crop box, and its caption.",
        "key": {"@id": "samples/key"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"samples/{column}",
                "name": column,
                "description": text,
                "dataType": "sc:Integer" if pa.types.is_integer(SAMPLES.field(column).type) else "sc:Text",
                "source": {"fileSet": {"@id": _TABLES}, "extract": {"column": column}},
            }
            for column, text in _COLUMNS.items()
        ],
    }
