"""What is said of duplicates, row by row and stretch by stretch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hfbucket.core.duplicates.find import EQUAL, Twins
from hfbucket.stages import twins
from hfbucket.stages.twins import TwinDetails, twin_words
from tests.index_tables import row, write_index


@pytest.mark.parametrize("at_once", [1, 2, 100])
@pytest.mark.parametrize("step", [1, 3, 7, 30])
def test_stretches_say_what_rows_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, step: int) -> None:
    monkeypatch.setattr(twins, "_AT_ONCE", at_once)
    index = write_index(tmp_path, [row(f"a{n}") for n in range(13)], [row(f"b{n}") for n in range(12)])
    found = Twins(
        rows=np.array([2, 3, 9, 10, 11, 20, 24]),
        twin=np.array([0, 1, 0, 19, 12, 18, 0]),
        distance=np.array([EQUAL, 0, 8, EQUAL, 3, 1, 2], dtype=np.int8),
    )
    whole = twin_words(index, found, "near", np.arange(25)).to_pylist()
    assert whole[9] == "near a0, distance 8"
    assert whole[10] == "same bytes as b6"
    assert [at for at, words in enumerate(whole) if words] == found.rows.tolist()
    details = TwinDetails(index, found, "near")
    stretches = [details.between(start, min(start + step, 25)).to_pylist() for start in range(0, 25, step)]
    assert [words for stretch in stretches for words in stretch] == whole


def test_no_duplicates_no_words(tmp_path: Path) -> None:
    index = write_index(tmp_path, [row("a"), row("b")])
    assert twin_words(index, Twins.none(), "sha256", np.array([0, 1])).to_pylist() == [None, None]
    assert TwinDetails(index, Twins.none(), "none").between(0, 2).to_pylist() == [None, None]
