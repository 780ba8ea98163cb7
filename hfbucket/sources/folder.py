"""Folders of images with captions and metadata in files beside them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.keys import digest_of, text_of
from hfbucket.core.meta import parse_json
from hfbucket.core.units import NOT_THERE, NOT_TOLD, FileEntry, SourceSpec, Unit, UnitFacts
from hfbucket.errors import SourceError
from hfbucket.io import store
from hfbucket.io.images.formats import IMAGE_EXTENSIONS
from hfbucket.io.pieces import Pieces
from hfbucket.sources import metadata_files
from hfbucket.sources.containers import NO_LENGTH, files_of, is_record, listing_facts, may_annotate
from hfbucket.sources.contents import Content, contents_of
from hfbucket.sources.listing import Files, Listing
from hfbucket.sources.rows import TEXT_EXTENSIONS, Look, Place, Rows, extension_of, look_at, unreadable

SLICE_FILES: Final = 1024
"""How many images a slice has on average. Slices end where a name's hash says so: one file more changes one slice."""

_MOST_FILES: Final = 8 * SLICE_FILES
_SIDECARS: Final = frozenset({*TEXT_EXTENSIONS, "json"})


def list_units(spec: SourceSpec, number: int, config: Config, files: Files | None = None) -> Listing:
    """Return the slices of a folder, of one file, or of what a glob matches."""
    files = files or files_of(spec.url)
    root, found = files.root, files.found
    wanted = None
    if not files.is_folder:
        wanted = frozenset(file.path for file in found)
        found = _beside(root, found)
    listed = _Folder(root, found, wanted, config)
    slices = _slices(listed.entries)
    units = tuple(_unit(spec, number, root, part, listed) for part in slices)
    beside = listed.beside()
    urls = tuple(store.join(root, path) for path in beside)
    return Listing(units=units, facts=listed.facts(beside, files.hidden), beside=urls)


def random_access(unit: Unit) -> bool:
    """Return True: every image is a file."""
    return True


def scan_unit(unit: Unit, config: Config, look: Look = look_at, aside: Path | None = None) -> tuple[Pieces, UnitFacts]:
    """Return the index rows of a slice.

    Raises:
        SourceError: a file is gone since it was listed.
    """
    rows = Rows(unit, config, aside)
    contents = contents_of(unit)
    for entry in unit.entries:
        name = text_of(entry.path)
        place = Place(
            archive=None,
            member=name,
            path=entry.path,
            offset=0,
            size_bytes=max(0, entry.size_bytes),
            mtime_ns=entry.mtime_ns,
        )
        image = _look(entry, contents, name, config, look)
        json = next(contents) if entry.json is not None else b""
        text = next(contents) if entry.text is not None else b""
        meta: dict[str, Any] = {}
        captions: dict[str, bytes] = {}
        try:
            meta, captions = _meta(entry, json, rows), _captions(entry, text, rows)
        except OSError as error:  # without what it says the image would be another one, and stay so
            image = unreadable(f"what lies beside it cannot be read: {error.strerror or type(error).__name__}")
        rows.add(place, key=name, image=image, meta=meta, sidecars=captions)
    return rows.finish()


def read_rows(unit: Unit, rows: pa.Table, config: Config) -> Iterator[tuple[int, bytes]]:
    """Yield (number in `rows`, bytes) of images, in the order of `rows`.

    Args:
        rows: columns `path` and `size_bytes` of the index.
    """
    is_far = not store.is_local(unit.url)
    urls = (store.join(unit.url, path) for path in rows["path"].to_pylist())
    sizes = rows["size_bytes"].to_pylist()
    wanted = ((partial(store.read_bytes, url), size if is_far else None) for url, size in zip(urls, sizes, strict=True))
    yield from enumerate(store.ahead(wanted))


class _Folder:
    """The files of a source sorted into images, what belongs to them, and the rest."""

    def __init__(
        self, root: str, found: Sequence[store.FileInfo], wanted: frozenset[bytes] | None, config: Config
    ) -> None:
        self._found = {file.path: file for file in found}
        self._root, self._wanted = root, wanted
        images = [file.path for file in found if self._is_image(file)]
        metadata = [file.path for file in found if metadata_files.is_metadata(file.path)]
        texts = {*config.variants, *([config.id_column] if config.id_column else [])}
        self._rows, self._notes = metadata_files.read_all(root, metadata, texts)
        if wanted is None:  # of a part of a folder, metadata may name more
            images = sorted({*images, *(path for path in self._rows if path not in self._found)})
        self._sidecars = self._beside(images)
        self._used = {*images, *metadata}
        self.entries = [self._entry(path) for path in images]

    def version(self, entry: FileEntry) -> str:
        """Return a text that changes whenever an image or what belongs to it may have."""
        paths = (path for path in (entry.path, entry.text, entry.json) if path is not None)
        versions = (self._found[path].version if path in self._found else "missing" for path in paths)
        return "\0".join((text_of(entry.path), *versions, entry.row or ""))

    def beside(self) -> list[bytes]:
        """Return the files that may be annotations: those that belong to no image."""
        shards = {path.rpartition(b"/")[0] for path in self._used}
        others = (path for path, file in self._found.items() if path not in self._used and file.kind == "file")
        return may_annotate(path for path in others if not is_record(path, shards))

    def facts(self, beside: Sequence[bytes], hidden: Mapping[str, int]) -> UnitFacts:
        """Return what lay there beside images and what belongs to them."""
        ignored = Counter(hidden)
        odd, records = 0, 0
        shards = {path.rpartition(b"/")[0] for path in self._used}
        for file in self._found.values():
            if file.path in self._used or (self._wanted is not None and file.path not in self._wanted):
                continue
            if file.kind != "file":
                odd += 1
            elif is_record(file.path, shards):
                records += 1
            else:
                ignored[extension_of(text_of(file.path))] += 1
        return listing_facts(ignored, odd, records, self._notes, beside=beside)

    def _is_image(self, file: store.FileInfo) -> bool:
        extension = extension_of(text_of(file.path))
        return (
            f".{extension}" in IMAGE_EXTENSIONS
            and file.kind != "other"
            and (self._wanted is None or file.path in self._wanted)
        )

    def _beside(self, images: Sequence[bytes]) -> dict[bytes, dict[str, bytes]]:
        """Return per stem the sidecars of images, by extension."""
        beside: dict[bytes, dict[str, bytes]] = {path.rpartition(b".")[0]: {} for path in images}
        for file in self._found.values():
            stem, _, extension = file.path.rpartition(b".")
            kind = extension.lower().decode("latin-1")
            if kind in _SIDECARS and stem in beside and file.kind == "file":
                beside[stem].setdefault(kind, file.path)
        return beside

    def _entry(self, path: bytes) -> FileEntry:
        file = self._found.get(path)
        beside = self._sidecars[path.rpartition(b".")[0]]
        text = next((beside[kind] for kind in TEXT_EXTENSIONS if kind in beside), None)
        json = beside.get("json")
        self._used.update(used for used in (text, json) if used is not None)
        return FileEntry(
            path=path,
            size_bytes=NOT_THERE if file is None else self._length(file),
            mtime_ns=file.mtime_ns if file is not None else 0,
            text=text,
            json=json,
            text_bytes=self._size(text),
            json_bytes=self._size(json),
            row=self._rows.get(path),
        )

    def _length(self, file: store.FileInfo) -> int:
        if file.kind == "file":
            return file.size_bytes
        return NOT_THERE if store.is_local(self._root) else NOT_TOLD

    def _size(self, path: bytes | None) -> int:
        return 0 if path is None else self._found[path].size_bytes


def _beside(root: str, wanted: Sequence[store.FileInfo]) -> list[store.FileInfo]:
    """Return the files wanted, and of every folder that one lies in, up to the root: its sidecars and metadata."""
    folders = {b""}
    for file in wanted:
        path = file.path
        while (path := path.rpartition(b"/")[0]) not in folders:
            folders.add(path)
    found = {file.path: file for file in wanted}  # hidden ones, too, where they were asked for, with their sidecars
    stems = {file.path.rpartition(b".")[0] for file in wanted}
    for folder in folders:
        url = store.join(root, folder) if folder else root
        for file in store.walk(url, deep=False, hidden=True):
            path = folder + b"/" + file.path if folder else file.path
            if file.kind != "hidden":
                found[path] = file._replace(path=path)
            elif path.rpartition(b".")[0] in stems and extension_of(text_of(path)) in _SIDECARS:
                found[path] = store.info(store.join(root, path), path)
    return [found[path] for path in sorted(found)]


def _slices(entries: Sequence[FileEntry]) -> Iterator[list[FileEntry]]:
    part: list[FileEntry] = []
    for entry in entries:
        last = int.from_bytes(hashlib.sha256(entry.path).digest()[:8], "big") % SLICE_FILES == 0
        part.append(entry)
        if last or len(part) == _MOST_FILES:
            yield part
            part = []
    if part:
        yield part


def _unit(spec: SourceSpec, number: int, root: str, part: Sequence[FileEntry], listed: _Folder) -> Unit:
    return Unit(
        source=number,
        kind="folder",
        url=root,
        name=text_of(part[0].path),
        prefix=spec.prefix,
        size_bytes=sum(max(0, entry.size_bytes) for entry in part),
        version=digest_of("\n".join(listed.version(entry) for entry in part)).hex(),
        entries=tuple(part),
    )


def _look(entry: FileEntry, contents: Iterator[Content], name: str, config: Config, look: Look) -> dict[str, Any]:
    if entry.size_bytes < 0:
        return unreadable(NO_LENGTH if entry.size_bytes == NOT_TOLD else "there is no such file")
    try:
        with _opened(next(contents)) as file:
            window = cast("BinaryIO", store.Window(file, 0, file.size_bytes))
            return look(window, name=name, size_bytes=file.size_bytes, max_pixels=config.max_pixels)
    except FileNotFoundError as error:
        raise SourceError(f"{name}: is gone since the folder was listed: is the source still there?") from error
    except OSError as error:
        return unreadable(error.strerror or type(error).__name__)


def _opened(content: Content) -> store.RandomFile:
    if isinstance(content, OSError):
        raise content
    assert isinstance(content, store.RandomFile), "contents come in the order they are looked at"
    return content


def _meta(entry: FileEntry, content: Content, rows: Rows) -> dict[str, Any]:
    """Return the metadata of an image: of its own JSON, overlaid with the row of a metadata file."""
    meta: dict[str, Any] = {}
    if entry.json is not None:
        data = _sidecar(entry.json, content, rows)
        value = parse_json(data) if data is not None else None
        if isinstance(value, dict):
            meta = value
            rows.sidecar("json")
        elif data is not None:
            rows.note("is no JSON object: not used", name=text_of(entry.json))
    if entry.row is not None:
        meta |= parse_json(entry.row)
        rows.sidecar("metadata")
    return meta


def _captions(entry: FileEntry, content: Content, rows: Rows) -> dict[str, bytes]:
    if entry.text is None:
        return {}
    data = _sidecar(entry.text, content, rows)
    if data is None:
        return {}
    extension = extension_of(text_of(entry.text))
    rows.sidecar(extension)
    return {extension: data}


def _sidecar(path: bytes, content: Content, rows: Rows) -> bytes | None:
    """Return the bytes of a file beside an image; None, and a note, where there are too many.

    Raises:
        OSError: it cannot be read, which may be otherwise next time.
    """
    if isinstance(content, OSError):
        raise content
    if isinstance(content, bytes):
        return content
    rows.note(f"cannot be read: {content}; its image goes without", name=text_of(path))
    return None
