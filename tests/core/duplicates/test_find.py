"""Which images go, by equal hashes and by near ones."""

from __future__ import annotations

from hfbucket.core.duplicates.find import EQUAL, Fingerprints, Twins, find_twins


def prints(*values: tuple[str, int] | None) -> Fingerprints:
    """Fingerprints as ("exact", n) or ("near", n), or none."""
    made = Fingerprints.empty(len(values))
    for at, value in enumerate(values):
        if value is not None:
            kind, number = value
            (made.has_exact if kind == "exact" else made.has_near)[at] = True
            if kind == "exact":
                made.exact[at] = (number, number)
            else:
                made.near[at] = number
    return made


def found(twins: Twins) -> list[tuple[int, int, int]]:
    return list(zip(twins.rows.tolist(), twins.twin.tolist(), twins.distance.tolist(), strict=True))


def test_the_first_stays_and_every_later_one_goes_for_it() -> None:
    made = prints(("exact", 1), ("exact", 2), ("exact", 1), ("exact", 3), ("exact", 1))
    assert found(find_twins(made, near_threshold=4)) == [(2, 0, EQUAL), (4, 0, EQUAL)]


def test_what_has_no_fingerprint_is_nobodys_duplicate() -> None:
    made = prints(None, ("exact", 0), None, ("near", 0), None)
    assert found(find_twins(made, near_threshold=8)) == []


def test_a_hash_that_must_be_equal_is_near_to_nothing() -> None:
    made = prints(("near", 0), ("exact", 7), ("near", 0b11), ("exact", 7), ("near", 0b111))
    assert found(find_twins(made, near_threshold=2)) == [(2, 0, 2), (3, 1, EQUAL)]


def test_only_what_stays_takes_others_with_it() -> None:
    """0b11 goes for 0; 0b1111 is near to 0b11 alone, which is gone, so it stays."""
    made = prints(("near", 0), ("near", 0b11), ("near", 0b1111))
    assert found(find_twins(made, near_threshold=2)) == [(1, 0, 2)]


def test_what_is_kept_already_stays() -> None:
    made = prints(("near", 0), ("near", 1), ("exact", 5), ("exact", 5), ("near", 3), ("exact", 5), ("near", 7 << 40))
    assert found(find_twins(made, near_threshold=1, kept=4)) == [(4, 1, 1), (5, 2, EQUAL)]
    assert found(find_twins(made, near_threshold=1, kept=0)) == [(1, 0, 1), (3, 2, EQUAL), (5, 2, EQUAL)]


def test_nothing_at_all() -> None:
    assert found(find_twins(Fingerprints.empty(0), near_threshold=4)) == []
