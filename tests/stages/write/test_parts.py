"""Shards written in parts by several processes: the bytes of shards written at once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hfbucket.config import Config
from hfbucket.core.events import Event, Progress
from hfbucket.executors.engines import Workers
from hfbucket.executors.task import Failure
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.places import Place
from hfbucket.io.receipts import Receipt, read_receipt, receipt_file
from hfbucket.stages.write import parts
from hfbucket.stages.write.build import build
from hfbucket.stages.write.done import receipts_of
from hfbucket.stages.write.parts import Joining, is_joined, join_parts, missing_parts, split, write_piece
from hfbucket.stages.write.shard import write_shard
from hfbucket.stages.write.task import ShardTask
from tests.stages.pictures import draw_folder, tree
from tests.stages.write.tasks import tasks_of

SETTINGS: dict[str, Any] = {"base": (128, 64), "max_failure_ratio": 1}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = draw_folder(tmp_path / "photos", 30)
    for number in (1, 7, 12):  # they are planned, and turn out broken
        path = folder / f"{number:04d}.jpg"
        path.write_bytes(path.read_bytes()[:-400])
    return folder


@pytest.fixture
def task(photos: Path, tmp_path: Path) -> ShardTask:
    return max(tasks_of(photos, tmp_path / "export", Config(**SETTINGS, workers=0)), key=lambda task: task.samples)


def in_parts(task: ShardTask) -> Joining:
    rows = tuple(pairwise([0, 1, task.samples // 2, task.samples]))
    return Joining(task=task, parts=tuple(replace(task, rows=(a, b), parts=rows, samples=b - a) for a, b in rows))


def test_a_build_with_several_workers_gives_the_same(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_LEAST_SAMPLES", 2)
    events: list[Event] = []
    whole = build([str(photos)], tmp_path / "whole", Config(**SETTINGS, workers=0, title="T"))
    joined = build([str(photos)], tmp_path / "joined", Config(**SETTINGS, workers=2, title="T"), on_event=events.append)
    assert tree(tmp_path / "joined") == tree(tmp_path / "whole")
    assert joined.content_sha256 == whole.content_sha256
    done = [event for event in events if isinstance(event, Progress) and event.stage == "write"]
    assert (done[0].done, done[-1].done) == (0, done[-1].total)
    assert not (tmp_path / "joined.work" / "parts").exists()
    assert read_manifest(tmp_path / "joined").summary["decode_errors"] == 3


def test_passthrough_is_not_split(photos: Path, tmp_path: Path) -> None:
    config = Config(**SETTINGS, workers=0, image_mode="passthrough_jpeg")
    tasks = tasks_of(photos, tmp_path / "export", config)
    assert split(tasks, 10**6, Workers(count=8)) == (tasks, [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=st.lists(st.integers(1, 10_000), min_size=1, max_size=40), workers=st.integers(0, 200))
def test_parts_hold_every_sample_once(samples: list[int], workers: int, task: ShardTask) -> None:
    tasks = [replace(task, number=number, samples=count) for number, count in enumerate(samples)]
    wholes, joinings = split(tasks, sum(samples), Workers(count=workers))
    assert sorted([one.number for one in wholes] + [joining.task.number for joining in joinings]) == list(
        range(len(tasks))
    )
    largest = max(128, -(-sum(samples) // (4 * max(workers, 1))))
    for joining in joinings:
        rows = [part.rows or (0, 0) for part in joining.parts]
        assert (rows[0][0], rows[-1][1]) == (0, joining.task.samples)
        assert all(before[1] == after[0] for before, after in pairwise(rows))
        sizes = [part.samples for part in joining.parts]
        assert sizes == [stop - start for start, stop in rows]
        assert max(sizes) <= largest
        assert max(sizes) - min(sizes) <= 1
        assert len({part.name for part in joining.parts}) == len(joining.parts) > 1
    assert not joinings or workers >= 2


def test_a_shard_of_parts_is_the_shard(task: ShardTask) -> None:
    assert write_shard(task) is None
    (expected,) = receipts_of([task])
    place, receipt = task.folder / task.name, receipt_file(task.receipts, task.name)
    before = place.read_bytes(), receipt.read_bytes()
    place.unlink()
    joining = in_parts(task)
    assert [write_shard(part) for part in joining.parts] == [None] * 3
    assert join_parts(joining) is None
    assert (place.read_bytes(), receipt.read_bytes()) == before
    assert receipts_of([task]) == [expected]
    assert not list((task.job.work.parts).glob("**/*.tar"))
    assert join_parts(joining) is None  # as after a kill between the receipt and the last deletion


def test_what_is_there_is_not_written_again(task: ShardTask) -> None:
    joining = in_parts(task)
    assert write_shard(joining.parts[1]) is None
    other = replace(task, rows=(0, 2), samples=2)
    assert write_shard(other) is None
    assert missing_parts([joining], task.job.work) == [joining.parts[0], joining.parts[2]]
    assert receipts_of([other]) == [None]
    assert not (other.folder / other.name).exists()


@pytest.mark.parametrize("what", ["tar", "receipt"])
def test_a_lost_part_is_named(task: ShardTask, what: str) -> None:
    joining = in_parts(task)
    for part in joining.parts:
        write_shard(part)
    lost = joining.parts[2]
    (lost.folder / lost.name if what == "tar" else receipt_file(lost.receipts, lost.name)).unlink()
    failure = join_parts(joining)
    assert isinstance(failure, Failure)
    assert failure.final
    assert lost.name in failure.reason
    assert not (task.folder / task.name).exists()
    assert missing_parts([joining], task.job.work) == [lost]


def test_a_part_that_was_cut_short_is_named(task: ShardTask) -> None:
    joining = in_parts(task)
    for part in joining.parts:
        write_shard(part)
    cut = joining.parts[2]
    place = Path(str(cut.folder), cut.name)
    place.write_bytes(place.read_bytes()[:-2000])
    failure = join_parts(joining)
    assert failure is not None
    assert failure.reason == f"{cut.name} in {cut.folder} is cut short"
    assert not (task.folder / task.name).exists()


def test_the_last_part_joins_the_shard(task: ShardTask) -> None:
    joining = in_parts(task)
    for part in (joining.parts[2], joining.parts[0]):
        assert write_piece(part) is None
        assert not is_joined(joining)
    assert write_piece(joining.parts[1]) is None
    assert is_joined(joining)
    assert not list(Path(str(task.job.work.parts)).glob("**/*.*"))


def test_parts_of_another_source_are_not_joined(task: ShardTask) -> None:
    joining = in_parts(task)
    for part in joining.parts:
        assert write_shard(replace(part, task_sha256="0" * 64)) is None
    failure = join_parts(joining)
    assert failure is not None
    assert "vanished" in failure.reason
    assert missing_parts([joining], task.job.work) == list(joining.parts)
    assert write_piece(joining.parts[0]) is None  # and the others' receipts are gone
    assert not is_joined(joining)


def test_parts_that_another_process_joined_meanwhile_are_no_failure(
    task: ShardTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    joining = in_parts(task)
    for part in joining.parts:
        write_shard(part)

    def joined_first(place: Place) -> Receipt | None:
        monkeypatch.setattr(parts, "read_receipt", read_receipt)
        assert join_parts(joining) is None
        return read_receipt(place)

    monkeypatch.setattr(parts, "read_receipt", joined_first)
    assert join_parts(joining) is None
    assert is_joined(joining)
