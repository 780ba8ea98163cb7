"""Stage extract: an export, or tars, as plain files. Killed at any point, the same call goes on from there."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hfbucket.config import Config
from hfbucket.core.card.numbers import size
from hfbucket.core.events import Notice, OnEvent, ignore
from hfbucket.core.file_names import FileNames
from hfbucket.core.keys import MANIFEST, text_of
from hfbucket.core.units import Unit
from hfbucket.errors import BuildError, ConfigError, SourceError
from hfbucket.io import store
from hfbucket.io.atomic import write_bytes
from hfbucket.io.journal import refuse_unfinished
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.waits import waits_told
from hfbucket.load.location import locate
from hfbucket.load.plan import ALL, ShardRef, shard_refs
from hfbucket.sources import tars
from hfbucket.sources.detect import resolve
from hfbucket.stages.care import Care, workers_for
from hfbucket.stages.rounds import disk_told, run_rounds
from hfbucket.stages.survey import refuse_empty
from hfbucket.stages.unpack import Unpack, Unpacked, read_receipt, unpack

WORK: Final = ".hfbucket-extract"
"""Folder in the output that tells what is done; it may be deleted when all is."""

_MOST_NOTES: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """What an extraction gave: all of it, whatever of it was there before."""

    output: str
    #: Tars, or shards of an export, that were asked for.
    tars: int
    done: Unpacked


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tar:
    """A tar or shard, and the folder that its files go to."""

    name: str
    url: str
    parts: tuple[str, ...]
    size_bytes: int
    version: str
    folder: str
    last_part: str = ""


@waits_told
@disk_told(BuildError)
def extract(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    workers: int | None = None,
    max_short_edge: int | None = None,
    start: int = 0,
    end: int | None = None,
    on_event: OnEvent = ignore,
) -> Extracted:
    """Unpack an export or tars to plain files in a folder, in parallel, and return what came of it.

    An export's samples go to folders named by their bucket, the members of other tars to a folder per tar. Links,
    devices and names that lead elsewhere are left out and counted.

    Args:
        source: an export, `user/name` of one on the Hub, or a tar, a folder of tars or a glob, here or at any URL.
        output: empty, not there yet, or the output of the same call before.
        workers: processes; without it one per core.
        max_short_edge: images with a longer shorter edge, in pixels, are made smaller, and JPEG.
        start: number of the first tar or shard, from 0.
        end: number of the one after the last; without it all.

    Raises:
        ConfigError: a number makes no sense, or the output lies in the export.
        SourceError, FormatError: there is no export and no tar.
        BuildError: the output holds other things, the disk is full, a tar is damaged from its start.
    """
    config = Config(workers=workers)
    if max_short_edge is not None and max_short_edge < 1:
        raise ConfigError(f"max_short_edge must be at least 1, got {max_short_edge}")
    listed = _tars_of(os.fspath(source), Path(output), config)
    if start < 0 or (end is not None and end <= start) or start >= len(listed):
        shown = "" if end is None else f" and end {end}"
        raise ConfigError(f"start must be below end and both among the {len(listed)} tars, got start {start}{shown}")
    root = Path(os.path.abspath(output))
    _prepare(root, {"max_short_edge": max_short_edge})
    tasks = [_task(tar, root, max_short_edge, config) for tar in listed[start:end]]
    left = [task for task in tasks if read_receipt(task) is None]
    total = sum(task.size_bytes for task in left)
    done = f", {len(tasks) - len(left):,} are there already" if len(left) < len(tasks) else ""
    on_event(Notice(level="info", text=f"{len(left):,} of {len(tasks):,} tars to unpack, {size(total)}{done}"))
    run_rounds(
        unpack,
        left,
        [task.size_bytes for task in left],
        name=lambda task: task.name,
        stage="extract",
        workers=workers_for(config, (task.url for task in left)),
        on_event=on_event,
        careful=lambda task, last: replace(task, care=Care.ALONE if last else Care.CHILD),
        unit="B",
    )
    result = sum((_receipt(task) for task in tasks), start=Unpacked())
    for note in result.notes[:_MOST_NOTES]:
        on_event(Notice(level="warning", text=note))
    return Extracted(output=os.fspath(output), tars=len(tasks), done=result)


def _tars_of(source: str, output: Path, config: Config) -> list[_Tar]:
    """Return the shards of an export, or the tars of a source, in order."""
    url = store.absolute(source)
    is_there = store.is_local(source) and store.kind_of(url) != "nothing"
    if is_there and not source.endswith(MANIFEST) and store.kind_of(store.join(url, MANIFEST.encode())) == "nothing":
        return _units(source, config)
    if is_there or store.kind_of(store.join(url, MANIFEST.encode())) == "file" or _may_be_at_hub(source):
        return _shards(source, output)
    return _units(source, config)


def _may_be_at_hub(source: str) -> bool:
    name = source.partition("@")[0]
    return (
        store.is_local(source)
        and store.split_glob(source)[1] is None
        and name.count("/") in (1, 2)
        and (not name.endswith(tuple(f".{extension}" for extension in tars.EXTENSIONS)))
    )


def _shards(source: str, output: Path) -> list[_Tar]:
    export = locate(source).url
    refuse_unfinished(export)
    if store.is_local(export) and Path(os.path.realpath(output)).is_relative_to(os.path.realpath(export)):
        raise ConfigError(f"the output {output} lies in the export {export}: choose another folder")

    def names(folder: str) -> list[str]:
        return [text_of(file.path) for file in store.walk(store.join(export, folder.encode()), deep=False)]

    manifest = read_manifest(export)
    stated = {shard.file: shard for entry in manifest.buckets.values() for shard in entry.shards}
    found = []
    for ref in shard_refs(manifest, ALL, base_url=export, list_folder=names):
        shard = stated.get(ref.file)
        if shard is not None and shard.bytes is not None and shard.sha256 is not None:
            size_bytes, version = shard.bytes, shard.sha256
        else:
            size_bytes, version = _looked_up(ref)
        found.append(
            _Tar(name=ref.file, url=ref.url, parts=(), size_bytes=size_bytes, version=version, folder=ref.bucket_id)
        )
    return found


def _looked_up(ref: ShardRef) -> tuple[int, str]:
    """Return size and version of a shard, where the manifest has no hash of it."""
    try:
        info = store.info(ref.url)
    except OSError as error:
        raise SourceError(f"{ref.file}: is not there; fetch the export again: {error}") from error
    return info.size_bytes, info.version


def _units(source: str, config: Config) -> list[_Tar]:
    try:
        spec = resolve(source, replace(config, source_type="tars"))
        listing = tars.list_units(spec, 0, config)
    except OSError as error:
        raise SourceError(f"{source}: cannot be listed: {error}") from error
    refuse_empty(spec, len(listing.units), listing.facts)
    names = FileNames()
    return [_tar(unit, names) for unit in listing.units]


def _tar(unit: Unit, names: FileNames) -> _Tar:
    stem = unit.name
    for extension in sorted(tars.EXTENSIONS, key=len, reverse=True):
        if stem.lower().endswith(f".{extension}"):
            stem = stem[: -len(extension) - 1]
            break
    folder = names.give(stem.encode("utf-8"))
    return _Tar(
        name=unit.name, url=unit.url, parts=unit.parts, last_part=unit.last_part, size_bytes=unit.size_bytes,
        version=unit.version, folder=folder,
    )  # fmt: skip


def _task(tar: _Tar, root: Path, max_short_edge: int | None, config: Config) -> Unpack:
    name = hashlib.sha256(tar.name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return Unpack(
        name=tar.name,
        url=tar.url,
        parts=tar.parts,
        last_part=tar.last_part,
        size_bytes=tar.size_bytes,
        version=hashlib.sha256(f"{tar.url}\n{tar.version}".encode("utf-8", "surrogateescape")).hexdigest(),
        root=root,
        folder=tar.folder,
        receipt=root / WORK / f"{name}.json",
        begun=root / WORK / f"{name}.begun",
        staging=root / WORK / name,
        max_short_edge=max_short_edge,
        max_pixels=config.max_pixels,
    )


def _receipt(task: Unpack) -> Unpacked:
    done = read_receipt(task)
    if done is None:
        raise BuildError(f"{task.name}: what was done for it vanished from {task.root / WORK}; run the command again")
    return done


def _prepare(root: Path, settings: dict[str, Any]) -> None:
    """Make the output, or make sure that it was made by the same call.

    Raises:
        BuildError: it holds other things, or was made with other settings.
    """
    known = root / WORK / "settings.json"
    if not known.exists():
        if root.exists() and (not root.is_dir() or any(path.name != WORK for path in root.iterdir())):
            raise BuildError(f"{root} holds other files: choose an empty folder, or one that is not there yet")
        known.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(known, json.dumps(settings).encode())
        return
    before = json.loads(known.read_bytes())
    if before != settings:
        raise BuildError(
            f"{root} was extracted with max_short_edge {before.get('max_short_edge') or 'off'}, not "
            f"{settings['max_short_edge'] or 'off'}: choose another folder"
        )
