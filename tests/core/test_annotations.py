"""Which record belongs to which image: nothing is guessed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.annotations import Column, Matches, match


def extensions(names: Column) -> Column:
    return pc.replace_substring_regex(names, r"(?i)\.(jpg|png)$", "")


def matched(names: list[str], images: list[tuple[str | None, str]]) -> Matches:
    """Return the matches of names with images given as (archive, member)."""
    archives = [archive for archive, _ in images]
    members = [member for _, member in images]
    ids = [f"{archive}/{member.rpartition('.')[0]}" if archive else member for archive, member in images]
    table = pa.table(
        {
            "image_id": pa.array(ids, pa.string()),
            "archive": pa.array(archives, pa.string()),
            "member": pa.array(members, pa.string()),
        }
    )
    return match(pa.chunked_array([names], pa.large_string()), table, extensions)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("d/a.jpg", (None, "d/a.jpg")),
        ("d/a", (None, "d/a.jpg")),
        ("a.jpg", (None, "d/a.jpg")),
        ("other/a.jpg", (None, "d/a.jpg")),
        ("a", (None, "d/a.jpg")),
        ("a.png", (None, "d/a.jpg")),
        ("a.JPG", (None, "d/a.jpg")),
        ("0.tar/a.jpg", ("0.tar", "a.jpg")),
        ("0/a.jpg", ("0.tar", "a.jpg")),
        ("0/a", ("0.tar.gz", "a.jpg")),
        ("0.tar/a", ("0.tar", "a.jpg")),
        ("sub/a", ("0.tar", "sub/a.jpg")),
        ("a", ("0.tar", "sub/a.jpg")),
    ],
)
def test_ways_to_name_an_image(name: str, image: tuple[str | None, str]) -> None:
    found = matched(["zz", name], [(None, "first.jpg"), image])
    assert found.record_of_image.tolist() == [-1, 1]
    assert (found.ambiguous.tolist(), found.unmatched.tolist()) == ([], [0])


@pytest.mark.parametrize(
    ("names", "images", "records", "ambiguous"),
    [
        (["1.jpg"], [(None, "a/1.jpg"), (None, "b/1.jpg")], [-1, -1], [0]),
        (["a/1.jpg", "1.jpg"], [(None, "a/1.jpg"), (None, "b/1.jpg")], [0, -1], [1]),
        (["a"], [(None, "a.jpg"), (None, "a.png")], [-1, -1], [0]),
        (["x/1.jpg", "y/1.jpg"], [(None, "1.jpg")], [-1], [0, 1]),
        (["a.jpg", "x/a.jpg"], [(None, "a.jpg")], [0], [1]),
        (["1.jpg"], [("0.tar", "1.jpg"), ("1.tar", "1.jpg")], [-1, -1], [0]),
        (["1/1.jpg", "0.tar/1.jpg"], [("0.tar", "1.jpg"), ("1.tar", "1.jpg")], [1, 0], []),
    ],
)
def test_what_could_mean_several_is_not_attached(
    names: list[str], images: list[tuple[str | None, str]], records: list[int], ambiguous: list[int]
) -> None:
    found = matched(names, images)
    assert found.record_of_image.tolist() == records
    assert found.ambiguous.tolist() == ambiguous


def test_an_image_without_a_name_of_its_own_has_only_its_id() -> None:
    images = pa.table(
        {"image_id": ["p/0", "p/1"], "archive": ["p", "p"], "member": pa.array([None, None], pa.string())}
    )
    found = match(pa.chunked_array([["0", "p/1"]], pa.large_string()), images, extensions)
    assert found.record_of_image.tolist() == [-1, 1]


@given(
    st.lists(st.text("ab/.jpg", min_size=1, max_size=6), unique=True, max_size=8),
    st.lists(st.text("ab/.jpg", min_size=1, max_size=6), unique=True, max_size=8),
)
def test_every_record_ends_in_one_way(names: list[str], members: list[str]) -> None:
    found = matched(names, [(None, member) for member in members])
    attached = found.record_of_image[found.record_of_image >= 0]
    everything = np.sort(np.concatenate([attached, found.ambiguous, found.unmatched]))
    assert everything.tolist() == list(range(len(names)))
    for image, record in enumerate(found.record_of_image.tolist()):
        if members[image] in names:
            assert record == names.index(members[image])
