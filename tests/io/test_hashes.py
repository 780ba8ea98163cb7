from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfbucket.io import hashes
from hfbucket.io.hashes import hash_parts
from hfbucket.io.store import RandomFile

_DATA = hashlib.shake_256(b"parts").digest(200_000)
_EDGES = (0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 65_535, 65_536, 65_537, 65_592, 131_072)

_sha256 = vars(hashes)["_sha256"]
pytestmark = pytest.mark.skipif(_sha256 is None or not _sha256.runs_here(), reason="hashlib does it all here")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> RandomFile:
    path = tmp_path_factory.mktemp("hashes") / "data"
    path.write_bytes(_DATA)
    return RandomFile(str(path))


@given(
    places=st.lists(
        st.tuples(st.integers(0, 60_000), st.one_of(st.sampled_from(_EDGES), st.integers(0, 9000))), max_size=7
    )
)
@settings(deadline=None)
def test_parts_have_the_hashes_that_hashlib_gives(file: RandomFile, places: list[tuple[int, int]]) -> None:
    expected = [hashlib.sha256(_DATA[offset : offset + size]).digest() for offset, size in places]
    assert hash_parts(file, places) == expected


def test_a_part_that_is_not_there_is_no_hash(file: RandomFile) -> None:
    assert hash_parts(file, [(0, 10), (199_999, 2)]) is None
    assert hash_parts(file, [(200_000, 0)]) == [hashlib.sha256().digest()]
    with pytest.raises(ValueError, match="negative"):
        hash_parts(file, [(-1, 1)])
    with pytest.raises(TypeError, match="tuples"):
        _sha256.digests(0, [3])


def test_without_compiled_code_hashlib_does_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.setattr(hashes, "_sha256", None)
    with RandomFile(str(tmp_path / "a")) as file:
        assert hash_parts(file, [(0, 1)]) is None
