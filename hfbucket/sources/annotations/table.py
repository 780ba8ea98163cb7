"""Annotation files as one table: read once, one row per image, kept in the cache and mapped from there.

Records are read one after the other; only bringing the records of one image together holds their texts in memory,
about as much as the files themselves have. `MOST_RECORDS` is the limit.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.hashing import sha256_of
from hfbucket.errors import BuildError, SourceError
from hfbucket.io import store
from hfbucket.io.atomic import replacing
from hfbucket.schemas import ANNOTATIONS
from hfbucket.sources.annotations.fields import Fields, RecordReader, clean_name
from hfbucket.sources.annotations.files import name_of, records

MOST_RECORDS: Final = 20_000_000
MOST_CAPTIONS: Final = 64
"""Captions of one image."""

_VERSION: Final = 1
_SHOWN: Final = 4
_FACTS: Final = b"hfbucket.annotations"
_BATCH_ROWS: Final = 65_536
_RAW: Final = pa.schema([ANNOTATIONS.field(name).with_nullable(True) for name in ANNOTATIONS.names])


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotations:
    """What annotation files say, one row per image."""

    #: The files' names.
    names: tuple[str, ...]
    #: schemas.ANNOTATIONS, mapped.
    table: pa.Table
    #: The most captions that an image has.
    captions: int
    #: Sets of metadata keys; the column `keys` counts in them.
    keys: tuple[tuple[str, ...], ...]
    #: What could not be used, in words.
    problems: tuple[str, ...]

    @property
    def name(self) -> str:
        """The files' names, for people."""
        return " and ".join(self.names) if len(self.names) < _SHOWN else f"{len(self.names)} files like {self.names[0]}"

    def rows(self, numbers: npt.NDArray[np.int64]) -> pa.Table:
        """Return the rows with these numbers, in the order given; only the batches that hold them are touched."""
        batches = self.table.to_batches()
        starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        order = np.argsort(numbers, kind="stable")
        edges = np.searchsorted(numbers[order], starts)
        pieces = [
            batches[at].take(pa.array(numbers[order[edges[at] : edges[at + 1]]] - starts[at]))
            for at in np.flatnonzero(np.diff(edges))
        ]
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        return pa.Table.from_batches(pieces, self.table.schema).combine_chunks().take(pa.array(back))


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError as error:
        raise BuildError(f"the index cache cannot be read: {error}; HFBUCKET_CACHE names another") from error


def read_annotations(urls: Sequence[str], fields: Fields, cache: Path) -> Annotations:
    """Return what these files say, read now or taken from the cache.

    Args:
        cache: folder for the table.

    Raises:
        SourceError: a file is not there, empty or malformed, or says nothing about images.
        BuildError: the cache cannot be written.
    """
    try:
        versions = [[name_of(url), store.info(url).version, url] for url in urls]
    except OSError as error:
        raise SourceError(f"--annotations: {error.filename or error}: no such file") from error
    key = sha256_of([_VERSION, versions, fields.columns, fields.keep_location])
    file = cache / f"{key}.arrow"
    names = tuple(name_of(url) for url in urls)
    if not _is_there(file):
        made = _made(urls, fields)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with (
                replacing(file) as temporary,
                temporary.open("wb") as opened,
                pa.ipc.new_file(opened, made.schema) as writer,
            ):
                writer.write_table(made, max_chunksize=_BATCH_ROWS)
        except OSError as error:
            raise BuildError(f"the index cache cannot be written: {error}; HFBUCKET_CACHE names another") from error
    table = pa.ipc.open_file(pa.memory_map(os.fsencode(file))).read_all()
    facts = json.loads(table.schema.metadata[_FACTS])
    return Annotations(
        names=names,
        table=table,
        captions=facts["captions"],
        keys=tuple(tuple(keys) for keys in facts["keys"]),
        problems=tuple(facts["problems"]),
    )


def _made(urls: Sequence[str], fields: Fields) -> pa.Table:
    keys: dict[tuple[str, ...], int] = {}
    parts = []
    problems: list[str] = []
    for url in urls:
        read = _Read(name_of(url), keys, fields)
        try:
            for array, record in records(url):
                read.take(array, record)
        except OSError as error:
            raise SourceError(f"{url}: cannot be read: {error}") from error
        parts.append(read.table())
        problems += read.problems()
    table = _one_row_per_image(pa.concat_tables(parts), ", ".join(name_of(url) for url in urls))
    most = pc.max(pc.list_value_length(table["captions"])).as_py() or 0
    facts = {"captions": most, "keys": [list(names) for names in keys], "problems": problems}
    return table.replace_schema_metadata({_FACTS: json.dumps(facts)})


class _Read:
    """Takes the records of one file and turns them into columns."""

    def __init__(self, where: str, keys: dict[tuple[str, ...], int], fields: Fields) -> None:
        self._where, self._keys = where, keys
        self._reader = RecordReader(fields)
        self._image_reader = RecordReader(Fields(keep_location=fields.keep_location))
        self._batches: list[pa.Table] = []
        self._rows: list[tuple[Any, ...]] = []
        self._refs: list[str | None] = []
        self._all_refs: list[pa.Array] = []
        self._images: dict[str, tuple[str, str, int]] = {}
        self._counts: Counter[str] = Counter()
        self._records = 0

    def take(self, array: str, record: object) -> None:
        """Add a record."""
        self._records += 1
        if self._records > MOST_RECORDS:
            raise SourceError(f"{self._where}: has more than {MOST_RECORDS:,} records: split it, with the source")
        if not isinstance(record, Mapping):
            self._counts["records are no objects"] += 1
            return
        if array == "images":
            self._image(record)
            return
        said = self._reader.read(record, refers=array == "annotations" and "subreddit" not in record)
        if said.name is None and said.image_ref is None:
            self._counts["records name no image"] += 1
            return
        self._counts["records have a caption that is no text"] += said.has_odd_caption
        self._counts["records have a blank caption"] += said.has_blank_caption
        row = (said.name, said.captions, said.named, said.repaired, said.meta, self._number(said.keys))
        self._rows.append(row)
        self._refs.append(said.image_ref)
        if len(self._rows) == _BATCH_ROWS:
            self._pack()

    def table(self) -> pa.Table:
        """Return the rows, schema ANNOTATIONS, as many of one image as there are records of it."""
        self._pack()
        table = pa.concat_tables([_RAW.empty_table(), *self._batches])
        refs = pa.chunked_array(self._all_refs, pa.large_string())
        if refs.null_count < len(refs):
            table = self._resolved(table, refs)
        if not table.num_rows:
            raise SourceError(f"{self._where}: none of its {self._records:,} records names an image"
                              f"{''.join(f'; {text}' for text in self.problems())}")  # fmt: skip
        return table.cast(ANNOTATIONS)

    def problems(self) -> list[str]:
        """Return what could not be used, in words."""
        return [f"{self._where}: {count:,} {words}" for words, count in sorted(self._counts.items()) if count]

    def _image(self, record: Mapping[str, Any]) -> None:
        name, number = record.get("file_name"), record.get("id")
        if not isinstance(name, str) or not name or number is None:
            self._counts["images have no id or no file_name"] += 1
            return
        said = self._image_reader.read(record)
        self._images[str(number)] = (clean_name(name), said.meta, self._number(said.keys))

    def _number(self, keys: tuple[str, ...]) -> int:
        return self._keys.setdefault(keys, len(self._keys))

    def _pack(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(_RAW)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _RAW, strict=True)]
        self._batches.append(pa.Table.from_arrays(arrays, schema=_RAW))
        self._all_refs.append(pa.array(self._refs, pa.large_string()))
        self._rows, self._refs = [], []

    def _resolved(self, table: pa.Table, refs: pa.ChunkedArray) -> pa.Table:
        """Put name and metadata of the file's images in the place of references to them."""
        if not self._images:  # no `images`: the id is the name, as RedCaps has it
            names = pc.coalesce(table["name"], refs)
            return table.set_column(0, _RAW.field("name"), names)
        known = pc.index_in(refs, value_set=pa.array(self._images, pa.large_string()))
        columns = list(zip(*self._images.values(), strict=True))
        for name, values in zip(("name", "meta", "keys"), columns, strict=True):
            at = _RAW.get_field_index(name)
            found = pa.chunked_array([pa.array(values, _RAW.field(name).type)]).take(known)
            own = table[name] if name == "name" else pc.if_else(refs.is_valid(), None, table[name])
            table = table.set_column(at, _RAW.field(name), pc.coalesce(own, found))
        lost = pc.is_null(table["name"])
        if count := pc.sum(lost).as_py():
            self._counts["annotations have an image_id that no image has"] += count
        return table.filter(pc.invert(lost))


def _one_row_per_image(table: pa.Table, where: str) -> pa.Table:
    """Bring the records of one image together: all captions in order, the rest of its first record.

    Raises:
        SourceError: an image has more captions than MOST_CAPTIONS.
    """
    named = table["name"].combine_chunks().dictionary_encode()
    images = len(named.dictionary)
    if images == table.num_rows and (pc.max(pc.list_value_length(table["captions"])).as_py() or 0) <= MOST_CAPTIONS:
        return table
    group = named.indices.to_numpy()
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(images))
    firsts = table.take(pa.array(order[starts]))
    captions = table["captions"].take(pa.array(order)).combine_chunks()
    lengths = pc.list_value_length(captions).to_numpy()
    per_image = np.add.reduceat(lengths, starts) if images else lengths
    if images and per_image.max() > MOST_CAPTIONS:
        name = named.dictionary[int(per_image.argmax())].as_py()
        raise SourceError(
            f"{where}: {name} has {per_image.max():,} captions, more than {MOST_CAPTIONS}: is that column its name?"
        )
    joined = pa.LargeListArray.from_arrays(_offsets(per_image), captions.flatten())
    repaired = np.logical_or.reduceat(table["repaired"].to_numpy()[order], starts)
    firsts = firsts.set_column(1, ANNOTATIONS.field("captions"), joined)
    return firsts.set_column(3, ANNOTATIONS.field("repaired"), pa.array(repaired)).combine_chunks()


def _offsets(lengths: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
