"""What a card says to programs: loader configs, features and sizes, from the manifest alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from hfbucket.core.card.markdown import line, web_url
from hfbucket.core.manifest.model import BucketEntry, Manifest

__all__ = ["ALL", "FEATURES", "LoaderConfig", "bases", "front_matter", "images_exported", "loader_configs"]

ALL: Final = "all"
"""The default config: every image of the export."""

FEATURES: Final = {"jpg": "image", "txt": "string", "json": "json", "__key__": "string", "__url__": "string"}
"""Columns that the stock webdataset builder gives, with their types; declared, so that it need not guess them."""

HUB_LICENSES: Final = frozenset({
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bigscience-bloom-rail-1.0",
    "bigcode-openrail-m", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cdla-sharing-1.0",
    "cdla-permissive-1.0", "cdla-permissive-2.0", "wtfpl", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1",
    "eupl-1.2", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "h-research",
    "intel-research", "lppl-1.3c", "ms-pl", "apple-ascl", "apple-amlr", "mpl-2.0", "odc-by", "odbl", "openmdw-1.0",
    "openrail++", "osl-3.0", "postgresql", "ofl-1.1", "ncsa", "unlicense", "zlib", "pddl", "lgpl-lr",
    "deepfloyd-if-license", "fair-noncommercial-research-license", "llama2", "llama3", "llama3.1", "llama3.2",
    "llama3.3", "llama4", "grok2-community", "gemma", "unknown", "other",
})  # fmt: skip
"""Identifiers that the Hub's check of a card's metadata accepts; any other makes it refuse the card."""

LICENSE_FILES: Final = ("LICENSE", "LICENSE.md")
"""Files of a repository that `license_link` may name."""

TAGS: Final = ("webdataset", "aspect-ratio-bucketing", "hfbucket")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderConfig:
    """One config of the card's YAML."""

    name: str
    #: Globs below the export that match exactly the config's shards.
    patterns: tuple[str, ...]
    images: int
    size_bytes: int | None


def bases(manifest: Manifest) -> tuple[int, ...]:
    """Return the base resolutions that have images, largest first."""
    return tuple(sorted({entry.base_resolution for entry in _filled(manifest).values()}, reverse=True))


def images_exported(manifest: Manifest) -> int:
    """Return how many images the export holds."""
    return sum(entry.count for entry in manifest.buckets.values())


def loader_configs(manifest: Manifest) -> tuple[LoaderConfig, ...]:
    """Return the configs of the card: `all`, then one per base resolution that has images, largest first.

    A config whose files do not exist would keep every config from loading, so there is none for an empty base.
    """
    by_base = [(f"r{base}", base) for base in bases(manifest)]
    return tuple(_config(manifest, name, base) for name, base in [(ALL, None), *by_base] if by_base)


def first_shard(manifest: Manifest) -> str | None:
    """Return a shard of the bucket with most images, or None where the manifest names no shards."""
    largest = max(manifest.buckets.values(), key=lambda entry: (bool(entry.shards), entry.count), default=None)
    return largest.shards[0].file if largest and largest.shards else None


def front_matter(manifest: Manifest) -> dict[str, Any]:
    """Return the card's metadata as plain data, keys as the Hub names them; nothing that the manifest does not say."""
    configs = loader_configs(manifest)
    data: dict[str, Any] = {
        "pretty_name": line(manifest.title or "") or None,
        **_license(manifest),
        "language": _lines(manifest.language),
        "task_categories": ["text-to-image"],
        "size_categories": [size_category(images_exported(manifest))],
        "source_datasets": _lines(source.repo_id or "" for source in manifest.sources),
        "tags": _lines([*TAGS, *manifest.tags]),
        "configs": [_yaml_config(config) for config in configs],
        "dataset_info": [_yaml_info(config) for config in configs],
    }
    return {key: value for key, value in data.items() if value}


def size_category(images: int) -> str:
    """Return the Hub's size category for a number of images, such as `10K<n<100K`."""
    names = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
    index = next((i for i in range(len(names)) if images < 1000 * 10**i), None)
    if index is None:
        return "n>1T"
    return f"{names[index - 1]}<n<{names[index]}" if index else "n<1K"


def glob_matches(pattern: str, files: Iterable[str]) -> set[str]:
    """Return the files that a glob below the export matches, `*` standing for anything but a slash."""
    parts = (re.escape(part) for part in pattern.split("*"))
    compiled = re.compile("[^/]*".join(parts))
    return {file for file in files if compiled.fullmatch(file)}


def _filled(manifest: Manifest) -> dict[str, BucketEntry]:
    return {bucket_id: entry for bucket_id, entry in manifest.buckets.items() if entry.count}


def _config(manifest: Manifest, name: str, base: int | None) -> LoaderConfig:
    buckets = {i: entry for i, entry in _filled(manifest).items() if base in (None, entry.base_resolution)}
    sizes = [entry.bytes for entry in buckets.values()]
    return LoaderConfig(
        name=name,
        patterns=_patterns(manifest, buckets, base),
        images=sum(entry.count for entry in buckets.values()),
        size_bytes=sum(size for size in sizes if size) if all(sizes) else None,
    )


def _patterns(manifest: Manifest, buckets: dict[str, BucketEntry], base: int | None) -> tuple[str, ...]:
    """Return the fewest globs that match these buckets' shards and no other shard of the manifest."""
    everything = {shard.file for entry in manifest.buckets.values() for shard in entry.shards}
    wanted = {shard.file for entry in buckets.values() for shard in entry.shards}
    folders = tuple(f"buckets/{bucket_id}/*.tar" for bucket_id in sorted(buckets))
    if not all(entry.shards for entry in buckets.values()):
        return folders  # exports of other tools may leave the shards to a listing of their folders
    for globs in (("buckets/*/shard-*.tar",), (f"buckets/r{base}_*/shard-*.tar",), folders):
        if set().union(*(glob_matches(glob, everything) for glob in globs)) == wanted:
            return globs
    return tuple(sorted(wanted))


def _license(manifest: Manifest) -> dict[str, str | None]:
    own = manifest.license
    identifier, name, link = (line(text or "") or None for text in (own.id, own.name, own.link))
    if link not in (None, *LICENSE_FILES):
        link = web_url(link or "") or None  # the Hub takes no other
    if identifier and identifier.lower() in HUB_LICENSES:
        return {"license": identifier.lower(), "license_name": name, "license_link": link}
    # What the Hub has no identifier for is "other" there, by the name its owner gave it.
    name = name or identifier
    return {"license": "other" if name or link else None, "license_name": name, "license_link": link}


def _lines(texts: Iterable[str]) -> list[str]:
    """Return each text as one line, once, without those that hold nothing."""
    return [text for text in dict.fromkeys(map(line, texts)) if text]


def _yaml_config(config: LoaderConfig) -> dict[str, Any]:
    path = config.patterns[0] if len(config.patterns) == 1 else list(config.patterns)
    default = {"default": True} if config.name == ALL else {}
    return {"config_name": config.name, **default, "data_files": [{"split": "train", "path": path}]}


def _yaml_info(config: LoaderConfig) -> dict[str, Any]:
    size_bytes = config.size_bytes
    in_split = {} if size_bytes is None else {"num_bytes": size_bytes}
    of_dataset = {} if size_bytes is None else {"download_size": size_bytes, "dataset_size": size_bytes}
    return {
        "config_name": config.name,
        "features": [{"name": name, "dtype": dtype} for name, dtype in FEATURES.items()],
        "splits": [{"name": "train", **in_split, "num_examples": config.images}],
        **of_dataset,
    }
