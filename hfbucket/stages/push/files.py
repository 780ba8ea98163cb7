"""The files of an export that a push is about: their sizes, and hashes from the manifest where it has them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from hfbucket.core.keys import CARD, MANIFEST
from hfbucket.core.manifest.model import Asset, Manifest, SampleTable, Shard
from hfbucket.core.manifest.plain import is_ours
from hfbucket.core.transfer.push import PushFile
from hfbucket.core.transfer.target import TargetName
from hfbucket.errors import ConfigError, PushError
from hfbucket.io.export_files import ledger_parts
from hfbucket.io.hashes import sha256_of
from hfbucket.io.journal import refuse_unfinished
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.samples_card import render_samples_card
from hfbucket.io.store import is_local, local_path

__all__ = ["check_folder", "files_of", "local_export", "samples_files"]

_LOOSE = ("croissant.json", CARD, MANIFEST)


def local_export(export: str | os.PathLike[str]) -> tuple[Path, Manifest]:
    """Return the folder of an export on this machine, and its manifest.

    Raises:
        PushError: it is not on this machine, or another tool wrote it.
        FormatError: there is no finished export, or it was left in the middle of a change.
    """
    url = os.fspath(export)
    if not is_local(url):
        raise PushError(f"{url}: what is pushed must lie on this machine; pull it first")
    folder = Path(local_path(url))
    refuse_unfinished(folder)
    manifest = read_manifest(folder)
    if not is_ours(manifest):
        raise PushError(f"{folder}: was written by another tool; push it with that one, or build it with hfbucket")
    return folder, manifest


def files_of(folder: Path, manifest: Manifest, *, ledger: bool) -> tuple[PushFile, ...]:
    """Return every file that is to stand at the target; what the manifest has a hash of is not read.

    Raises:
        PushError: the manifest lacks a hash or size.
    """
    return tuple(_files(folder, manifest, ledger))


def _files(folder: Path, manifest: Manifest, ledger: bool) -> Iterator[PushFile]:
    shards = [shard for entry in manifest.buckets.values() for shard in entry.shards]
    known: list[Shard | SampleTable | Asset] = [*shards, *manifest.small_files]
    for entry in known:
        if entry.sha256 is None or entry.bytes is None:
            raise PushError(f"{entry.file}: the manifest must give its sha256 and bytes; run the build again")
        yield PushFile(path=entry.file, size_bytes=entry.bytes, sha256=entry.sha256, source=str(folder / entry.file))
    tables = ledger_parts(folder) if ledger else []
    for path in (*tables, *(folder / name for name in _LOOSE)):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            with path.open("rb") as file:
                yield PushFile(path=name, size_bytes=path.stat().st_size, sha256=sha256_of(file), source=str(path))


def samples_files(folder: Path, manifest: Manifest, repo_id: str) -> tuple[PushFile, ...]:
    """Return the files of the companion repository: the sample tables and a card of their own."""
    card = render_samples_card(manifest, repo_id).encode("utf-8")
    tables = [file for file in _files(folder, manifest, ledger=False) if file.path.startswith("samples/")]
    own = PushFile(path=CARD, size_bytes=len(card), sha256=hashlib.sha256(card).hexdigest(), source=card)
    return (*tables, own)


def check_folder(folder: Path, target: TargetName) -> None:
    """Check that a target folder does not lie in the export, nor the export in it, and that stock `datasets` opens it.

    Raises:
        ConfigError: it does, or its name is no UTF-8.
    """
    if target.kind != "folder" or not is_local(target.name):
        return
    named = Path(local_path(target.name))
    here, there = folder.resolve(), named.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise ConfigError(f"the target {there} must not lie in the export {here}, nor the export in it")
    if named.name.encode("utf-8", "replace").decode() != named.name:
        raise ConfigError(f"the target {named} needs a name in UTF-8: stock datasets opens no other; choose another")
