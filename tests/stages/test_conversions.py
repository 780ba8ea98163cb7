"""What decoding did to images is counted, in the manifest and in what a build says."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from hfbucket.cli.main import main
from hfbucket.core.conversions import CONVERSIONS
from hfbucket.io.cards import render_card
from hfbucket.io.manifest_file import read_manifest
from hfbucket.stages.verify.run import verify
from tests.stages.pictures import draw_folder, picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five plain photos; one of two pictures, one turned, one with alpha, two in CMYK."""
    folder = draw_folder(tmp_path / "photos", 5)
    image = Image.open(io.BytesIO(picture(0)))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "a.jpg", "MPO", save_all=True, append_images=[image])
    image.save(folder / "b.jpg", exif=exif)
    clear = image.convert("RGBA")
    clear.putalpha(128)
    clear.save(folder / "c.png")
    for name in ("d", "e"):
        image.convert("CMYK").save(folder / f"{name}.jpg")
    return folder


@pytest.mark.parametrize(
    "flags",
    [
        ["--image-mode", "reencode_jpeg"],
        ["--image-mode", "passthrough_jpeg", "--check", "structure"],
        ["--image-mode", "passthrough_jpeg", "--check", "decode"],
    ],
)
def test_conversions(photos: Path, tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    flags += ["--base", "64", "--missing-caption", "empty", "--workers", "0"]
    command = ["build", str(photos), "-o", str(tmp_path / "out"), *flags]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "What decoding did to them" in out
    assert "   2  cmyk_converted" in out
    counts = {name: 0 for name in CONVERSIONS}
    counts |= {"multi_frame": 1, "oriented": 1, "alpha_flattened": 1, "cmyk_converted": 2}
    manifest = read_manifest(tmp_path / "out")
    assert manifest.statistics["conversions"] == counts
    assert not verify(str(tmp_path / "out")).problems
    assert render_card(manifest)
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["conversions"] == counts
