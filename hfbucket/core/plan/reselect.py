"""Another selection among captions for samples that stand in a finished export. Pure and columnar."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.config import DEFAULT_VARIANTS, ORIGINAL
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.plan.captions import Choice, select, selected
from hfbucket.core.plan.variants import lists_of
from hfbucket.schemas import SAMPLES

Bools = npt.NDArray[np.bool_]

SELECTION: Final = ("caption", "caption_variant", "caption_selector_index", "caption_source_id")
"""What a selection decides of a sample: its `.txt`, and the fields of its `.json` that may change."""


def own_stored(manifest: Manifest, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the names that the source's own captions have in an export's sample tables.

    Args:
        columns: the caption columns of the settings that the export was built with.
    """
    collapsed = any(variant.name == ORIGINAL for variant in manifest.captions.variants)
    return (ORIGINAL,) if tuple(columns) == DEFAULT_VARIANTS and collapsed else tuple(columns)


def own_lists(captions: pa.ChunkedArray, names: Sequence[str]) -> pa.ListArray:
    """Return the texts of the named variants, one list per sample in the order of the names; null where there is none.

    Args:
        captions: `captions` of `schemas.SAMPLES`.
    """
    array = _single(captions)
    entries, parents = pc.list_flatten(array), pc.list_parent_indices(array).to_numpy()
    variants, texts = (pc.struct_field(entries, name) for name in ("variant", "text"))
    columns = []
    for name in names:
        found = np.flatnonzero(pc.equal(variants, name).fill_null(False).to_numpy(zero_copy_only=False))
        places = np.full(len(array), -1, dtype=np.int64)
        places[parents[found]] = found
        columns.append(texts.take(pa.array(places, mask=places < 0)))
    return lists_of(columns)


def reselected(
    samples: pa.Table, captions: pa.ListArray, source_ids: pa.ListArray, choice: Choice
) -> tuple[pa.Table, Bools]:
    """Return the samples with another selection, and for which of them it is another one, bool[n].

    Args:
        samples: rows of `schemas.SAMPLES`.
        captions: one text per variant of the choice's universe, null where there is none.
        source_ids: where each of them comes from.
    """
    index = select(pa.chunked_array([captions]), _words(samples["key"]), choice)
    nothing = pa.array(index < 0)
    place = pa.array(index.astype(np.int32), mask=index < 0)
    columns = {
        "caption": selected(pa.chunked_array([captions]), index),
        "caption_variant": pa.array(choice.universe, pa.string()).take(place),
        "caption_selector_index": place,
        "caption_source_id": selected(pa.chunked_array([source_ids]), index),
        "captions": _known(captions, choice.universe),
    }
    new = pa.table([columns.get(name, samples[name]) for name in SAMPLES.names], schema=SAMPLES)
    changed = np.zeros(len(samples), dtype=bool)
    for name in SELECTION:
        changed |= _differ(samples[name], new[name])
    assert nothing.equals(new["caption"].combine_chunks().is_null())
    return new, changed


def _known(captions: pa.ListArray, universe: Sequence[str]) -> pa.ListArray:
    """Return `captions` of SAMPLES: the variants that there are of every image, with their texts."""
    texts = captions.flatten()
    there = texts.is_valid().to_numpy(zero_copy_only=False)
    names = pa.array(universe, pa.string()).take(pa.array(np.tile(np.arange(len(universe)), len(captions))[there]))
    ends = np.concatenate(([0], np.cumsum(there.reshape(len(captions), -1).sum(axis=1))))
    kind = SAMPLES.field("captions").type
    entries = pa.StructArray.from_arrays([names, texts.filter(pa.array(there))], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), entries, type=kind)


def _words(keys: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return the first 16 bytes of the digests as big-endian words, uint64[n, 2]: a key is just those in hex."""
    return np.frombuffer(binascii.unhexlify("".join(keys.to_pylist())), dtype=">u8").reshape(-1, 2).astype(np.uint64)


def _differ(old: pa.ChunkedArray, new: pa.ChunkedArray) -> Bools:
    either = pc.xor(old.is_null(), new.is_null())
    differ: Bools = pc.or_(pc.fill_null(pc.not_equal(old, new), False), either).to_numpy()
    return differ


def _single(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
