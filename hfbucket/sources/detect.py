"""Which kind of source a path is: by looking at what is there."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from hfbucket.config import Config
from hfbucket.core.keys import text_of
from hfbucket.core.units import SourceKind, SourceSpec
from hfbucket.errors import SourceError
from hfbucket.io import store
from hfbucket.io.images.formats import IMAGE_EXTENSIONS
from hfbucket.sources import metadata_files, parquet, tars
from hfbucket.sources.containers import files_of, is_record
from hfbucket.sources.listing import Files
from hfbucket.sources.parts import split_archives
from hfbucket.sources.rows import extension_of

_NAMED = re.compile(r"(?P<name>[^/\\=:*?\[\]]+)=(?P<url>.+)", re.DOTALL)
_READ: Final = "images (.jpg .png .webp …), webdataset tars (.tar .tgz .tar.gz) and Parquet files with images are read"

_WORDS: Final[dict[SourceKind, str]] = {"folder": "images", "tars": "tars", "parquet": "Parquet files with bytes"}
_MOST_LOOKED_AT: Final = 16
"""Of how many Parquet files the columns are looked at."""


def resolve(argument: str, config: Config) -> SourceSpec:
    """Return the source that a command's argument means, as `looked_up` does."""
    return looked_up(argument, config)[0]


def looked_up(argument: str, config: Config) -> tuple[SourceSpec, Files | None]:
    """Return the source that a command's argument means, `PATH` or `name=PATH`, and its files.

    The files are None where the settings say what kind of source it is: then nothing was looked at.

    Raises:
        SourceError: nothing is there, nothing of it can be read, or what it is stays unclear.
    """
    given, path = _split(argument)
    url = store.absolute(path)
    if config.source_type:
        _check_there(path, url)
        kind, files = config.source_type, None
    else:
        files = files_of(url)
        if not files.found:
            _check_there(path, url)
        kind = _look(path, files)
    prefix = f"{given}/" if given else ""
    return SourceSpec(name=given or _own_name(url), url=url, prefix=prefix, kind=kind), files


def _check_there(path: str, url: str) -> None:
    if store.kind_of(url) == "nothing" and store.split_glob(url)[1] is None:
        hint = "; braces are not expanded, * and ? are" if "{" in path else ""
        raise SourceError(f"{path}: no such file or folder{hint}")


def _split(argument: str) -> tuple[str, str]:
    """Return (name or empty, path); a path that exists is one, whatever stands in it."""
    match = _NAMED.fullmatch(argument)
    if match is None or (store.is_local(argument) and store.kind_of(argument) != "nothing"):
        return "", argument
    if match["name"] in (".", "..") or match["name"] != match["name"].strip():
        raise SourceError(f"{argument}: a name must not be {match['name']!r}: it is put before every image_id")
    return text_of(os.fsencode(match["name"])), match["url"]


def _own_name(url: str) -> str:
    """Return the last part of a path, of a glob's the last one before its wildcard."""
    root, pattern = store.split_glob(url)
    if pattern is not None and store.kind_of(url) != "nothing":  # a name with such signs in it
        root = url
    return text_of(store.split_name(root.rstrip("/"))[1]) or "source"


def _look(path: str, files: Files) -> SourceKind:
    """Return the one kind of which there are files; more than one is for the user to decide."""
    names = {file.path: text_of(file.path).lower() for file in files.found if file.kind != "other"}
    images = [at for at, name in names.items() if f".{extension_of(name)}" in IMAGE_EXTENSIONS]
    archives = [at for at, name in names.items() if name.endswith(tuple(f".{end}" for end in tars.EXTENSIONS))]
    splits = split_archives(names)
    archives += [at for parts in splits.values() for at in parts]
    tables = [at for at, name in names.items() if extension_of(name) == "parquet"]
    shards = {at.rpartition(b".")[0] for at in archives} | {at.rpartition(b"/")[0] for at in images}
    lone = [at for at in tables if at in files.named or not (metadata_files.is_metadata(at) or is_record(at, shards))]
    with_images = any(parquet.may_hold_images(store.join(files.root, at)) for at in lone[:_MOST_LOOKED_AT])
    tar_count = len(archives) - sum(len(parts) - 1 for parts in splits.values())
    found: dict[SourceKind, int] = {"folder": len(images), "tars": tar_count, "parquet": len(lone) * with_images}
    kinds = [kind for kind, count in found.items() if count]
    if len(kinds) > 1:
        what = " and ".join(f"{found[kind]} {_WORDS[kind]}" for kind in kinds)
        raise SourceError(f"{path}: holds {what}: say which with --source-type {' or '.join(kinds)}")
    if not kinds:
        raise SourceError(f"{path}: {_nothing(list(names.values()), len(tables), sum(files.hidden.values()))}; {_READ}")
    return kinds[0]


def _nothing(names: Sequence[str], tables: int, hidden: int) -> str:
    """Return in words that nothing can be read, and what is there instead."""
    if not names:
        passed_over = f" but {hidden} whose names begin with a dot, which are passed over" if hidden else ""
        return f"matches no file{passed_over}"
    counts = sorted(Counter(extension_of(name) for name in names).items(), key=lambda found: (-found[1], found[0]))
    what = ", ".join(f"{count} .{end}" if end else f"{count} without extension" for end, count in counts[:8])
    hint = " (no Parquet file has a column of bytes: are these lists of URLs?)" if tables else ""
    return f"holds no images: found {what}{hint}"
