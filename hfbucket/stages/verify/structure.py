"""The files of an export by a listing alone: names, sizes, and hashes where the listing tells them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hfbucket.core.checks.problems import Problem, problem
from hfbucket.core.keys import CARD, MANIFEST
from hfbucket.core.manifest.model import Manifest
from hfbucket.io.export_files import ExportFile

__all__ = ["check_structure", "named_files"]


def named_files(manifest: Manifest) -> dict[str, tuple[int | None, str | None]]:
    """Return the shards and tables that a manifest names, each with its size in bytes and sha256 where it says so."""
    shards = [shard for entry in manifest.buckets.values() for shard in entry.shards]
    named = {shard.file: (shard.bytes, shard.sha256) for shard in shards}
    return named | {file.file: (file.bytes, file.sha256) for file in manifest.small_files}


def check_structure(manifest: Manifest, files: Mapping[str, ExportFile], *, ours: bool) -> Iterator[Problem]:
    """Yield where the files that are there are not those that the manifest names."""
    named = {MANIFEST: (None, None), **named_files(manifest)}
    if ours:
        named[CARD] = (None, None)
    for file, (size_bytes, sha256) in named.items():
        entry = files.get(file)
        if entry is None and file == CARD:
            yield problem("card", "there is none; stock loaders find their configs in it", file=CARD)
        elif entry is None:
            yield problem("missing", "the manifest names it, but there is no such file", file=file)
        elif entry.link:
            yield problem("link", "must be a file, got a link or a folder", file=file)
        elif size_bytes is not None and entry.size_bytes != size_bytes:
            yield problem("size", f"must have {size_bytes} bytes, got {entry.size_bytes}", file=file)
        elif None not in (sha256, entry.sha256) and entry.sha256 != sha256:
            yield problem("hash", f"sha256 must be {sha256}, the listing says {entry.sha256}", file=file)
    for file, entry in files.items():
        if file not in named and file.startswith("buckets/") and (file.endswith(".tar") or entry.link):
            yield problem("stray", "stands under buckets/ without a place in the manifest", file=file)
