"""verify: each promise of a sample, broken alone with all hashes fitting, is named with file and key."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from hfbucket.stages.verify.run import verify
from tests.factories import Sample, encode, reseal
from tests.mutations import (
    BROKEN_ID,
    KEY,
    SQUARE,
    TABLE,
    WIDE,
    WIDE_2,
    Members,
    edited,
    found,
    members,
    rewritten,
    small,
)  # fmt: skip


def one(**changes: Any) -> Callable[[Sample], Sample]:
    """Change one sample: its fields, or what functions make of them."""

    def change(sample: Sample) -> Sample:
        if sample.image_id != BROKEN_ID:
            return sample
        return replace(sample, **{k: v(getattr(sample, k)) if callable(v) else v for k, v in changes.items()})

    return change


def meta(**changes: Any) -> Callable[[Sample], Sample]:
    return one(metadata=lambda metadata: {**metadata, **changes})


def picture(**options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def exif(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


SAMPLE_MUTATIONS: dict[str, tuple[Callable[[Sample], Sample], set[str]]] = {
    "bucket's width": (meta(w=65), {"bucket"}),
    "bucket's height": (meta(h=32), {"bucket"}),
    "base": (meta(base_resolution=128), {"bucket"}),
    "image_id of another key": (meta(image_id="other 3.jpg"), {"image_id"}),
    "mode that does not exist": (meta(image_mode="png"), {"mode"}),
    "mode of another export": (meta(image_mode="passthrough_jpeg", jpeg=None), {"mode", "source_hash"}),
    "jpeg is null": (meta(jpeg=None), {"mode"}),
    "jpeg of another quality": (meta(jpeg={"quality": 94, "subsampling": "4:4:4"}), {"mode"}),
    "resized width": (meta(resized_w=66), {"geometry"}),
    "crop left": (meta(crop_left=7), {"geometry"}),
    "crop top": (meta(crop_top=2), {"geometry"}),
    "negative crop": (meta(crop_top=-1), {"geometry"}),
    "source smaller than the bucket": (meta(source_w=63, source_h=63), {"geometry", "bucket"}),
    "no source_sha256": (meta(source_sha256=None), {"metadata"}),
    "source_sha256 is no hash": (meta(source_sha256="abc"), {"metadata"}),
    "other keys in meta": (meta(meta={"class_id": 1, "uri": "u"}), {"metadata"}),
    "a position in meta": (meta(meta={"class_id": 1, "url": {"GPSLatitude": [1, 2, 3]}}), {"location"}),
    "a position in exif text": (meta(meta={"class_id": 1, "url": '{"GPSInfo": {"1": "N"}}'}), {"location"}),
    "variant of another number": (meta(caption_selector_index=1), {"caption"}),
    "variant of no number": (meta(caption_selector_index=7), {"caption"}),
    "caption without line break": (one(txt=lambda txt: txt.rstrip(b"\n")), {"caption"}),
    "caption is no UTF-8": (one(txt=b"caf\xe9\n"), {"caption", "samples"}),
    "caption with NUL": (one(txt=b"a\0b\n"), {"caption", "samples"}),
    "caption of two line breaks": (one(txt=lambda txt: txt + b"\n"), {"samples"}),
    "another caption": (one(txt=b"another\n"), {"samples"}),
    "another caption in the table": (one(captions=lambda c: ("another", c[1])), {"samples"}),
    "no JPEG": (one(jpg=b"not a jpeg"), {"image"}),
    "truncated JPEG": (one(jpg=lambda jpg: jpg[:-2]), {"image"}),
    "JPEG of half its bytes": (one(jpg=lambda jpg: jpg[: len(jpg) // 2]), {"image"}),
    "empty image": (one(jpg=b""), {"image"}),
    "wrong size": (one(jpg=encode(Image.new("RGB", (64, 65)))), {"image_size"}),
    "EXIF in what was encoded": (one(jpg=picture(subsampling=0, exif=exif())), {"image_metadata"}),
    "ICC in what was encoded": (one(jpg=picture(subsampling=0, icc_profile=bytes(200))), {"image_metadata"}),
    "a comment in what was encoded": (one(jpg=picture(subsampling=0, comment=b"hello")), {"image_metadata"}),
    "another subsampling": (one(jpg=picture(subsampling=2)), {"image"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLE_MUTATIONS)
def test_sample(tmp_path: Path, name: str) -> None:
    change, codes = SAMPLE_MUTATIONS[name]
    small(tmp_path, change=change)
    assert verify(tmp_path, depth="quick").ok
    report = verify(tmp_path)
    assert {item.code for item in report.problems} == codes
    assert {(item.file, item.key) for item in report.problems} <= {(SQUARE, KEY), ("manifest.json", None)}
    assert any(item.key == KEY for item in report.problems)


JSON_MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], bytes], set[str]]] = {
    "spaces": (lambda m: json.dumps(m, sort_keys=True, ensure_ascii=False).encode(), {"metadata_form"}),
    "unsorted": (
        lambda m: json.dumps(dict(reversed(m.items())), separators=(",", ":"), ensure_ascii=False).encode(),
        {"metadata_form"},
    ),
    "unknown key": (lambda m: canonical({**m, "zoom": 1}), {"metadata"}),
    "key missing": (lambda m: canonical({k: v for k, v in m.items() if k != "source_member"}), {"metadata"}),
    "source hash missing": (lambda m: canonical({k: v for k, v in m.items() if k != "source_sha256"}), {"metadata"}),
    "wrong type": (lambda m: canonical({**m, "source_w": "73"}), {"metadata", "samples"}),
    "true is no number": (lambda m: canonical({**m, "crop_left": True}), {"metadata", "samples"}),
    "fraction": (lambda m: canonical({**m, "source_h": 76.5}), {"metadata", "samples"}),
    "bucket_id of another": (lambda m: canonical({**m, "bucket_id": "p1152x832"}), {"bucket", "samples"}),
    "no JSON": (lambda m: b"{", {"metadata", "samples"}),
    "no object": (lambda m: b"[]", {"metadata", "samples"}),
    "no UTF-8": (lambda m: b'{"a":"\xff"}', {"metadata", "samples"}),
    "NaN": (
        lambda m: canonical({**m, "meta": {"a": 1}}).replace(b'{"a":1}', b'{"a":NaN}'),
        {"metadata", "metadata_form", "samples"},
    ),
    "deep": (lambda m: b"[" * 100_000, {"metadata", "samples"}),
    "other meta": (lambda m: canonical({**m, "meta": {}}), {"metadata", "samples"}),
}


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize("name", JSON_MUTATIONS)
def test_metadata_text(tmp_path: Path, name: str) -> None:
    change, codes = JSON_MUTATIONS[name]
    small(tmp_path)

    def edit(all_members: Members) -> Members:
        last = all_members[-1]  # of the shard, so that no offsets move
        return [*all_members[:-1], (last[0], change(json.loads(last[1])))]

    rewritten(edit)(tmp_path)
    table = pq.read_table(tmp_path / TABLE)
    size = len(members(tmp_path)[-1][1])
    key = members(tmp_path)[-1][0][:32]
    row = table.column("key").to_pylist().index(key)
    pq.write_table(edited(table, "json_size", row, size), tmp_path / TABLE)
    reseal(tmp_path)
    report = verify(tmp_path)
    assert {item.code for item in report.problems} == codes
    assert {(item.file, item.key) for item in report.problems} <= {(SQUARE, key), (SQUARE, None)}


def test_passthrough_bytes_are_the_source_s(tmp_path: Path) -> None:
    small(tmp_path, image_mode="passthrough_jpeg", change=one(jpg=encode(Image.new("RGB", (73, 76)))))
    assert found(verify(tmp_path)) == {("source_hash", SQUARE, KEY)}


def test_a_source_that_cannot_be_decoded(tmp_path: Path) -> None:
    data = encode(Image.new("RGB", (73, 76)))[:-2]
    small(tmp_path, image_mode="passthrough_jpeg", change=kept(data))
    report = verify(tmp_path)
    assert found(report) == {("source_image", SQUARE, KEY)}
    assert "--check decode" in report.problems[0].remedy


def kept(data: bytes) -> Callable[[Sample], Sample]:
    """Put these bytes where a source's bytes stand."""
    return one(jpg=data, metadata=lambda m: {**m, "source_sha256": hashlib.sha256(data).hexdigest()})


def jpeg_of_mode(mode: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (73, 76)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "settings", "codes"),
    [
        (jpeg_of_mode("CMYK"), {}, {"mode"}),
        (jpeg_of_mode("RGB", exif=exif(3)), {}, {"mode"}),
        (jpeg_of_mode("RGB", exif=exif(3)), {"oriented": "keep"}, set()),
        (jpeg_of_mode("RGB", exif=exif(3)), {"oriented": "keep", "strip_metadata": True}, set()),
        (jpeg_of_mode("RGB", exif=exif()), {}, set()),
        (jpeg_of_mode("RGB", exif=exif()), {"strip_metadata": True}, {"image_metadata"}),
        (jpeg_of_mode("RGB", comment=b"hello"), {"strip_metadata": True}, {"image_metadata"}),
        (jpeg_of_mode("RGB", icc_profile=bytes(200)), {"strip_metadata": True}, set()),
        (jpeg_of_mode("L"), {}, set()),
    ],
)
def test_source_bytes_mean_the_same_to_every_reader(
    tmp_path: Path, data: bytes, settings: dict[str, Any], codes: set[str]
) -> None:
    small(tmp_path, image_mode="passthrough_jpeg", change=kept(data))
    reseal(tmp_path, settings={"source_hash": True, **settings})
    assert {code for code, _, _ in found(verify(tmp_path))} == codes


def test_meta_has_the_same_keys_in_every_shard(tmp_path: Path) -> None:
    def change(sample: Sample) -> Sample:
        other = {**sample.metadata, "meta": {"class_id": 0, "uri": ""}}
        return replace(sample, metadata=other) if "p1152x832" in sample.image_id else sample

    small(tmp_path, change=change)
    assert found(verify(tmp_path)) == {("metadata", WIDE, None), ("metadata", WIDE_2, None)}


def test_passthrough_size_is_the_source_s(tmp_path: Path) -> None:
    data = encode(Image.new("RGB", (70, 70)))
    small(tmp_path, image_mode="passthrough_jpeg", change=kept(data))
    assert found(verify(tmp_path)) == {("image_size", SQUARE, KEY)}


def test_reencoded_in_passthrough_is_counted(tmp_path: Path) -> None:
    changes = {"image_mode": "reencode_jpeg", "jpeg": {"quality": 95, "subsampling": "4:4:4"}}
    small(tmp_path, image_mode="passthrough_jpeg", change=meta(**changes))
    assert found(verify(tmp_path)) == {("sums", "manifest.json", None)}
    reseal(tmp_path, reencoded_in_passthrough=1)
    assert verify(tmp_path).ok


def test_a_sample_in_another_bucket_than_the_law_says(tmp_path: Path) -> None:
    """A source as square as can be in the wide bucket: it fits, its geometry is right, and still it does not belong."""

    def change(sample: Sample) -> Sample:
        if sample.image_id != "drawn/p1152x832/picture 001.jpg":
            return sample
        metadata = {**sample.metadata, "source_w": 96, "source_h": 96, "resized_w": 64, "resized_h": 64}
        corner = int.from_bytes(hashlib.sha256(sample.image_id.encode()).digest()[:8], "big") % 4
        return replace(sample, metadata={**metadata, "crop_left": 0, "crop_top": 32 if corner > 1 else 0})

    small(tmp_path, change=change)
    problems = verify(tmp_path).problems
    assert {(p.code, p.file) for p in problems} == {("bucket", WIDE)}
    assert "of 96x96 pixels belongs into p1024x1024 by the bucket law" in problems[0].message
