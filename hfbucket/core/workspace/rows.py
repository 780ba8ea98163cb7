"""Rows of a caption workspace, made from the index of sources or from the sample tables of an export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.config import DEFAULT_VARIANTS, ORIGINAL
from hfbucket.schemas import WORKSPACE_IMAGES

INDEX_COLUMNS: Final = (
    "image_id", "digest", "archive", "member", "path", "offset", "size_bytes", "width", "height", "outcome", "captions",
    "meta",
)  # fmt: skip
SAMPLE_COLUMNS: Final = (
    "image_id", "key", "source_w", "source_h", "shard", "jpg_offset", "jpg_size", "source_sha256", "captions", "meta",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """The captions of one variant."""

    variant: str
    #: string, one for each image of some rows in their order; null where there is none that is ok.
    captions: pa.Array


def images_of_index(rows: pa.Table, *, source: str, kind: str, root: bytes) -> pa.Table:
    """Return rows of WORKSPACE_IMAGES for rows of the index.

    Args:
        rows: INDEX_COLUMNS of rows of one unit.
        root: what the paths of files lie below, with its slash; else the file that holds all of them.
    """
    path = pc.binary_join_element_wise(root, rows["path"], b"") if kind == "file" else pa.repeat(root, rows.num_rows)
    columns = {
        **{name: rows[name] for name in ("image_id", "width", "height", "archive", "member", "offset", "size_bytes")},
        "key": _keys(rows["digest"]),
        "source": pa.repeat(source, rows.num_rows),
        "kind": pa.repeat(kind, rows.num_rows),
        "path": path,
        "source_sha256": pa.nulls(rows.num_rows, pa.string()),
        "meta": rows["meta"],
    }
    return pa.table([columns[name] for name in WORKSPACE_IMAGES.names], schema=WORKSPACE_IMAGES)


def _keys(digests: pa.ChunkedArray) -> pa.Array:
    """Return the sample keys of digests: the first half of each in hex."""
    halves = pc.binary_slice(digests.cast(pa.binary()), 0, 16).combine_chunks()
    digits = b"".join(halves.to_pylist()).hex().encode()
    ends = np.arange(len(digests) + 1, dtype=np.int32) * 32
    return pa.StringArray.from_buffers(len(digests), pa.py_buffer(ends), pa.py_buffer(digits))


def own_of_index(captions: pa.ChunkedArray, variants: Sequence[str]) -> tuple[Texts, ...]:
    """Return the source's own captions by variant; of the usual places the first ok one, as `original`.

    Args:
        captions: of the index: list<string>, one entry for each of the variants that were looked for.
        variants: their names.
    """
    lists = captions.combine_chunks() if captions.num_chunks != 1 else captions.chunk(0)
    found = [_ok(_entry(lists, place)) for place in range(len(variants))]
    if tuple(variants) == DEFAULT_VARIANTS:
        return (Texts(variant=ORIGINAL, captions=pc.coalesce(*found)),)
    return tuple(Texts(variant=name, captions=texts) for name, texts in zip(variants, found, strict=True))


def _entry(lists: pa.ListArray, place: int) -> pa.Array:
    """Return the entry at one place of each list; null where it is shorter."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    at = np.cumsum(lengths) - lengths + place
    return pc.list_flatten(lists).take(pa.array(at, pa.int64(), mask=place >= lengths))


def _ok(texts: pa.Array) -> pa.Array:
    """Return the texts with null for blank ones."""
    blank = pc.or_(pc.equal(pc.binary_length(texts), 0), pc.utf8_is_space(texts))
    return pc.if_else(pc.fill_null(blank, True), None, texts)


def images_of_samples(rows: pa.Table, *, root: bytes, source: str | None) -> pa.Table:
    """Return rows of WORKSPACE_IMAGES for samples of an export: their bytes lie in its shards.

    Args:
        rows: SAMPLE_COLUMNS.
        root: the export, with its slash.
        source: name of the source, where the export has but one.
    """
    columns = {
        "image_id": rows["image_id"],
        "key": rows["key"],
        "width": rows["source_w"],
        "height": rows["source_h"],
        "source": pa.repeat(source, rows.num_rows) if source else pa.nulls(rows.num_rows),
        "kind": pa.repeat("tar", rows.num_rows),
        "path": pc.binary_join_element_wise(root, rows["shard"].cast(pa.binary()), b""),
        "archive": rows["shard"],
        "member": pc.binary_join_element_wise(rows["key"], ".jpg", ""),
        "offset": rows["jpg_offset"],
        "size_bytes": rows["jpg_size"],
        "source_sha256": rows["source_sha256"],
        "meta": rows["meta"],
    }
    return pa.table({name: columns[name] for name in WORKSPACE_IMAGES.names}).cast(WORKSPACE_IMAGES)


def own_names(variants: Sequence[str], caption_column: Sequence[str]) -> tuple[str, ...]:
    """Return which variants of an export are the source's own, best first; by the build's `caption_column`.

    Without named columns they are one: the `original` of the workspace.
    """
    if tuple(caption_column) not in ((), DEFAULT_VARIANTS):
        return tuple(caption_column)
    return (ORIGINAL,) if ORIGINAL in variants else DEFAULT_VARIANTS


def texts_of_samples(captions: pa.ChunkedArray, variants: Sequence[str], own: Sequence[str]) -> tuple[Texts, ...]:
    """Return the captions of samples by variant, those of `own` first; the default ones become one `original`.

    Args:
        captions: of the sample tables: list<struct<variant, text>>.
        variants: all that the export has.
    """
    found = {name: _of_variant(captions, name) for name in dict.fromkeys([*own, *variants])}
    if tuple(own) == DEFAULT_VARIANTS:
        first = pc.coalesce(*(found.pop(name) for name in own))
        found = {ORIGINAL: first, **found}
    return tuple(Texts(variant=name, captions=texts) for name, texts in found.items())


def _of_variant(captions: pa.ChunkedArray, variant: str) -> pa.Array:
    lists = captions.combine_chunks() if captions.num_chunks != 1 else captions.chunk(0)
    entries = pc.list_flatten(lists)
    hits = pc.fill_null(pc.equal(pc.struct_field(entries, "variant"), variant), False).to_numpy(zero_copy_only=False)
    place = np.full(len(lists), -1, dtype=np.int64)
    place[pc.list_parent_indices(lists).to_numpy()[hits]] = np.flatnonzero(hits)
    return _ok(pc.struct_field(entries, "text").take(pa.array(place, mask=place < 0)))
