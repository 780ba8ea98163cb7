"""The columns that filters see, and how each is read from the index or from an export's sample tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.config import DEFAULT_VARIANTS, ORIGINAL
from hfbucket.core.plan.captions import characters_of, selected

Kind = Literal["int", "float", "bool", "text"]

META: Final = "meta"
"""The column with the source's own metadata, one JSON object; `meta.KEY` is a key of it."""

SOURCE: Final = "source"
"""The name of the source: no column of the index, put beside its rows by whoever reads them."""

ARROW: Final[Mapping[Kind, pa.DataType]] = {
    "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "text": pa.string(),
}  # fmt: skip
"""Arrow types of the kinds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column that a filter sees."""

    kind: Kind
    #: Columns of the table that it is made of.
    needs: tuple[str, ...]
    #: From a table with those columns to the values.
    read: Callable[[pa.Table], pa.ChunkedArray]


Columns = Mapping[str, Column]


def index_columns(variants: Sequence[str], own: Sequence[str]) -> dict[str, Column]:
    """Return the columns of the index.

    Args:
        variants: what the entries of `captions` are, in order.
        own: those of them that are the source's own captions, in order of priority.
    """
    plain: dict[str, Kind] = {
        "image_id": "text", "width": "int", "height": "int", "size_bytes": "int", "format": "text",
        "orientation": "int", "color": "text", "archive": "text", "member": "text", SOURCE: "text",
    }  # fmt: skip
    first = partial(_first_ok, places=np.array([variants.index(name) for name in own], dtype=np.int8))
    return {
        **{name: _plain(name, kind) for name, kind in plain.items()},
        **{
            f"caption_{name}": Column(kind="text", needs=("captions",), read=partial(_at, place=place))
            for place, name in enumerate(variants)
        },
        "caption_original": Column(kind="text", needs=("captions",), read=first),
        "caption_chars": Column(kind="int", needs=("captions",), read=lambda table: pc.utf8_length(first(table))),
        META: _plain(META, "text"),
    }


def sample_columns(variants: Sequence[str]) -> dict[str, Column]:
    """Return the columns of an export's sample tables; `caption` is the selected one, `caption_chars` its characters.

    Args:
        variants: the caption variants of the export.
    """
    names: dict[str, tuple[str, Kind]] = {
        "image_id": ("image_id", "text"), "key": ("key", "text"), "bucket_id": ("bucket_id", "text"),
        "base_resolution": ("base_resolution", "int"), "shard": ("shard", "text"), "w": ("w", "int"), "h": ("h", "int"),
        "width": ("source_w", "int"), "height": ("source_h", "int"), "jpg_size": ("jpg_size", "int"),
        "image_mode": ("image_mode", "text"), "caption": ("caption", "text"),
        "caption_variant": ("caption_variant", "text"), "caption_source_id": ("caption_source_id", "text"),
        "source_sha256": ("source_sha256", "text"), "split": ("source_split", "text"),
        "archive": ("source_archive", "text"), "member": ("source_member", "text"), META: (META, "text"),
    }  # fmt: skip
    own = [name for name in (ORIGINAL, *DEFAULT_VARIANTS) if name in variants]
    original = Column(kind="text", needs=("captions",), read=partial(_first_said, variants=own))
    return {
        **{
            f"caption_{name}": Column(kind="text", needs=("captions",), read=partial(_of_variant, variant=name))
            for name in variants
        },
        **({"caption_original": original} if own else {}),
        **{name: _plain(column, kind) for name, (column, kind) in names.items()},
        "caption_chars": Column(
            kind="int", needs=("caption",), read=lambda table: pc.utf8_length(table["caption"]).cast(pa.int64())
        ),
    }


def read_columns(table: pa.Table, columns: Columns) -> pa.Table:
    """Return the named columns with the rows of a table that has what they need, each as its kind's Arrow type."""
    arrays = {name: column.read(table).cast(ARROW[column.kind]) for name, column in columns.items()}
    return pa.table(arrays)


def _plain(name: str, kind: Kind) -> Column:
    return Column(kind=kind, needs=(name,), read=lambda table: table[name])


def _at(table: pa.Table, place: int) -> pa.ChunkedArray:
    """Return the captions at one place; null where a list is null or shorter."""
    return pa.chunked_array([selected(table["captions"], np.full(table.num_rows, place, dtype=np.int8))])


def _first_ok(table: pa.Table, places: npt.NDArray[np.int8]) -> pa.ChunkedArray:
    """Return the first caption of these places that is neither null nor blank; null where there is none."""
    ok = characters_of(table["captions"], int(places.max()) + 1)[:, places] > 0
    return pa.chunked_array([selected(table["captions"], np.where(ok.any(axis=1), places[ok.argmax(axis=1)], -1))])


def _first_said(table: pa.Table, variants: Sequence[str]) -> pa.ChunkedArray:
    """Return the first caption of these variants that is neither null nor blank; null where there is none."""
    texts = [_of_variant(table, name) for name in variants]
    return pc.coalesce(*(pc.if_else(pc.equal(pc.utf8_trim_whitespace(text), ""), None, text) for text in texts))


def _of_variant(table: pa.Table, variant: str) -> pa.ChunkedArray:
    """Return the caption of one variant; null where a sample has none."""
    captions = table["captions"].combine_chunks()
    entries = pc.list_flatten(captions)
    rows = pc.list_parent_indices(captions).to_numpy(zero_copy_only=False)
    hit = np.flatnonzero(pc.fill_null(pc.equal(pc.struct_field(entries, "variant"), variant), False).to_numpy(False))
    entry_of_row = np.full(len(captions), -1, dtype=np.int64)
    entry_of_row[rows[hit]] = hit
    texts = pc.struct_field(entries, "text")
    return pa.chunked_array([texts.take(pa.array(entry_of_row, mask=entry_of_row < 0))])
