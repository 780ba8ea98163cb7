"""How heavy rows are: by the mean of the piece that they lie in."""

from __future__ import annotations

import numpy as np

from hfbucket.core.plan.weights import Weights


def test_rows_weigh_what_their_piece_does_on_average() -> None:
    weights = Weights()
    weights.add(0, 3, 10)
    weights.add(3, 0, 0)
    weights.add(3, 2, 7000)
    assert weights.of(np.array([4, 0, 2, 3], dtype=np.int32)).tolist() == [3500, 4, 4, 3500]


def test_nothing_is_known_of_no_piece() -> None:
    assert Weights().of(np.array([0, 7])).tolist() == [0, 0]
