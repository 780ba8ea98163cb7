"""What ledger and manifest tell about duplicates."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.duplicates.find import EQUAL, Twins

SAME_ID: Final = "image_id"
SAME_BYTES: Final = "bytes"
SAME_PIXELS: Final = "pixels"
NEAR: Final = "near"

OF_REMOVED: Final = "like an image that was removed"
"""What the ledger says where the twin was taken out of the export since."""


def details(twin_ids: pa.Array, distance: npt.NDArray[np.int8], dedupe: str) -> pa.Array:
    """Return the ledger's words: `same bytes as ID`, `same pixels as ID`, or `near ID, distance 3`.

    Args:
        twin_ids: image_ids of those that stay.
        dedupe: the setting.
    """
    same = pc.binary_join_element_wise(f"same {_equal(dedupe)} as", twin_ids, " ")
    bits = pc.cast(pa.array(distance), pa.string())
    near = pc.binary_join_element_wise(pc.binary_join_element_wise("near ", twin_ids, ""), bits, ", distance ")
    return pc.if_else(pa.array(distance == EQUAL), same, near)


def twin_ids(details: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the image_ids that the ledger's words of duplicates name; other words give other texts, no image_ids."""
    same = pc.replace_substring_regex(details, f"^same ({SAME_BYTES}|{SAME_PIXELS}) as ", "")
    return pc.replace_substring_regex(same, "(?s)^near (.*), distance [0-9]+$", r"\1")


def counted(twins: Twins, removed: int, dedupe: str, near_threshold: int) -> dict[str, Any]:
    """Return how many images went as duplicates, by what they share: `near` as a list by distance.

    Args:
        removed: all that did, those of a repeated image_id included.
    """
    equal = int(np.count_nonzero(twins.distance == EQUAL))
    counts: dict[str, Any] = {SAME_ID: removed - len(twins.rows), _equal(dedupe): equal}
    if dedupe == NEAR:
        counts[NEAR] = np.bincount(twins.distance[twins.distance != EQUAL], minlength=near_threshold + 1).tolist()
    return counts


def added(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of two searches with one setting together."""
    both: dict[str, Any] = {name: a.get(name, 0) + b.get(name, 0) for name in {**a, **b} if name != NEAR}
    if near := [each[NEAR] for each in (a, b) if NEAR in each]:
        both[NEAR] = [sum(counts) for counts in zip_longest(*near, fillvalue=0)]
    return both


def _equal(dedupe: str) -> str:
    return SAME_PIXELS if dedupe == "pixels" else SAME_BYTES
