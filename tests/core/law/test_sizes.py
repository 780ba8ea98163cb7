from __future__ import annotations

import numpy as np
import pytest

from hfbucket.core.law.sizes import distinct_sizes


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_sizes_are_counted_in_the_order_they_first_come(kind: type[np.integer]) -> None:
    largest = 2**31 - 1
    width, height = np.array([5, 3, 5, largest, 5, 0], dtype=kind), np.array([7, 9, 7, largest, 8, 1], dtype=kind)
    sizes = distinct_sizes(width, height)
    assert sizes.width.tolist() == [5, 3, largest, 5, 0]
    assert sizes.height.tolist() == [7, 9, largest, 8, 1]
    assert sizes.images.tolist() == [2, 1, 1, 1, 1]
    assert sizes.of_image.tolist() == [0, 1, 0, 2, 3, 4]


def test_no_images_have_no_sizes() -> None:
    nothing = np.zeros(0, dtype=np.int32)
    sizes = distinct_sizes(nothing, nothing)
    assert len(sizes.width) == len(sizes.height) == len(sizes.images) == len(sizes.of_image) == 0
