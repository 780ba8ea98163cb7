"""Listing of sources whose units are single files: tars and Parquet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hfbucket.core.keys import text_of
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.io import store
from hfbucket.sources.listing import Listing
from hfbucket.sources.rows import extension_of


def list_containers(spec: SourceSpec, number: int, extensions: Sequence[str]) -> Listing:
    """Return one unit per container of a file, a folder or a glob.

    A file that was named, or that a glob names, is a container whatever its extension; of a folder's files those with
    one of `extensions` are.
    """
    root, named, found = files_of(spec.url)
    ignored: Counter[str] = Counter()
    odd = 0
    units = []
    for file in found:
        name = text_of(file.path)
        if file.kind != "file":
            odd += 1
        elif file.path in named or name.lower().endswith(tuple(f".{extension}" for extension in extensions)):
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
        else:
            ignored[extension_of(name)] += 1
    return Listing(units=tuple(units), facts=UnitFacts(ignored=dict(sorted(ignored.items())), ignored_members=odd))


def files_of(url: str) -> tuple[str, frozenset[bytes], list[store.FileInfo]]:
    """Return (root, files that were named themselves, every file) of a file, a folder or a glob; sorted.

    The root is the folder given, a single file's parent, or a glob's part before the first wildcard's last slash
    (FORMAT section 1).
    """
    kind = store.kind_of(url)
    if kind == "folder":
        return url, frozenset(), store.walk(url)
    if kind == "file":
        root, path = store.split_name(url)
        return root, frozenset({path}), [store.info(url, path)]
    root, pattern = store.split_glob(url)
    if pattern is None:
        return url, frozenset(), []
    named: set[bytes] = set()
    found: dict[bytes, store.FileInfo] = {}
    for path in store.glob(root, pattern):
        matched = store.join(root, path)
        if store.kind_of(matched) == "folder":
            for file in store.walk(matched):
                place = path + b"/" + file.path
                found[place] = replace(file, path=place)
        else:
            named.add(path)
            found[path] = store.info(matched, path)
    return root, frozenset(named), [found[path] for path in sorted(found)]
