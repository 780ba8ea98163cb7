"""A passthrough export that is cropped while it loads gives the pixels that a re-encoded export was encoded from."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

import hfbucket
from hfbucket.config import Config
from hfbucket.io.images.encode import encode_jpeg
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.ustar import read_members
from hfbucket.stages.write.build import build


def drawn(folder: Path) -> Path:
    """Return a folder of JPEGs of every kind that passthrough keeps, and some that it cannot."""
    folder.mkdir()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "plain": ("RGB", {}),
        "gray": ("L", {}),
        "progressive": ("RGB", {"progressive": True, "subsampling": 0}),
        "profile": ("RGB", {"icc_profile": profile}),
        "turned": ("RGB", {"exif": turned}),
        "cmyk": ("CMYK", {}),
    }
    for number, (name, (mode, options)) in enumerate(kinds.items()):
        for w, h in ((200 + number, 151), (151, 210 - number), (95, 70 + number)):
            picture = Image.effect_noise((w, h), 120).convert("RGB")
            picture.paste((250, 120, 10), (w // 4, h // 4, w // 2, h // 2))
            picture.convert(mode).save(folder / f"{name}-{w}.jpg", quality=90, **options)
            (folder / f"{name}-{w}.txt").write_text(name, encoding="utf-8")
    return folder


def encoded(export: Path) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Return the image bytes and metadata of every sample by key."""
    found: dict[str, dict[str, bytes]] = {}
    for entry in read_manifest(export).buckets.values():
        for shard in entry.shards:
            data = (export / shard.file).read_bytes()
            for name, offset, size in read_members(data):
                key, _, extension = name.partition(".")
                found.setdefault(key, {})[extension] = data[offset : offset + size]
    return {key: (parts["jpg"], json.loads(parts["json"])) for key, parts in found.items()}


def check(source: Path, work: Path, **settings: Any) -> int:
    """Build both ways and compare; return how many images were compared by their bytes."""
    for mode in ("reencode_jpeg", "passthrough_jpeg"):
        config = Config(image_mode=mode, workers=0, missing_caption="empty", **settings)
        build(str(source), work / mode, config)
    reencoded, kept = encoded(work / "reencode_jpeg"), encoded(work / "passthrough_jpeg")
    rows = list(hfbucket.load_dataset(work / "passthrough_jpeg", streaming=True))
    assert {row["key"] for row in rows} == reencoded.keys() == kept.keys()
    compared = 0
    for row in rows:
        bytes_, metadata = reencoded[row["key"]]
        assert row["image"].size == Image.open(io.BytesIO(bytes_)).size == (metadata["w"], metadata["h"])
        if kept[row["key"]][1]["image_mode"] == "passthrough_jpeg":
            compared += 1
            assert encode_jpeg(row["image"], **metadata["jpeg"]) == bytes_, metadata["image_id"]
    return compared


@pytest.mark.parametrize(("oriented", "compared"), [("reencode", 12), ("keep", 15)])
def test_drawn_pictures(tmp_path: Path, oriented: str, compared: int) -> None:
    assert check(drawn(tmp_path / "source"), tmp_path, base=(128, 64), oriented=oriented) == compared


def test_photos(shared_data: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for folder in ("imagenet", "coco", "dreambooth"):
        for path in sorted((shared_data / "photos" / folder).rglob("*.jp*g"))[:8]:
            shutil.copy(path, photos / f"{folder}-{path.name}")
    assert check(photos, tmp_path, base=(512, 256)) > 15
