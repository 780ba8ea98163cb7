from __future__ import annotations

import pyarrow as pa

from hfbucket.core.plan.captions import ok_matrix, select

ROWS = [["a", "b"], [None, "b"], ["", "b"], [" \n\t\u3000", None], None, [], ["x"], ["\u200b", ""]]


def column(chunks: int = 1) -> pa.ChunkedArray:
    whole = pa.array(ROWS, pa.list_(pa.string()))
    step = -(-len(whole) // chunks)
    return pa.chunked_array([whole.slice(at, step) for at in range(0, len(whole), step)])


def test_the_first_ok_variant_is_selected() -> None:
    """Null, empty and blank (in any script) are not ok."""
    for chunks in (1, 3, len(ROWS)):
        assert select(column(chunks), 2).tolist() == [0, 1, 1, -1, -1, -1, 0, 0]


def test_ok_matrix() -> None:
    assert ok_matrix(column(2), 2).astype(int).tolist() == [
        [1, 1], [0, 1], [0, 1], [0, 0], [0, 0], [0, 0], [1, 0], [1, 0],
    ]  # fmt: skip
    assert ok_matrix(column(), 1).astype(int).ravel().tolist() == [1, 0, 0, 0, 0, 0, 1, 1]
    assert ok_matrix(pa.chunked_array([], pa.list_(pa.string())), 3).shape == (0, 3)
