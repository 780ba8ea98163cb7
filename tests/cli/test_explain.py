from __future__ import annotations

import json
from pathlib import Path

import pytest

from hfbucket.cli.main import main


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["explain", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_every_bucket_of_every_base_with_its_score(capsys: pytest.CaptureFixture[str]) -> None:
    lines = explained(capsys, "4000x3000", "--base", "512", "--base", "256").splitlines()
    assert lines[0] == "4000x3000, metric min-crop (smallest wins; of equals the first in the table)"
    scored = [line.split() for line in lines if line.startswith("  r")]
    assert len(scored) == 40 + 22
    assert scored[0] == ["r512_p1152x832", "576x416", "9216.0000", "3.70%", "<-", "chosen"]
    assert scored[1] == ["r512_p1152x896", "576x448", "9557.3333", "3.57%"]
    assert sum("chosen" in line for line in lines) == 1
    assert lines[-5:] == [
        "Bucket r512_p1152x832: resized to 576x432, cropped to 576x416.",
        "  crop at (0, 0): top left",
        "  crop at (0, 0): top right",
        "  crop at (0, 16): bottom left",
        "  crop at (0, 16): bottom right",
    ]


def test_the_crop_of_one_image(capsys: pytest.CaptureFixture[str]) -> None:
    out = explained(capsys, "4000x3000", "--image-id", "a.jpg", "--corner-jitter", "8")
    assert out.endswith("cropped to 576x416.\n  crop at (0, 9): a.jpg\n")
    out = explained(capsys, "4000x3000", "--corner-jitter", "8", "--corners", "3")
    assert out.endswith(
        "  crop at (0, 16): bottom right\n  moved inward by up to 8 px; --image-id ID shows one image's crop\n"
    )
    assert explained(capsys, "4000x3000", "--crop", "center").endswith("  crop at (0, 8): center\n")


def test_why_there_is_no_bucket(capsys: pytest.CaptureFixture[str]) -> None:
    out = explained(capsys, "300x300")
    assert out.count("image too small") == 40
    assert out.endswith("No bucket: skipped_too_small.\n")
    out = explained(capsys, "9000x600", "--max-crop", "0.2")
    assert "crops more than --max-crop" in out
    assert out.endswith("No bucket: skipped_too_cropped.\n")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(explained(capsys, "4000x3000", "--metric", "nearest-log", "--image-id", "a.jpg", "--json"))
    assert (data["width"], data["height"], data["outcome"], data["bucket_id"]) == (4000, 3000, None, "p1152x896")
    assert data["crops"]["a.jpg"] == {
        "resized_w": 597, "resized_h": 448, "crop_left": 0, "crop_top": 0, "w": 576, "h": 448,
    }  # fmt: skip
    (chosen,) = (bucket for bucket in data["buckets"] if bucket["chosen"])
    assert (chosen["score"], chosen["crop_share"], chosen["fit"]) == ("28/27", "1/28", "fits")
    none = json.loads(explained(capsys, "30x30", "--json"))
    assert (none["outcome"], none["bucket_id"], none["crops"]) == ("skipped_too_small", None, {})


def test_what_is_no_size_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "4000*3000"]) == 2
    assert "must be the size of an image in pixels such as 4000x3000, got '4000*3000'" in capsys.readouterr().err
