from __future__ import annotations

import numpy as np
import pytest

from hfbucket.core.law.sizes import SizeNumbers


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_sizes_are_numbered_in_the_order_they_first_come(kind: type[np.integer]) -> None:
    largest = 2**31 - 1
    width, height = np.array([5, 3, 5, largest, 5, 0], dtype=kind), np.array([7, 9, 7, largest, 8, 1], dtype=kind)
    numbers = SizeNumbers()
    assert numbers.number(width, height).tolist() == [0, 1, 0, 2, 3, 4]
    assert numbers.number(height[:2], width[:2]).tolist() == [5, 6]
    assert numbers.number(width, height).tolist() == [0, 1, 0, 2, 3, 4]
    sizes = numbers.sizes()
    assert sizes.width.tolist() == [5, 3, largest, 5, 0, 7, 9]
    assert sizes.height.tolist() == [7, 9, largest, 8, 1, 5, 3]


def test_many_sizes_keep_their_numbers() -> None:
    random = np.random.default_rng(0)
    numbers, known = SizeNumbers(), dict[tuple[int, int], int]()
    for _ in range(50):
        width, height = random.integers(0, 60, (2, 80))
        expected = [known.setdefault(size, len(known)) for size in zip(width.tolist(), height.tolist(), strict=True)]
        assert numbers.number(width, height).tolist() == expected
    sizes = numbers.sizes()
    assert list(zip(sizes.width.tolist(), sizes.height.tolist(), strict=True)) == list(known)


def test_no_images_have_no_sizes() -> None:
    numbers = SizeNumbers()
    assert len(numbers.number(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32))) == 0
    assert len(numbers.sizes().width) == 0
