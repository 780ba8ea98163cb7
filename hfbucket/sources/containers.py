"""Files of a source; listing of sources whose units are single files: tars and Parquet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Final

from hfbucket.core.keys import digest_of, text_of
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.errors import SourceError
from hfbucket.io import store
from hfbucket.sources.annotations.files import EXTENSIONS as ANNOTATIONS
from hfbucket.sources.listing import Files, Listing
from hfbucket.sources.parts import may_be_part, parts_with, split_archives
from hfbucket.sources.rows import extension_of

MOST_BESIDE: Final = 64
"""How many files beside the images are looked at for annotations."""

NO_LENGTH: Final = "its server does not say how long it is: download it first"

_RECORD = re.compile(rb"(?P<shard>(?:.*/)?\d+)(?:\.parquet|_stats\.json)", re.DOTALL)


def list_containers(
    spec: SourceSpec, number: int, extensions: Sequence[str], files: Files, *, split: bool = False
) -> Listing:
    """Return one unit per container of a file, a folder or a glob.

    A file that was named, or that a glob names, is a container whatever its extension; of a folder's files those with
    one of `extensions` are.

    Args:
        split: parts of archives that were split are one container, too.

    Raises:
        SourceError: parts are missing.
    """
    root, named, found = files.root, files.named, files.found
    ends = tuple(f".{extension}" for extension in extensions)
    shards = {file.path.rpartition(b".")[0] for file in found if text_of(file.path).lower().endswith(ends)}
    ignored = Counter(files.hidden)
    odd, records = 0, 0
    units, notes = [], list[str]()
    unused = [] if files.is_folder else _others(root, {file.path for file in found})
    splits = split_archives(file.path for file in found if file.kind == "file") if split else {}
    units += [_split_unit(spec, number, root, whole, parts, found) for whole, parts in splits.items()]
    in_splits = {path for parts in splits.values() for path in parts}
    for file in found:
        name = text_of(file.path)
        if file.path in in_splits:
            continue
        is_container = file.path in named or name.lower().endswith(ends)
        if file.kind != "file":
            odd += 1
            if is_container and file.kind == "missing" and not store.is_local(root):
                notes.append(f"{name}: {NO_LENGTH}")
        elif is_container:
            units.append(
                Unit(
                    source=number,
                    kind=spec.kind,
                    url=store.join(root, file.path),
                    name=name,
                    prefix=spec.prefix,
                    size_bytes=file.size_bytes,
                    version=file.version,
                    mtime_ns=file.mtime_ns,
                )
            )
        elif is_record(file.path, shards):
            records += 1
        else:
            ignored[extension_of(name)] += 1
            unused.append(file.path)
    if splits:
        _refuse_two(units)
        units.sort(key=lambda unit: unit.name.encode("utf-8"))
    beside = may_annotate(unused)
    facts = listing_facts(ignored, odd, records, notes, beside=beside)
    return Listing(units=tuple(units), facts=facts, beside=tuple(store.join(root, path) for path in beside))


def _split_unit(
    spec: SourceSpec, number: int, root: str, whole: bytes, parts: Sequence[bytes], found: Sequence[store.FileInfo]
) -> Unit:
    infos = {file.path: file for file in found}
    files = [infos[path] for path in parts]
    urls = tuple(store.join(root, path) for path in parts)
    return Unit(
        source=number,
        kind=spec.kind,
        url=urls[0],
        name=text_of(whole),
        prefix=spec.prefix,
        size_bytes=sum(file.size_bytes for file in files),
        version=split_version(files),
        mtime_ns=max(file.mtime_ns for file in files),
        parts=urls,
        last_part=text_of(parts[-1].rpartition(b"/")[2]),
    )


def split_version(files: Sequence[store.FileInfo]) -> str:
    """Return the version of an archive that was split, by the paths and versions of its parts."""
    return digest_of("\n".join(f"{text_of(file.path)} {file.version}" for file in files)).hex()


def _refuse_two(units: Sequence[Unit]) -> None:
    whole = {unit.name for unit in units if not unit.parts}
    for unit in units:
        if unit.parts and unit.name in whole:
            raise SourceError(f"{unit.name}: lies there whole and in {len(unit.parts)} parts: keep one of both")


def may_annotate(paths: Iterable[bytes]) -> list[bytes]:
    """Return the files that may hold captions of a source's images, by their extension; the nearest to the root."""
    named = [path for path in paths if extension_of(text_of(path)) in ANNOTATIONS]
    return sorted(named, key=lambda path: (path.count(b"/"), path))[:MOST_BESIDE]


def _others(root: str, found: Collection[bytes]) -> list[bytes]:
    """Return the files of a folder that a file or a glob did not name, without what img2dataset writes."""
    return [path for path in store.names_in(root) if path not in found and not _RECORD.fullmatch(path)]


def is_record(path: bytes, shards: Collection[bytes]) -> bool:
    """Return whether a file is what img2dataset writes beside shard `00000`: `00000.parquet` or `00000_stats.json`.

    Args:
        shards: paths of shards without their extension.
    """
    match = _RECORD.fullmatch(path)
    return match is not None and match["shard"] in shards


def listing_facts(
    ignored: Counter[str], odd: int, records: int, notes: Sequence[str] = (), *, beside: Sequence[bytes] = ()
) -> UnitFacts:
    """Return what lay beside the images of a source.

    Args:
        ignored: files by extension.
        odd: pipes, devices and the like.
        records: files for which `is_record` holds: understood, and its samples say the same.
        beside: what `may_annotate` gave.
    """
    return UnitFacts(
        ignored=dict(sorted(ignored.items())),
        ignored_members=odd,
        sidecars={"img2dataset records": records} if records else {},
        beside=tuple(sorted(map(text_of, beside))),
        notes=tuple(sorted({*notes})),
    )


def files_of(url: str) -> Files:
    """Return the files of a file, a folder or a glob."""
    root, path = store.split_name(url)
    there = store.look(url, path)
    if there == "folder":
        return _shown(url, (), store.walk(url, hidden=True), is_folder=True)
    if isinstance(there, store.FileInfo):
        return Files(root=root, named=frozenset({path}), found=_whole(root, there))
    root, pattern = store.split_glob(url)
    if pattern is None:
        return Files(root=url, named=frozenset(), found=[])
    named: set[bytes] = set()
    found: dict[bytes, store.FileInfo] = {}
    paths = store.glob(root, pattern)
    far = None if store.is_local(root) else 0
    for path, files in zip(paths, store.ahead((partial(_matched, root, path), far) for path in paths), strict=True):
        named.update(file.path for file in files if file.path == path)
        found.update({file.path: file for file in files})
    return _shown(root, named, [found[path] for path in sorted(found)])


def _shown(root: str, named: Iterable[bytes], found: Sequence[store.FileInfo], *, is_folder: bool = False) -> Files:
    hidden = Counter(extension_of(text_of(file.path)) for file in found if file.kind == "hidden")
    shown = [file for file in found if file.kind != "hidden"]
    return Files(root=root, named=frozenset(named), found=shown, hidden=hidden, is_folder=is_folder)


def _whole(root: str, named: store.FileInfo) -> list[store.FileInfo]:
    """Return a file that was named; of a part of an archive that was split, all the parts beside it."""
    if not may_be_part(named.path):
        return [named]
    beside = {file.path: file for file in store.walk(root, deep=False) if file.kind == "file"} | {named.path: named}
    return [beside[path] for path in parts_with(named.path, beside)]


def _matched(root: str, path: bytes) -> list[store.FileInfo]:
    """Return the file that a pattern matched, or the files of the folder."""
    matched = store.join(root, path)
    there = store.look(matched, path)
    if isinstance(there, store.FileInfo):
        return [there]
    if there == "nothing":  # any more, or a link to nothing
        return [store.info(matched, path)]
    return [file._replace(path=path + b"/" + file.path) for file in store.walk(matched, hidden=True)]
