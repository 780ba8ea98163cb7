from __future__ import annotations

import numpy as np
import pyarrow as pa

from hfbucket.core.duplicates.find import EQUAL, Twins
from hfbucket.core.duplicates.words import added, counted, details


def twins(*distances: int) -> Twins:
    rows = np.arange(1, len(distances) + 1, dtype=np.int64)
    return Twins(rows=rows, twin=np.zeros_like(rows), distance=np.array(distances, dtype=np.int8))


def test_details_name_the_one_that_stays() -> None:
    ids, distance = pa.array(["a b.jpg", "ü"]), np.array([EQUAL, 3], dtype=np.int8)
    assert details(ids, distance, "near").to_pylist() == ["same bytes as a b.jpg", "near ü, distance 3"]
    assert details(ids.slice(0, 1), distance[:1], "pixels").to_pylist() == ["same pixels as a b.jpg"]
    assert details(ids.slice(0, 1), distance[:1], "sha256").to_pylist() == ["same bytes as a b.jpg"]
    assert details(ids.slice(0, 0), distance[:0], "sha256").to_pylist() == []


def test_counts_by_what_is_shared() -> None:
    assert counted(twins(EQUAL, EQUAL), 5, "sha256", 4) == {"image_id": 3, "bytes": 2}
    assert counted(twins(), 0, "pixels", 4) == {"image_id": 0, "pixels": 0}
    assert counted(twins(0, 2, EQUAL, 2), 4, "near", 3) == {"image_id": 0, "bytes": 1, "near": [1, 0, 2, 0]}


def test_counts_of_two_searches() -> None:
    near = counted(twins(0, 2, EQUAL), 4, "near", 2)
    assert added(near, near) == {"image_id": 2, "bytes": 2, "near": [2, 0, 2]}
    assert added({}, near) == near == added(near, {})
    assert added({"image_id": 1, "bytes": 2}, {"image_id": 0, "bytes": 3}) == {"image_id": 1, "bytes": 5}
