"""Rows in the order of the shards, whatever is taken at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hfbucket.config import Config
from hfbucket.stages.plan import make_plan
from hfbucket.stages.write.gather import in_member_order
from tests.index_tables import row, write_index
from tests.limits import no_file_larger_than

COLUMNS = ("image_id", "captions", "width", "meta")


@pytest.mark.parametrize("most", [1, 7, 30, 10_000])
@pytest.mark.parametrize("dealt", [1, 1024])
@pytest.mark.parametrize("shuffle", [None, 3])
def test_batches_have_all_members_in_order(
    most: int, dealt: int, shuffle: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hfbucket.io.tables.ROW_GROUP_ROWS", 16)
    monkeypatch.setattr("hfbucket.stages.write.gather._DEALT_ROWS", dealt)
    sizes = [(600, 600), (900, 600), (10, 10), (600, 900)]
    rows = [row(f"{n}", *sizes[n * n % 7 % 4], captions=[f"say {n}", None, "ä" * n]) for n in range(120)]
    index = write_index(tmp_path, rows[:50], [], rows[50:])
    plan = make_plan(index, Config(shuffle=shuffle, max_shard_samples=9))
    batches = list(in_member_order(index, plan, COLUMNS, most, tmp_path))
    assert [batch.start for batch in batches] == list(range(0, len(plan.members), most))
    assert np.concatenate([batch.members for batch in batches]).tolist() == plan.members.tolist()
    for batch in batches:
        assert batch.table.equals(index.take(batch.members, COLUMNS))
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".parquet"] == []


def test_long_captions_come_in_smaller_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = write_index(tmp_path, [row(f"{n}", 600, 600, captions=["x" * 100, None]) for n in range(60)])
    plan = make_plan(index, Config(max_shard_samples=9))
    assert plan.caption_bytes.of(np.arange(60)).tolist() == [100] * 60
    monkeypatch.setattr("hfbucket.stages.write.gather._BATCH_BYTES", 2000)
    monkeypatch.setattr("hfbucket.stages.write.gather._DEALT_BYTES", 3000)
    batches = list(in_member_order(index, plan, COLUMNS, 10_000, tmp_path))
    assert [len(batch.members) for batch in batches] == [20, 20, 20]
    assert np.concatenate([batch.members for batch in batches]).tolist() == plan.members.tolist()


def test_a_full_disk_names_the_folder(tmp_path: Path) -> None:
    index = write_index(tmp_path, [row(f"{n}", 600, 600, captions=[f"{n}" * 999]) for n in range(60)])
    plan = make_plan(index, Config(max_shard_samples=9))
    with no_file_larger_than(1000), pytest.raises(OSError, match="File too large") as caught:
        list(in_member_order(index, plan, COLUMNS, 7, tmp_path))
    assert caught.value.filename == str(tmp_path)
