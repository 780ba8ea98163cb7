"""Names for members of archives: plain, below the folder, each its own, the same each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.file_names import LONGEST_BYTES, FileNames


def given_names(*names: str) -> list[str]:
    names_of = FileNames()
    return [names_of.give(name.encode("utf-8", "surrogatepass")) for name in names]


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        (["a.jpg", "d/a.jpg", "d/e/f.txt", "ünï 猫.png"], ["a.jpg", "d/a.jpg", "d/e/f.txt", "ünï 猫.png"]),
        (["a.jpg", "a.jpg", "a.jpg"], ["a.jpg", "a~2.jpg", "a~3.jpg"]),
        (["a.txt.gz", "A.TXT.gz"], ["a.txt.gz", "A~2.TXT.gz"]),
        (["é.jpg", "e\u0301.jpg"], ["é.jpg", "e\u0301~2.jpg"]),
        (["a", "a/b", "a/c"], ["a", "a~2/b", "a~2/c"]),
        (["a/b", "a"], ["a/b", "a~2"]),
        (["./a//b.jpg"], ["a/b.jpg"]),
        (["a/../b.jpg"], ["a/_~5ec1f7e7/b.jpg"]),
        (["c:\\x.jpg"], ["c__x~873c71af.jpg"]),
        (["nul.txt", "com1"], ["_nul~7f3cbdd5.txt", "_com1~957a49c3"]),
        (["a. ", "\n.jpg"], ["a~e98f7d59", "_~f8103d51.jpg"]),
    ],
)
def test_names(names: list[str], paths: list[str]) -> None:
    assert given_names(*names) == paths


def test_long_names_are_cut_and_stay_apart() -> None:
    one, two = given_names("猫" * 100 + "a.jpg", "猫" * 100 + "b.jpg")
    assert one != two
    assert all(len(name.encode()) <= LONGEST_BYTES and name.endswith(".jpg") for name in (one, two))


@given(st.lists(st.text("aA/.\\:\0é ~2", max_size=6).map(lambda text: text.encode()), max_size=12))
def test_every_name_is_plain_and_its_own(names: list[bytes]) -> None:
    first, again = FileNames(), FileNames()
    paths = [first.give(name) for name in names]
    assert [again.give(name) for name in names] == paths
    assert len({path.casefold() for path in paths}) == len(paths)
    for path in paths:
        parts = path.split("/")
        assert all(part and part.strip(". ") and not set(part) & set("\\:\0") for part in parts)
    folders = {
        "/".join(path.split("/")[:depth]).casefold() for path in paths for depth in range(1, path.count("/") + 1)
    }
    assert not folders & {path.casefold() for path in paths}
