"""Make a caption workspace from sources or from a finished export; over an existing one, add what is new."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.config import DEFAULT_VARIANTS, ORIGINAL, Config
from hfbucket.core.duplicates.exact import find_repeats
from hfbucket.core.events import Notice, OnEvent, Progress, ignore
from hfbucket.core.keys import MANIFEST
from hfbucket.core.law.geometry import digest_words
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.workspace import rows as rules
from hfbucket.core.workspace.brought import LONGEST_CAPTION_BYTES
from hfbucket.core.workspace.rows import Texts
from hfbucket.errors import ConfigError, FormatError, WorkspaceError
from hfbucket.io import store
from hfbucket.io.export_files import open_file
from hfbucket.io.index_files import Index
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.tables import BUFFER_BYTES, batches, parquet_of
from hfbucket.io.waits import waits_told
from hfbucket.io.workspace import images
from hfbucket.io.workspace.database import writing
from hfbucket.sources import SOURCES
from hfbucket.stages.index import index_of
from hfbucket.stages.plan import check_ids, keys_of
from hfbucket.stages.rounds import disk_told
from hfbucket.stages.survey import survey

if TYPE_CHECKING:
    import sqlite3

_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Initialised:
    """What a workspace has after `init`."""

    workspace: str
    #: Images, before and afterwards.
    images: int
    #: Of them: what this call brought.
    images_added: int
    #: Of them: known from before, and not in what was given this time.
    images_not_given: int
    #: Images that cannot be opened, so they are not in the workspace, by outcome.
    left_out: dict[str, int]
    #: Captions that were given, by variant.
    captions: dict[str, int]
    #: Of the given ones: too long to be kept.
    too_long: int


@dataclass(kw_only=True, slots=True)
class _Count:
    given: int = 0
    too_long: int = 0
    captions: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """Some images with their captions."""

    images: pa.Table
    own: tuple[Texts, ...]
    others: tuple[tuple[Texts, str | None], ...] = ()


@waits_told
@disk_told(WorkspaceError)
def init(
    sources: Sequence[str],
    workspace: str | os.PathLike[str],
    config: Config | None = None,
    *,
    on_event: OnEvent = ignore,
) -> Initialised:
    """Make a caption workspace of all images that can be opened, or add those that are new; return what it has.

    Captions that were written to it are never touched. The source's own captions are brought up to date.

    Args:
        sources: as `build` takes them, or one export (a folder or URL with a manifest.json).
        config: how sources are read; the settings that find captions are those of a build.

    Raises:
        SourceError: a source cannot be read, or two images have one image_id.
        WorkspaceError: the file is no workspace, or cannot be written.
    """
    config = config or Config()
    path = os.fspath(workspace)
    Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
    exports = [source for source in sources if _is_export(source)]
    if exports and len(sources) > 1:
        raise ConfigError(f"{exports[0]}: is an export, so it must be given alone, got {len(sources)} sources")
    if exports:
        return _from_export(exports[0], path, on_event)
    return _from_sources(sources, path, config, on_event)


def _is_export(source: str) -> bool:
    url = store.absolute(source)
    return store.split_glob(url)[1] is None and store.kind_of(store.join(url, MANIFEST.encode())) == "file"


def _from_sources(sources: Sequence[str], path: str, config: Config, on_event: OnEvent) -> Initialised:
    found = survey(sources, config, on_event=on_event)
    config = found.config  # annotation files may bring caption columns
    return from_index(index_of(found, on_event=on_event), path, config, on_event=on_event)


def from_index(index: Index, path: str, config: Config, *, on_event: OnEvent = ignore) -> Initialised:
    """Write the images of an index to a workspace; return what it has. See `init`."""
    keep = _first_of_each(index, config)
    count = _Count()
    own = (ORIGINAL,) if config.variants == DEFAULT_VARIANTS else config.variants
    return _write(path, own, (), _index_pieces(index, keep, config, count), count, on_event, index.rows)


def _first_of_each(index: Index, config: Config) -> _Bools | None:
    """Return which rows are the first of their image_id, bool[rows]; None where all are."""
    heads = np.zeros(index.rows, dtype=np.uint64)
    for start, piece in index.groups("digest"):
        digests = pa.concat_arrays([pa.array([], pa.binary(32)), *piece["digest"].chunks])
        heads[start : start + piece.num_rows] = digest_words(digests)[:, 0]
    same_id = find_repeats(heads, partial(keys_of, index))
    if config.duplicate_ids == "error":
        check_ids(index, same_id)
        return None
    keep = np.ones(index.rows, dtype=bool)
    keep[same_id.rows[~same_id.is_first]] = False
    return keep


def _index_pieces(index: Index, keep: _Bools | None, config: Config, count: _Count) -> Iterator[_Piece]:
    for start, rows in index.groups(*rules.INDEX_COLUMNS):
        unit = index.units[int(index.unit_of(np.array([start]))[0])].unit
        if keep is not None:
            rows = rows.filter(pa.array(keep[start : start + rows.num_rows]))
        for entry in pc.value_counts(rows["outcome"].drop_null()).to_pylist():
            count.left_out[entry["values"]] += entry["counts"]
        rows = rows.filter(rows["outcome"].is_null())
        kind = {"folder": "file", "parquet": "parquet", "tars": "tar"}[unit.kind]
        if unit.kind == "tars" and not SOURCES["tars"].random_access(unit):
            kind = "packed"
        root = os.fsencode(store.join(unit.url, b"") if kind == "file" else unit.url)
        yield _Piece(
            images=rules.images_of_index(rows, source=index.sources[unit.source].name, kind=kind, root=root),
            own=rules.own_of_index(rows["captions"], config.variants),
        )


def _from_export(export: str, path: str, on_event: OnEvent) -> Initialised:
    manifest = read_manifest(export)
    if not manifest.samples:
        raise FormatError(
            "names no sample tables, so its images are not known one by one", where=f"{export}/{MANIFEST}"
        )
    variants = [variant.name for variant in manifest.captions.variants]
    own = rules.own_names(variants, manifest.settings.get("caption_column", ()))
    count = _Count()
    claimed = (ORIGINAL,) if own == DEFAULT_VARIANTS else own
    total = sum(part.rows for part in manifest.samples)
    pieces = _sample_pieces(export, manifest, variants, own)
    return _write(path, claimed, manifest.caption_sources, pieces, count, on_event, total)


def _sample_pieces(export: str, manifest: Manifest, variants: Sequence[str], own: Sequence[str]) -> Iterator[_Piece]:
    root = os.fsencode(store.join(store.absolute(export), b""))
    source = manifest.sources[0].name if len(manifest.sources) == 1 else None
    by_variant: dict[str, list[str]] = {}
    for entry in manifest.caption_sources:
        by_variant.setdefault(entry["variant"], []).append(entry["id"])
    owned = 1 if tuple(own) == DEFAULT_VARIANTS else len(own)
    for part in manifest.samples:
        with open_file(export, part.file) as opened, parquet_of(opened, buffer_size=BUFFER_BYTES) as table:
            for batch in batches(table, rules.SAMPLE_COLUMNS):
                rows = pa.Table.from_batches([batch])
                texts = rules.texts_of_samples(rows["captions"], variants, own)
                sources = (by_variant.get(text.variant, []) for text in texts[owned:])
                yield _Piece(
                    images=rules.images_of_samples(rows, root=root, source=source),
                    own=texts[:owned],
                    others=tuple(
                        (text, ids[0] if len(ids) == 1 else None)
                        for text, ids in zip(texts[owned:], sources, strict=True)
                    ),
                )


def _write(
    path: str,
    own: Sequence[str],
    sources: Sequence[Mapping[str, Any]],
    pieces: Iterator[_Piece],
    count: _Count,
    on_event: OnEvent,
    total: int,
) -> Initialised:
    with writing(path, create=True) as connection:
        before = images.count_images(connection)
        images.claim_own(connection, path, own)
        images.put_sources(connection, sources)
        for piece in pieces:
            _put(connection, piece, count, again=before > 0)
            on_event(Progress(stage="workspace", done=count.given, total=total, unit="images"))
            del piece  # before the next one is read
        after = images.count_images(connection)
    if count.too_long:
        text = f"{count.too_long} captions have more than {LONGEST_CAPTION_BYTES} bytes: not in the workspace"
        on_event(Notice(level="warning", text=text))
    return Initialised(
        workspace=path,
        images=after,
        images_added=after - before,
        images_not_given=after - count.given,
        left_out=dict(sorted(count.left_out.items())),
        captions={name: number for name, number in sorted(count.captions.items()) if number},
        too_long=count.too_long,
    )


def _put(connection: sqlite3.Connection, piece: _Piece, count: _Count, *, again: bool) -> None:
    ids = piece.images["image_id"]
    with images.own_open(connection):
        images.put_images(connection, piece.images)
        written = [(text, images.put_own(connection, ids, text, again=again)) for text in piece.own]
        written += [(text, images.put_other(connection, ids, text, source)) for text, source in piece.others]
    count.given += piece.images.num_rows
    for text, (captions, too_long) in written:
        count.captions[text.variant] += captions
        count.too_long += too_long


__all__ = ["Initialised", "from_index", "init"]
