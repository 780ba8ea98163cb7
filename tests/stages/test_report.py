"""The report of a plan over real files: what it counts, names and writes."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest
from PIL import Image

import hfbucket
from hfbucket.cli.main import main
from hfbucket.config import Config
from hfbucket.core.events import Event


def picture(path: Path, size: tuple[int, int], caption: str | None = "a picture", *, gps: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if gps:
        exif.get_ifd(0x8825)[1] = "N"
        exif.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    Image.new("RGB", size, (10, 200, 30)).save(path, exif=exif)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nine images: five fit base 64, two are too small for it, one is broken, one has no caption."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    for number in range(3):
        picture(folder / f"wide{number}.jpg", (130, 98))
    picture(folder / "deep" / "er" / "square.png", (64, 64))
    picture(folder / "gps.jpg", (80, 64), gps=True)
    picture(folder / "small1.jpg", (40, 40))
    picture(folder / "small2.jpg", (20, 20))
    picture(folder / "silent.jpg", (64, 64), caption=None)
    picture(folder / "broken.jpg", (64, 64))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 this is no image")
    (folder / "notes.docx").write_bytes(b"x")
    return folder


CONFIG = Config(base=(64,), batch_size=2, max_failure_ratio="0.5", workers=0)  # type: ignore[arg-type]


def test_the_numbers_add_up(photos: Path) -> None:
    report = hfbucket.plan(str(photos), CONFIG)
    counts = {line.outcome: line.images for line in report.funnel}
    assert counts == {"decode_errors": 1, "skipped_no_caption": 1, "skipped_too_small": 2, "images_exported": 5}
    assert report.images_seen == sum(counts.values()) == 9
    (table,) = report.tables
    assert table.images == sum(bucket.images for bucket in table.buckets) == 5
    assert [bucket.images for bucket in table.buckets] == sorted((b.images for b in table.buckets), reverse=True)


def test_it_names_images(photos: Path) -> None:
    report = hfbucket.plan(str(photos), CONFIG)
    named = {line.outcome: [example.image_id for example in line.examples] for line in report.funnel}
    assert named == {
        "decode_errors": ["broken.jpg"],
        "skipped_no_caption": ["silent.jpg"],
        "skipped_too_small": ["small1.jpg", "small2.jpg"],
        "images_exported": [],
    }
    assert report.funnel[0].examples[0].detail
    assert report.worst_crops[0].crop_loss_ppm == max(crop.crop_loss_ppm for crop in report.worst_crops)


def test_it_tells_what_was_found(photos: Path) -> None:
    (source,) = hfbucket.plan(str(photos), CONFIG).sources
    assert (source.name, source.kind, source.images) == ("photos", "folder", 9)
    assert source.formats["png"] == 1
    assert sum(source.formats.values()) == 9
    assert source.ignored == {"docx": 1}


def test_lower_bases_rescue(photos: Path) -> None:
    assert hfbucket.plan(str(photos), CONFIG).rescued_by_base == {}
    report = hfbucket.plan(str(photos), Config(base=(128,), workers=0, max_failure_ratio=1))  # type: ignore[arg-type]
    assert report.rescued_by_base[64] > 0


def test_passthrough_counts_what_it_would_encode_and_gps(photos: Path) -> None:
    config = Config(base=(64,), image_mode="passthrough_jpeg", workers=0)
    report = hfbucket.plan(str(photos), config)
    assert (report.reencoded_in_passthrough, report.images_with_gps) == (1, 1)
    assert hfbucket.plan(str(photos), CONFIG).reencoded_in_passthrough is None


def test_many_broken_images_are_told(photos: Path) -> None:
    assert not hfbucket.plan(str(photos), CONFIG).too_many_failures
    assert hfbucket.plan(str(photos), Config(base=(64,), workers=0)).too_many_failures


def test_the_command_writes_nothing_but_the_cache_and_prints_the_same_as_data(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.relative_to(photos.parent) for path in photos.parent.rglob("*"))
    flags = ["--base", "64", "--batch-size", "2", "--max-failure-ratio", "0.5", "--workers", "1"]
    assert main(["plan", "photos", "-o", "my export", *flags, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert main(["plan", "photos", "-o", "my export", *flags]) == 0
    text = capsys.readouterr().out
    assert sorted(path.relative_to(photos.parent) for path in photos.parent.rglob("*")) == before
    assert data["images_seen"] == 9
    assert data["base_options"] == []
    assert data["build_command"] == [
        "hfbucket", "build", "photos", "-o", "my export", "--base", "64",
        "--workers", "1", "--max-failure-ratio", "0.5", "--expect-plan", data["plan_id"],
    ]  # fmt: skip
    assert text.rstrip().endswith(f"--expect-plan {data['plan_id']}")
    assert data["needs"]["free_disk_bytes"] > 0
    assert os.environ["HFBUCKET_CACHE"]


def test_the_printed_command_builds_this_plan_and_no_other(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = hfbucket.plan("photos", CONFIG, output="my export").build_command
    assert command[:2] == ("hfbucket", "build")
    picture(photos / "one more.jpg", (64, 64))
    assert main([*command[1:]]) == 2
    assert "plan" in capsys.readouterr().err
    (photos / "one more.jpg").unlink()
    (photos / "one more.txt").unlink()
    assert main([*command[1:]]) == 0


def test_a_sample_of_units_says_so_and_names_no_plan_to_build(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        with tarfile.open(f"{number}.tar", "w") as tar:
            for name in ("wide0.jpg", "wide0.txt"):
                tar.add(photos / name, name)
    assert main(["plan", "*.tar", "--base", "64", "--sample-units", "2", "--workers", "1"]) == 0
    text = capsys.readouterr().out
    assert "2 images in 2 of 3 units" in text
    assert "Only some units were read (--sample-units)" in text
    assert "--expect-plan" not in text
    assert "--sample-units 2" not in text


def test_without_base_others_are_compared(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(photos / "large.jpg", (600, 600))
    assert main(["plan", "photos", "--workers", "1"]) == 0
    text = capsys.readouterr().out
    assert "Other bases (no --base was given)" in text
    assert "--base 1024 --base 512 --base 256" in text


def test_a_single_source_may_be_a_string_and_events_are_told(photos: Path) -> None:
    told: list[Event] = []
    one, many = hfbucket.plan(str(photos), CONFIG), hfbucket.plan([str(photos)], CONFIG, on_event=told.append)
    assert (one.plan_id, one.funnel, one.tables) == (many.plan_id, many.funnel, many.tables)
    assert told
