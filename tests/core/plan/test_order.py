from __future__ import annotations

import numpy as np

from hfbucket.core.plan.order import _mix, shuffle_keys


def test_golden_keys() -> None:
    """The order of shuffled exports rests on these."""
    words = np.array([0, 1, 2**63, 2**64 - 1], dtype=np.uint64)
    assert shuffle_keys(words, 0).tolist() == [
        12035550249420947055, 627405149472732430, 6018453421592093069, 3303439293501059696,
    ]  # fmt: skip


def test_the_mixer_is_splitmix64() -> None:
    """Against the generator's well-known first output for the seed 1234567."""
    assert _mix(np.array([1234567], dtype=np.uint64)).tolist() == [6457827717110365317]


def test_another_seed_is_another_order_of_the_same() -> None:
    words = np.random.default_rng(1).integers(0, 2**64, 1000, dtype=np.uint64)
    orders = [np.argsort(shuffle_keys(words, seed)).tolist() for seed in (1, 2, 2**64 - 1)]
    assert all(sorted(order) == list(range(1000)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
