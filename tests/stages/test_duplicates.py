"""Duplicates from end to end: which images go, what is told of them, and what is read for it."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hfbucket.config import Config
from hfbucket.core.events import Event, Notice, Progress
from hfbucket.core.plan.model import Plan
from hfbucket.errors import BuildError
from hfbucket.io import fingerprint_files, store
from hfbucket.stages import fingerprints
from hfbucket.stages.index import build_index
from hfbucket.stages.plan import make_plan
from hfbucket.stages.report import plan
from hfbucket.stages.verify.run import verify
from hfbucket.stages.why import why
from hfbucket.stages.write.build import build
from tests.sources.drawn import put
from tests.stages.counted import register
from tests.stages.pictures import draw_folder, draw_parquet, draw_tar, picture, tree
from tests.stages.test_care import FAULTS

COUNT = 10


@pytest.fixture(autouse=True)
def _no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # most of the time of a small build


def config(dedupe: str = "sha256", **changes: Any) -> Config:
    return Config(**{"base": (128, 64), "workers": 0, "dedupe": dedupe, "missing_caption": "empty", **changes})


def ledger(export: Path) -> dict[str, tuple[str, str | None]]:
    rows = pq.read_table(export / "ledger").to_pylist()
    return {row["image_id"]: (row["outcome"], row["detail"]) for row in rows}


def planned(sources: list[str], settings: Config, events: list[Event] | None = None) -> Plan:
    heard: list[Event] = [] if events is None else events
    return make_plan(build_index(sources, settings), settings, on_event=heard.append)


def looked_at(events: list[Event]) -> int:
    """How many images fingerprints were taken of."""
    return max((e.done for e in events if isinstance(e, Progress) and e.stage == "fingerprints"), default=0)


def photo(seed: int, size: tuple[int, int] = (300, 220), **options: Any) -> bytes:
    """A picture with enough structure for a difference hash, as JPEG."""
    random = np.random.default_rng(seed)
    noise = Image.fromarray(random.integers(0, 256, (14, 18, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    noise.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", **{"quality": 92, **options})
    return buffer.getvalue()


def draw_all(root: Path) -> list[str]:
    """The same pictures in four kinds of sources."""
    draw_folder(root / "photos", COUNT)
    draw_tar(root / "tars" / "a.tar", COUNT)
    draw_tar(root / "gz" / "a.tar.gz", COUNT, mode="w:gz")
    draw_parquet(root / "tables" / "a.parquet", COUNT)
    return [f"{name}={root / name}" for name in ("tars", "photos", "gz", "tables")]


@pytest.mark.parametrize("mode", ["reencode_jpeg", "passthrough_jpeg"])
def test_equal_bytes_go_whatever_source_they_are_in(tmp_path: Path, mode: str) -> None:
    sources = draw_all(tmp_path)
    export = tmp_path / "out"
    manifest = build(sources, export, config(image_mode=mode))
    eligible = COUNT - 2  # two are too small
    told = ledger(export)
    assert manifest.summary["images_exported"] == eligible
    assert manifest.summary["duplicates_removed"] == 3 * eligible
    assert manifest.summary["skipped_too_small"] == 4 * 2
    assert manifest.statistics["duplicates"] == {"image_id": 0, "bytes": 3 * eligible}
    assert told["tars/a.tar/0003"] == ("images_exported", None)
    for twin in ("photos/0003.jpg", "gz/a.tar.gz/0003", "tables/a.parquet/3"):
        assert told[twin] == ("duplicates_removed", "same bytes as tars/a.tar/0003")
    assert told["photos/0004.jpg"] == ("skipped_too_small", "40x30")
    (answer,) = why(export, "photos/0003.jpg")
    assert answer.detail == "same bytes as tars/a.tar/0003"
    assert not verify(export).problems
    assert "Left out as duplicates of an earlier image: 24 with the same bytes." in (export / "README.md").read_text()


@pytest.mark.parametrize("dedupe", ["sha256", "pixels", "near"])
def test_threads_give_the_same_fingerprints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dedupe: str) -> None:
    monkeypatch.setattr(fingerprints, "_PART_ROWS", 3)
    settings = config(dedupe)
    index = build_index(draw_all(tmp_path), settings)
    for number, unit in enumerate(index.units):
        task = fingerprints.PrintTask(
            unit=unit.unit, config=settings, index_file=Path(unit.file), rows=np.arange(unit.rows), file=tmp_path
        )
        found = []
        for threads in (1, 3):
            file = tmp_path / f"{number}-{threads}.parquet"
            assert fingerprints.print_unit(replace(task, file=file, threads=threads)) is None
            found.append(pq.read_table(file))
        assert found[0].num_rows == COUNT
        assert found[0].equals(found[1])


def test_a_file_that_is_shorter_than_it_was_is_told_by_every_thread(tmp_path: Path) -> None:
    tar = draw_tar(tmp_path / "a.tar", COUNT)
    index = build_index([str(tar)], config())
    (unit,) = index.units
    status = tar.stat()
    os.truncate(tar, unit.unit.size_bytes // 2)
    os.utime(tar, ns=(status.st_atime_ns, status.st_mtime_ns))
    for threads in (1, 2):
        task = fingerprints.PrintTask(
            unit=replace(unit.unit, version=store.info(str(tar)).version), config=config(), index_file=Path(unit.file),
            rows=np.arange(COUNT), file=tmp_path / "prints", threads=threads,
        )  # fmt: skip
        failure = fingerprints.print_unit(task)
        assert failure is not None
        assert failure.reason == "changed after it was scanned"


@pytest.mark.parametrize(("workers", "tars", "threads"), [(0, 1, 1), (1, 1, 1), (4, 1, 4), (4, 3, 1), (7, 3, 2)])
def test_a_task_has_the_threads_that_no_other_task_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, tars: int, threads: int
) -> None:
    sources = [str(draw_tar(tmp_path / f"{number}" / "a.tar", 2)) for number in range(tars)]
    given: list[fingerprints.PrintTask] = []
    monkeypatch.setattr(fingerprints, "run_rounds", lambda _, tasks, *rest, **options: given.extend(tasks))
    settings = config(workers=workers)
    with pytest.raises(BuildError, match="are gone again"):
        make_plan(build_index([f"{n}={url}" for n, url in enumerate(sources)], settings), settings)
    assert [task.threads for task in given] == [threads] * tars


def test_equal_pixels_go_however_they_are_encoded(tmp_path: Path) -> None:
    jpeg, other = picture(0), picture(1)
    png = io.BytesIO()
    with Image.open(io.BytesIO(jpeg)) as image:
        image.save(png, "PNG")
    folder = put(
        tmp_path / "photos", {"a.jpg": jpeg, "b.png": png.getvalue(), "c.jpg": other, "d.jpg": picture(0, quality=50)}
    )
    manifest = build([str(folder)], tmp_path / "out", config("pixels"))
    assert ledger(tmp_path / "out")["b.png"] == ("duplicates_removed", "same pixels as a.jpg")
    assert manifest.statistics["duplicates"] == {"image_id": 0, "pixels": 1}
    assert planned([str(folder)], config()).twins.rows.tolist() == []


def test_near_images_go_with_their_distance(tmp_path: Path) -> None:
    flat = io.BytesIO()
    Image.new("RGB", (200, 200), (90, 120, 60)).save(flat, "JPEG")
    flat_again = io.BytesIO()
    Image.new("RGB", (200, 200), (90, 120, 61)).save(flat_again, "JPEG")
    files = {
        "a.jpg": photo(1), "b.jpg": photo(1, quality=40), "c.jpg": photo(1, (600, 440)), "d.jpg": photo(2),
        "e.jpg": flat.getvalue(), "f.jpg": flat_again.getvalue(), "g.jpg": flat.getvalue(),
    }  # fmt: skip
    folder = put(tmp_path / "photos", files)
    manifest = build([str(folder)], tmp_path / "out", config("near", near_threshold=3))
    told = ledger(tmp_path / "out")
    gone = {name for name, (outcome, _) in told.items() if outcome == "duplicates_removed"}
    assert gone == {"b.jpg", "c.jpg", "g.jpg"}
    assert told["b.jpg"][1] in {f"near a.jpg, distance {distance}" for distance in range(4)}
    assert told["g.jpg"][1] == "same bytes as e.jpg"  # shows too little to be near to anything
    counts = manifest.statistics["duplicates"]
    assert (counts["image_id"], counts["bytes"], sum(counts["near"]), len(counts["near"])) == (0, 1, 2, 4)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "1 with the same bytes and 2 with a difference hash of 64 bits that differs in at most 3." in card
    assert not verify(tmp_path / "out").problems
    funnel = {line.outcome: line for line in plan([str(folder)], config("near", near_threshold=3)).funnel}
    assert funnel["duplicates_removed"].examples[0].detail == told["b.jpg"][1]


def test_only_eligible_images_are_compared(tmp_path: Path) -> None:
    """A copy that is too small neither goes nor takes a larger one with it; rare buckets are counted afterwards."""
    files = {"a.jpg": photo(1, (60, 44)), "b.jpg": photo(1), "c.jpg": photo(1, quality=50), "d.jpg": photo(2)}
    folder = put(tmp_path / "photos", files)
    events: list[Event] = []
    made = planned([str(folder)], config("near", base=(128,)), events)
    assert (made.twins.rows.tolist(), made.twins.twin.tolist(), looked_at(events)) == ([2], [1], 3)
    settings = config("near", base=(128,), min_bucket=3, rare="drop")
    report = plan([str(put(tmp_path / "more", {**files, "e.jpg": photo(3), "f.jpg": photo(4, (220, 300))}))], settings)
    assert {line.outcome: line.images for line in report.funnel} == {
        "skipped_too_small": 1, "duplicates_removed": 1, "skipped_rare_bucket": 1, "images_exported": 3,
    }  # fmt: skip


@pytest.mark.parametrize("dedupe", ["sha256", "pixels", "near"])
def test_the_cache_changes_what_is_read_not_what_is_found(tmp_path: Path, dedupe: str) -> None:
    sources = draw_all(tmp_path)
    cold: list[Event] = []
    first = planned(sources, config(dedupe, base=(128,)), cold)
    told = [event.text for event in cold if isinstance(event, Notice) and f"--dedupe {dedupe}" in event.text]
    assert len(told) == 1
    assert "every byte of 24 images" in told[0]
    assert looked_at(cold) == 24
    warm: list[Event] = []
    assert planned(sources, config(dedupe, base=(128,)), warm).plan_id == first.plan_id
    assert looked_at(warm) == 0
    wider: list[Event] = []
    both = planned(sources, config(dedupe), wider)  # one size more is eligible
    assert looked_at(wider) == 8
    fresh = planned(sources, config(dedupe, cache_dir=str(tmp_path / "fresh"), workers=2))
    assert fresh.plan_id == both.plan_id != first.plan_id
    assert fresh.twins.sha256 == both.twins.sha256


def test_other_bytes_make_another_plan(tmp_path: Path) -> None:
    """Bytes of the same number and size in pixels: the index cannot tell them apart, the plan can."""
    one, two = photo(1), photo(2)
    two += bytes(len(one) - len(two)) if len(two) < len(one) else b""
    one += bytes(len(two) - len(one))
    ids = []
    for number, files in enumerate([{"a.jpg": one, "b.jpg": two}, {"a.jpg": one, "b.jpg": one}]):
        made = planned([f"x={put(tmp_path / str(number), files)}"], config())
        ids.append((made.plan_id, len(made.twins.rows)))
    assert ids[0][0] != ids[1][0]
    assert (ids[0][1], ids[1][1]) == (0, 1)


def test_what_cannot_be_decoded_is_nobodys_duplicate(tmp_path: Path) -> None:
    broken = photo(1)[:-300]
    folder = put(tmp_path / "photos", {"a.jpg": broken, "b.jpg": broken, "c.jpg": photo(2), "d.jpg": photo(2)})
    manifest = build([str(folder)], tmp_path / "out", config("pixels", max_failure_ratio="0.5"))
    assert manifest.summary["decode_errors"] == 2
    assert manifest.summary["duplicates_removed"] == 1


def test_a_source_that_changed_or_went_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = draw_folder(tmp_path / "photos", 3)
    archive = draw_tar(tmp_path / "tars" / "a.tar", 3)
    indexes = [build_index([str(source)], config()) for source in (folder, archive)]
    os.utime(folder / "0001.jpg", ns=(1, 1))
    os.utime(archive, ns=(1, 1))
    for index in indexes:
        with pytest.raises(
            BuildError, match=r"(photos|a.tar): changed after it was scanned; .*run the same command again"
        ):
            make_plan(index, config())
    (folder / "0001.jpg").unlink()
    with pytest.raises(BuildError, match="no such file"):
        make_plan(indexes[0], config())


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", COUNT)
    cache = tmp_path / "cache"
    first = planned([str(folder)], config(cache_dir=str(cache)))
    (file,) = (cache / "fingerprints").rglob("*.parquet")
    file.write_bytes(file.read_bytes()[:-9])
    events: list[Event] = []
    assert planned([str(folder)], config(cache_dir=str(cache)), events).plan_id == first.plan_id
    assert looked_at(events) == COUNT - 2


def test_fingerprints_that_vanish_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = draw_folder(tmp_path / "photos", 3)
    monkeypatch.setattr(fingerprints, "add_prints", lambda *_: None)
    with pytest.raises(BuildError, match=r"its fingerprints in .* are gone again"):
        planned([str(folder)], config())


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.parquet"])
def test_a_build_fetches_remote_bytes_once(tmp_path: Path, name: str) -> None:
    source = tmp_path / "photos" / name
    if name.endswith("parquet"):
        draw_parquet(source, COUNT)
    else:
        draw_tar(source, COUNT, mode="w" if name.endswith("tar") else "w:gz")
    here = build([str(source)], tmp_path / "here", config("near"))
    fetched = register()
    there = build([f"counted://{source}"], tmp_path / "there", config("near"))
    if not name.endswith("parquet"):  # its footer is read to find out what it holds
        assert set(fetched[name].tolist()) == {1}
    assert here.buckets == there.buckets
    assert tree(tmp_path / "here") == tree(tmp_path / "there")
    # The index is there and the fingerprints are not: now these are what the file is fetched for.
    shutil.rmtree(Path(os.environ["HFBUCKET_CACHE"]) / "fingerprints")
    fetched = register()
    build([f"counted://{source}"], tmp_path / "again", config("near"))
    if not name.endswith("parquet"):
        assert set(fetched[name].tolist()) == {1}


@pytest.mark.skipif(os.name != "posix", reason="dies of signals")
def test_an_image_that_ends_its_process_is_nobodys_duplicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "faults"))
    deadly = picture(0, comment=b"die of SIGSEGV")
    folder = put(tmp_path / "photos", {"a.jpg": deadly, "b.jpg": deadly, "c.jpg": picture(1), "d.jpg": picture(1)})
    made = planned([str(folder)], config("pixels", workers=1))
    assert (made.twins.rows.tolist(), made.twins.twin.tolist()) == ([3], [2])


def test_what_stands_in_a_file_stays(tmp_path: Path) -> None:
    """Fingerprints are added to those that are there; one that is taken again takes its own place."""
    file, printed = tmp_path / "a.parquet", fingerprint_files.Printed
    rows = np.array([7, 2])
    fingerprint_files.add_prints(file, np.array([2, 7]), [printed(near=2**63), printed(exact=b"x" * 32)])
    fingerprint_files.add_prints(file, np.array([3, 7]), [printed(), printed(exact=b"y" * 32)])
    assert fingerprint_files.read_prints(file).to_pylist() == [
        {"row": 2, "exact": None, "near": 2**63},
        {"row": 3, "exact": None, "near": None},
        {"row": 7, "exact": b"y" * 32, "near": None},
    ]
    assert fingerprint_files.missing_rows(file, np.sort(np.append(rows, 5))).tolist() == [5]
