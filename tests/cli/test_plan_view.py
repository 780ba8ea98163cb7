"""The plan's printout, word by word."""

from __future__ import annotations

import dataclasses
import json

import pytest

from hfbucket.cli.plan_view import duration, plan_text, size
from hfbucket.core.plan.report import (
    BaseOption,
    BaseTable,
    BucketLine,
    CaptionLine,
    CaptionReport,
    Example,
    Needs,
    OutcomeLine,
    PlanReport,
    SourceLine,
    WorstCrop,
)

REPORT = PlanReport(
    sources=(
        SourceLine(
            name="photos",
            kind="folder",
            units=1,
            units_listed=1,
            images=1050,
            bytes=123_456_789,
            formats={"jpeg": 1040, "png": 10},
            ignored={"docx": 2, "": 1},
            ignored_members=3,
            notes=("captions.csv has no file_name",),
        ),
    ),
    images_seen=1050,
    funnel=(
        OutcomeLine(
            outcome="decode_errors",
            images=1,
            examples=(Example(image_id="a\x1b[2J.jpg", detail="no end of image"),),
        ),
        OutcomeLine(outcome="skipped_too_small", images=9, examples=(Example(image_id="b.jpg"),)),
        OutcomeLine(outcome="images_exported", images=1040),
    ),
    too_many_failures=False,
    batch_size=32,
    tables=(
        BaseTable(
            base=512,
            images=1040,
            buckets=(
                BucketLine(
                    bucket_id="p1152x832",
                    w=576,
                    h=416,
                    images=1035,
                    share_ppm=995_192,
                    mean_crop_loss_ppm=37_000,
                    worst_crop_loss_ppm=81_234,
                    batches=32,
                    left_over=11,
                ),
                BucketLine(
                    bucket_id="p2048x512",
                    w=1024,
                    h=256,
                    images=5,
                    share_ppm=4_807,
                    mean_crop_loss_ppm=0,
                    worst_crop_loss_ppm=0,
                    batches=0,
                    left_over=5,
                ),
            ),
        ),
    ),
    worst_crops=(WorstCrop(image_id="c.jpg", bucket_id="p1152x832", source_w=900, source_h=800, crop_loss_ppm=81_234),),
    rescued_by_base={256: 8},
    base_options=(
        BaseOption(
            bases=(512, 256), images=1048, skipped_too_small=1, skipped_too_cropped=0, buckets=3, under_filled=2
        ),
    ),
    captions_selected={"text": 1000, "none": 40},
    captions=None,
    captions_repaired=2,
    reencoded_in_passthrough=10,
    images_with_gps=4,
    needs=Needs(output_bytes=150_000_000, spool_bytes=1_000, free_disk_bytes=10**8, seconds=61, workers=2),
    shuffle=None,
    is_sample=False,
    plan_id="0123456789abcdef",
    build_command=("hfbucket", "build", "my photos", "-o", "export", "--expect-plan", "0123456789abcdef"),
)

TEXT = """\
Sources
  photos (folder): 1,050 images in 1 unit, 123 MB
    formats: jpeg 1,040, png 10
    ignored: .docx 2, no extension 1, links and other members that are no files 3
    note: captions.csv has no file_name

Images
  images_seen        1,050
  decode_errors          1
  skipped_too_small      9
  images_exported    1,040

Base 512: 1,040 images in 2 buckets
  bucket       target  images   share  mean crop  worst crop  batches of 32  left over
  p1152x832   576x416   1,035   99.5%       3.7%        8.1%             32         11
  p2048x512  1024x256       5    0.5%       0.0%        0.0%              0          5  *
  all                   1,040  100.0%       3.7%        8.1%             32         16
  1 bucket marked * cannot fill one batch; see --min-bucket and --rare.

Left out, for example
  decode_errors: a\\x1b[2J.jpg (no end of image)
  skipped_too_small: b.jpg

Worst crops
  c.jpg: 900x800 to p1152x832 loses 8.1%

Of 9 images too small, a lower base would take
  --base 256  8

Other bases (no --base was given)
                         images  too small  too cropped  buckets  under-filled
  --base 512 --base 256   1,048          1            0        3             2

Captions: text 1,000, none 40
Captions repaired (not UTF-8, or with NUL): 2
Files that passthrough would re-encode at full size: 10
Files with a GPS position: 4; --strip-metadata removes it

The build
  writes about 150 MB in about 61 s with 2 workers
  keeps the order of the sources in every bucket; if they are sorted, --shuffle SEED mixes them
  copies 1.0 kB aside first, as this source can only be read from its beginning
  finds 100 MB of free disk: NOT ENOUGH

Plan 0123456789abcdef. Build it with
  hfbucket build 'my photos' -o export --expect-plan 0123456789abcdef"""


def test_the_whole_text() -> None:
    assert plan_text(REPORT) == TEXT


def test_what_is_not_there_is_not_shown() -> None:
    bare = dataclasses.replace(
        REPORT,
        funnel=(OutcomeLine(outcome="images_exported", images=1050),),
        worst_crops=(),
        rescued_by_base={},
        base_options=(),
        captions_selected={},
        captions_repaired=0,
        reencoded_in_passthrough=None,
        images_with_gps=0,
        needs=Needs(output_bytes=1, spool_bytes=0, free_disk_bytes=None, seconds=1, workers=1),
        is_sample=True,
        too_many_failures=True,
    )
    text = plan_text(bare)
    for word in ("Left out", "Worst crops", "a lower base", "Other bases", "Captions", "GPS", "copies", "free disk"):
        assert word not in text
    assert "Only some units were read (--sample-units)" in text
    assert "--max-failure-ratio allows: a build would stop here." in text
    assert "with 1 worker\n" in text


def test_a_shuffled_order_is_told() -> None:
    assert "  shuffles every bucket with seed 7\n" in plan_text(dataclasses.replace(REPORT, shuffle=7))


def test_the_data_is_plain_json() -> None:
    data = json.loads(json.dumps(REPORT.to_dict()))
    assert data["tables"][0]["buckets"][0]["bucket_id"] == "p1152x832"
    assert data["images_seen"] == sum(line["images"] for line in data["funnel"])


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (5 * 10**15, "5000 TB")],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(("seconds", "text"), [(1, "1 s"), (99, "99 s"), (100, "2 min"), (7200, "2.0 h")])
def test_durations(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_captions_to_choose_from() -> None:
    lines = (
        CaptionLine(variant="gemini", priority=0, images=1000, too_short=3, selected=990),
        CaptionLine(variant="original", priority=1, images=30, too_short=0, selected=20),
        CaptionLine(variant="other\x1b", priority=None, images=0, too_short=0, selected=0),
    )
    found = CaptionReport(variants=lines, images=1040, without=1, min_caption_chars=0, only_too_short=0)
    text = plan_text(dataclasses.replace(REPORT, captions=found))
    assert (
        """
Captions of 1,040 images that can be read
  variant    priority  images  share  selected
  gemini            0   1,000  96.2%       990
  original          1      30   2.9%        20
  other\\x1b                 0   0.0%         0
  1 image without a caption of the priority
"""
        in text
    )
    assert "Captions: " not in text
    found = dataclasses.replace(found, min_caption_chars=20, only_too_short=2)
    assert """
  variant    priority  images  share  under 20  selected
  gemini            0   1,000  96.2%         3       990
  original          1      30   2.9%         0        20
  other\\x1b                 0   0.0%         0         0
  1 image without a caption of the priority
  2 images with none of at least 20 characters
""" in plan_text(dataclasses.replace(REPORT, captions=found))
