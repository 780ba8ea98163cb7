"""Which image each record of an annotation file is about, and what becomes of the image's row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Int64s = npt.NDArray[np.int64]
Column = Any  # pa.Array or pa.ChunkedArray of text

_OPEN: Final = 0
_MATCHED: Final = 1
_AMBIGUOUS: Final = 2

_ARCHIVE: Final = r"(?i)\.(tar\.gz|tar|tgz|parquet)$"


@dataclass(frozen=True, kw_only=True, slots=True)
class Matches:
    """Which record belongs to which image."""

    #: Of every image the number of its record, -1 for none; int64[images].
    record_of_image: Int64s
    #: Records of which it is not clear which image they mean, and that no image has; ascending.
    ambiguous: Int64s
    unmatched: Int64s


def match(names: pa.ChunkedArray, images: pa.Table, extensions: Callable[[Column], Column]) -> Matches:
    """Return which record names which image.

    A record names an image by its image_id, its path, or the path with its container's name in front; else by its path
    without extension; else by its file name; else by that without extension. The first way in which it names any image
    counts, and only if it names one image, and no other record names it so: nothing is guessed.

    Args:
        names: large_string, one per record, all different.
        images: image_id, archive and member of every image; member null for one without a name of its own.
        extensions: takes image extensions off names.
    """
    record_of_image = np.full(images.num_rows, -1, dtype=np.int64)
    state = np.zeros(len(names), dtype=np.int8)
    for keys_of_images, keys_of in _ways(images, extensions):
        left = np.flatnonzero(state == _OPEN)
        if not len(left):
            break
        keys = keys_of(names.take(pa.array(left)))
        found, first = _found(keys, keys_of_images)
        alone = found == 1
        free = alone.copy()
        free[alone] = record_of_image[first[alone]] < 0
        state[left[found > 0]] = _AMBIGUOUS
        state[left[free]] = _MATCHED
        record_of_image[first[free]] = left[free]
    return Matches(
        record_of_image=record_of_image,
        ambiguous=np.flatnonzero(state == _AMBIGUOUS),
        unmatched=np.flatnonzero(state == _OPEN),
    )


def _found(keys: pa.ChunkedArray, keys_of_images: Column) -> tuple[Int64s, Int64s]:
    """Return per record how clearly its key names an image, and the image.

    Returns:
        0 for no image, 1 for one image that no other record names, 2 for anything else; and the image's number, where
        it is one.
    """
    coded = keys.combine_chunks().dictionary_encode()
    codes = coded.indices.to_numpy()
    hits = pc.index_in(keys_of_images.cast(pa.large_string()), value_set=coded.dictionary)
    hit = pc.fill_null(hits, -1).to_numpy()
    image = np.flatnonzero(hit >= 0)
    images_per_key = np.bincount(hit[image], minlength=len(coded.dictionary))
    records_per_key = np.bincount(codes, minlength=len(coded.dictionary))
    first = np.full(len(coded.dictionary), -1, dtype=np.int64)
    first[hit[image]] = image
    clear = np.where((images_per_key == 1) & (records_per_key == 1), 1, 2)
    found = np.where(images_per_key > 0, clear, 0)
    return found[codes].astype(np.int64), first[codes]


def _ways(
    images: pa.Table, extensions: Callable[[Column], Column]
) -> Iterator[tuple[Column, Callable[[Column], Column]]]:
    """Yield the ways in which a record may name an image: keys of the images, and what makes keys of the records."""
    archive, member = images["archive"], images["member"]
    stem = extensions(member)
    folder = pc.replace_substring_regex(archive, _ARCHIVE, "")

    def whole(names: Column) -> Column:
        return names

    def base(names: Column) -> Column:
        return pc.replace_substring_regex(names, r"^(?s:.*)/", "")

    yield images["image_id"], whole
    yield member, whole
    if archive.null_count < len(archive):
        yield pc.binary_join_element_wise(archive, member, "/"), whole
        yield pc.binary_join_element_wise(folder, member, "/"), whole
        yield pc.binary_join_element_wise(folder, stem, "/"), extensions
    yield stem, extensions
    yield base(member), base
    yield base(stem), lambda names: base(extensions(names))
