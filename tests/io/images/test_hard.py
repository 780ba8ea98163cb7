"""Other projects' hard images end as their collection says, in a child process with bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest

from hfbucket.errors import SampleError
from hfbucket.io.images.decode import decode_rgb
from tests.io.images.pictures import encoded, exif, picture

ROOT = Path(__file__).resolve().parents[3]
LIMIT_MIB = 1536
UNREADABLE = {"decode_errors", "unsupported_format"}
SINCE_PILLOW_13 = {"accept_convert__30fc4a08c6d3.tif", "accept_convert__56fc7ad8cd9b.tif"}
"""Pillow 12, the last for Python 3.10, calls them truncated."""


def decode_all(paths: Iterable[Path]) -> tuple[dict[str, dict[str, Any]], int]:
    """Return what became of each file, by name, and the peak memory in MiB; no decoder may bring the child down."""
    names = "\n".join(map(str, paths))
    command = [sys.executable, "-m", "tests.io.images.decode_all", str(LIMIT_MIB)]
    # pyarrow's own allocator reserves a gigabyte of addresses, which are what is limited here, and does not use them.
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    child = subprocess.run(command, cwd=ROOT, input=names, capture_output=True, text=True, timeout=110, env=environment)
    assert child.returncode == 0, child.stderr[-2000:]
    *rows, last = [json.loads(line) for line in child.stdout.splitlines()]
    return {row["file"]: row for row in rows}, last["peak_mib"]


def test_hard_images_end_as_they_should(shared_data: Path) -> None:
    folder = shared_data / "hard"
    listed = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    rows, peak_mib = decode_all(folder / entry["file"] for entry in listed)
    assert len(rows) == len(listed) == 724
    assert peak_mib < 1024
    new = SINCE_PILLOW_13 if int(PIL.__version__.partition(".")[0]) < 13 else set()
    wrong = [f"{entry['file']}: {rows[entry['file']]}" for entry in listed if not as_asked(entry, rows[entry["file"]])]
    assert {line.partition(":")[0] for line in wrong} == new, "\n".join(wrong)


def as_asked(entry: dict[str, Any], row: dict[str, Any]) -> bool:
    """Return whether a file ended as its class in the collection's manifest asks."""
    if row["outcome"] == "ok" and not (
        row["mode"] == "RGB" and row["decoded"] == row["size"] and row["header"] == "ok"
    ):
        return False
    if row["outcome"] != "ok" and not row["detail"]:
        return False
    match entry["cls"]:
        case "reject":
            return row["outcome"] in UNREADABLE
        case "bomb":
            return (row["outcome"], row["header"]) == ("skipped_too_large",) * 2 or row["outcome"] == "decode_errors"
        case "warn" | "dispute":
            return row["outcome"] in {"ok", *UNREADABLE}
    size = [entry["w"], entry["h"]]
    turned = (entry["orientation"] or 1) >= 5 and entry["magic"] != "tiff"  # a TIFF's size was noted upright
    animated = entry["cls"] == "policy_multiframe"
    return bool(
        row["outcome"] == "ok"
        and row["decoded"] == (size[::-1] if turned else size)
        and row["orientation"] == (entry["orientation"] or 1)
        and (not animated or "multi_frame" in row["notes"])
    )


def test_orientations_of_one_picture_look_the_same(shared_data: Path) -> None:
    for kind in ("Landscape", "Portrait"):
        thumbnails = []
        for orientation in range(9):
            data = (shared_data / "hard_orientation" / f"{kind}_{orientation}.jpg").read_bytes()
            image = decode_rgb(data, max_pixels=178_000_000).image
            assert (image.width > image.height) == (kind == "Landscape")
            thumbnails.append(np.asarray(image.resize((24, 24)), int))
        assert max(np.abs(seen - thumbnails[1]).mean() for seen in thumbnails) < 4


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_damage_anywhere_is_an_image_or_a_sample_error(image_format: str) -> None:
    options = {"exif": exif(6, gps=True)} if image_format in ("JPEG", "PNG", "WEBP", "TIFF") else {}
    whole = encoded(picture(48, 32).convert("P" if image_format == "GIF" else "RGB"), image_format, **options)
    random = np.random.default_rng(3)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(int(random.integers(1, 6))):
            at = int(random.integers(len(data)))
            data[at : at + int(random.integers(0, 3))] = random.bytes(int(random.integers(0, 3)))
        assert " at 0x" not in words_of(bytes(data))


def words_of(data: bytes) -> str:
    """Return "RGB" for an image, else the decoder's words."""
    try:
        return decode_rgb(data, max_pixels=1 << 22).image.mode
    except SampleError as error:
        return error.detail
