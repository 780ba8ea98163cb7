"""Long captions: rows go through a build in smaller pieces, and all of it has the bytes that it has in large ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest

from hfbucket.config import Config
from hfbucket.io.receipts import receipt_file
from hfbucket.io.ustar import ShardWriter
from hfbucket.stages.write import batch, shard
from hfbucket.stages.write.build import build
from hfbucket.stages.write.done import receipts_of
from hfbucket.stages.write.parts import Joining, join_parts
from hfbucket.stages.write.shard import write_shard
from hfbucket.stages.write.task import ShardTask
from tests.stages.pictures import draw_folder, tree
from tests.stages.write.tasks import tasks_of

SETTINGS: dict[str, Any] = {"base": (128, 64), "max_failure_ratio": 1, "workers": 0, "title": "T"}
GROUP_BYTES = 700
"""Of two or three of these captions, each of which a row has twice."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = draw_folder(tmp_path / "photos", 30)
    for number, path in enumerate(sorted(folder.glob("*.jpg"))):
        path.with_suffix(".txt").write_text(f"{number} " * (150 if number % 3 else 1), encoding="utf-8")
    broken = folder / "0007.jpg"
    broken.write_bytes(broken.read_bytes()[:-400])
    return folder


@pytest.fixture
def heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfbucket.io.tables.GROUP_BYTES", GROUP_BYTES)
    monkeypatch.setattr("hfbucket.stages.write.tasks.GROUP_BYTES", GROUP_BYTES)
    monkeypatch.setattr("hfbucket.stages.write.gather._BATCH_BYTES", 2 * GROUP_BYTES)
    monkeypatch.setattr("hfbucket.io.pieces._MOST_BYTES", 0)
    monkeypatch.setattr(batch, "_BYTES_AT_ONCE", GROUP_BYTES)


def row_groups(path: Path) -> list[int]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


@pytest.mark.parametrize("mode", ["reencode_jpeg", "passthrough_jpeg"])
def test_a_build_has_the_same_bytes(
    mode: Literal["reencode_jpeg", "passthrough_jpeg"],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    config = Config(**SETTINGS, image_mode=mode)
    usual = build([str(photos)], tmp_path / "usual", config)
    request.getfixturevalue("heavy")
    monkeypatch.setenv("HFBUCKET_CACHE", str(tmp_path / "other-cache"))
    other = build([str(photos)], tmp_path / "other", config)
    assert tree(tmp_path / "other") == tree(tmp_path / "usual")
    assert other.content_sha256 == usual.content_sha256
    receipts = {"usual": list[int](), "other": list[int]()}
    for name, groups in receipts.items():
        groups += [len(row_groups(path)) for path in sorted((tmp_path / f"{name}.work" / "receipts").glob("*/*"))]
    assert set(receipts["usual"]) == {1}
    assert max(receipts["other"]) > 2
    assert max(row_groups(tmp_path / "other.work" / "tasks" / "part-00000.parquet")) < 9
    assert build([str(photos)], tmp_path / "other", config) == other  # what has many row groups is known again


@pytest.fixture
def task(photos: Path, tmp_path: Path, heavy: None) -> ShardTask:
    task = max(tasks_of(photos, tmp_path / "export", Config(**SETTINGS)), key=lambda task: task.samples)
    assert len(task.row_groups) > 2
    return task


def test_a_shard_of_parts_is_the_shard(task: ShardTask) -> None:
    assert write_shard(task) is None
    (expected,) = receipts_of([task])
    place, receipt = Path(str(task.folder), task.name), Path(str(receipt_file(task.receipts, task.name)))
    before = place.read_bytes(), receipt.read_bytes()
    place.unlink()
    rows = ((0, 2), (2, 3), (3, task.samples))
    parts = tuple(replace(task, rows=row, parts=rows, samples=row[1] - row[0]) for row in rows)
    assert [write_shard(part) for part in parts] == [None] * 3
    assert join_parts(Joining(task=task, parts=parts)) is None
    assert (place.read_bytes(), receipt.read_bytes()) == before
    assert receipts_of([task]) == [expected]
    assert len(row_groups(receipt)) > 2


class Killed(BaseException):
    """What ends a process."""


@pytest.mark.parametrize("call", [1, 3, 6, "finish"])
def test_what_is_killed_has_no_receipt(task: ShardTask, call: int | str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    usual = shard.make_image

    def killed(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return usual(*args, **named)

    def never(_: ShardWriter) -> tuple[int, str]:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shard, "make_image", killed)
        if call == "finish":
            patch.setattr(ShardWriter, "finish", never)
        with pytest.raises(Killed):
            write_shard(task)
    place, receipt = Path(str(task.folder), task.name), Path(str(receipt_file(task.receipts, task.name)))
    assert not place.exists()
    assert not receipt.exists()
    assert write_shard(task) is None
    again = place.read_bytes(), receipt.read_bytes()
    assert write_shard(task) is None
    assert (place.read_bytes(), receipt.read_bytes()) == again
