"""Rows in memory or in a file: the same rows, columns and hash."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from hfbucket.core.hashing import rows_sha256, table_sha256
from hfbucket.errors import BuildError
from hfbucket.io.pieces import Pieces
from hfbucket.schemas import INDEX
from tests.index_tables import index_table, row
from tests.limits import no_file_larger_than

ROWS = index_table(
    [row(f"{n}", captions=[f"say {n}" * n, None, "ä"], meta=None if n == 3 else "{}", path=b"p") for n in range(11)]
)


def fill(pieces: Pieces, sizes: tuple[int, ...] = (4, 0, 2, 5)) -> Pieces:
    start = 0
    for size in sizes:
        pieces.add(ROWS.slice(start, size))
        start += size
    return pieces


@pytest.mark.parametrize("most_bytes", [0, 700, 1 << 20])
def test_rows_are_the_same_wherever_they_lie(most_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfbucket.io.pieces._MOST_BYTES", most_bytes)
    with fill(Pieces(INDEX, tmp_path / "new")) as pieces:
        assert (tmp_path / "new").exists() == (most_bytes < ROWS.nbytes)
        assert not (tmp_path / "new").exists() or [*(tmp_path / "new").iterdir()] == []  # it has no name
        for _ in range(2):
            assert pieces.num_rows == 11
            assert pieces.read().equals(ROWS)
            assert [table.num_rows for table in pieces.tables(["meta", "digest"])] == [4, 0, 2, 5]
            assert pa.concat_tables(pieces.tables(["meta", "digest"])).equals(ROWS.select(["meta", "digest"]))
            assert rows_sha256(11, INDEX, pieces.chunks_of) == table_sha256(ROWS)


def test_no_rows() -> None:
    with Pieces(INDEX) as pieces:
        assert pieces.read().equals(INDEX.empty_table())
        assert rows_sha256(0, INDEX, pieces.chunks_of) == table_sha256(INDEX.empty_table())


def test_a_full_disk_is_told_with_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfbucket.io.pieces._MOST_BYTES", 0)
    told = f"{tmp_path}: rows of a large source cannot be kept there: "
    with no_file_larger_than(100), pytest.raises(BuildError, match=told), Pieces(INDEX, tmp_path) as pieces:
        fill(pieces)
