"""verify --structure: each promise of the manifest and the layout, broken alone with all hashes fitting, is named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hfbucket.core.manifest.model import Asset, Captions, Generator, Manifest, SourceEntry
from hfbucket.core.manifest.plain import seal
from hfbucket.io.manifest_file import write_manifest
from hfbucket.stages.verify.run import verify
from tests.factories import make_export
from tests.mutations import (
    CARD,
    SQUARE,
    SQUARE_2,
    TABLE,
    WIDE,
    WIDE_2,
    Change,
    Found,
    append,
    copy,
    found,
    link,
    small,
    unlink,
)  # fmt: skip


def bucket(manifest: Manifest, bucket_id: str = "p1024x1024", **changes: Any) -> dict[str, Any]:
    return {**manifest.buckets, bucket_id: replace(manifest.buckets[bucket_id], **changes)}


def first_shard(manifest: Manifest, **changes: Any) -> dict[str, Any]:
    one, *rest = manifest.buckets["p1024x1024"].shards
    return bucket(manifest, shards=(replace(one, **changes), *rest))


def summary(manifest: Manifest, **changes: int) -> dict[str, int]:
    return {**manifest.summary, **changes}


def variants(manifest: Manifest, **changes: Any) -> Captions:
    one, *rest = manifest.captions.variants
    return replace(manifest.captions, variants=(replace(one, **changes), *rest))


MANIFEST_MUTATIONS: dict[str, tuple[Callable[[Manifest], dict[str, Any]], Found]] = {
    "created is no time": (lambda m: {"created": "yesterday"}, {("manifest", "manifest.json", None)}),
    "created is no day": (lambda m: {"created": "2026-13-01T00:00:00Z"}, {("manifest", "manifest.json", None)}),
    "a picture outside of assets": (
        lambda m: {"assets": (Asset(file="README.md", bytes=1, sha256="0" * 64),)},
        {("manifest", CARD, None)},
    ),
    "a bucket's count": (
        lambda m: {"buckets": bucket(m, count=5)},
        {(code, "manifest.json", None) for code in ("sums", "summary", "statistics")},
    ),
    "a bucket's bytes": (lambda m: {"buckets": bucket(m, bytes=5)}, {("sums", "manifest.json", None)}),
    "a bucket's scaled size": (
        lambda m: {"buckets": bucket(m, scaled=replace(m.buckets["p1024x1024"].scaled, w=96))},
        {("bucket_rule", "manifest.json", None)},
    ),
    "a bucket's proto": (
        lambda m: {"buckets": bucket(m, proto=replace(m.buckets["p1024x1024"].proto, w=1025))},
        {("bucket_rule", "manifest.json", None)},
    ),
    "an empty bucket is missing": (
        lambda m: {"buckets": {k: v for k, v in m.buckets.items() if v.count}},
        {("bucket_rule", "manifest.json", None)},
    ),
    "a bucket that is none": (
        lambda m: {"buckets": {**m.buckets, "p1x1": m.buckets["p2048x512"]}},
        {("bucket_rule", "manifest.json", None)},
    ),
    "no protos": (lambda m: {"bucket_rule": {"rare": "keep"}}, {("bucket_rule", "manifest.json", None)}),
    "protos are no sizes": (
        lambda m: {"bucket_rule": {**m.bucket_rule, "protos": ["a"]}},
        {("bucket_rule", "manifest.json", None)},
    ),
    "images_seen": (lambda m: {"summary": summary(m, images_seen=99)}, {("summary", "manifest.json", None)}),
    "an outcome of the summary": (
        lambda m: {"summary": summary(m, decode_errors=2)},
        {("summary", "manifest.json", None)},
    ),
    "an outcome is missing": (
        lambda m: {"summary": {k: v for k, v in m.summary.items() if k != "removed"}},
        {("summary", "manifest.json", None)},
    ),
    "an outcome that does not exist": (
        lambda m: {"summary": summary(m, skipped_ugly=0)},
        {("summary", "manifest.json", None)},
    ),
    "sources see other images": (
        lambda m: {"sources": (SourceEntry(name="a", kind="folder", images_seen=1),)},
        {("summary", "manifest.json", None)},
    ),
    "an image mode that does not exist": (lambda m: {"image_mode": "png"}, {("mode", "manifest.json", None)}),
    "captions of fewer images": (
        lambda m: {"captions": variants(m, images_selected=3)},
        {("sums", "manifest.json", None)},
    ),
    "more captions selected than there are": (
        lambda m: {"captions": variants(m, images_with_ok_caption=3)},
        {("sums", "manifest.json", None)},
    ),
    "sample tables of fewer rows": (
        lambda m: {"samples": (replace(m.samples[0], rows=3),)},
        {("sums", "manifest.json", None)},
    ),
    "no statistics": (lambda m: {"statistics": {}}, {("statistics", "manifest.json", None)}),
    "statistics of other images": (
        lambda m: {
            "statistics": {
                **m.statistics,
                "crop_loss_ppm": {**m.statistics["crop_loss_ppm"], "images": [1, 0, 0, 0, 0, 0, 0, 0]},
            }
        },
        {("statistics", "manifest.json", None)},
    ),
    "more conversions than images": (
        lambda m: {"statistics": {**m.statistics, "conversions": {"oriented": 10**6}}},
        {("statistics", "manifest.json", None)},
    ),
    "a conversion that is no count": (
        lambda m: {"statistics": {**m.statistics, "conversions": {"oriented": True}}},
        {("statistics", "manifest.json", None)},
    ),
    "conversions that are no object": (
        lambda m: {"statistics": {**m.statistics, "conversions": [1]}},
        {("statistics", "manifest.json", None)},
    ),
    "conversions of images that were kept": (
        lambda m: {
            "image_mode": "passthrough_jpeg",
            "reencoded_in_passthrough": 0,
            "statistics": {**m.statistics, "conversions": {"oriented": 1, "multi_frame": 1}},
        },
        {("statistics", "manifest.json", None)},
    ),
    "a local source's path": (
        lambda m: {"sources": (replace(m.sources[0], url="/home/me/photos"),)},
        {("local_path", "manifest.json", None)},
    ),
    "a path in the settings": (
        lambda m: {"settings": {**m.settings, "protos_file": "C:\\Users\\me\\protos.txt"}},
        {("local_path", "manifest.json", None)},
    ),
    "a file url": (
        lambda m: {"caption_sources": ({"id": "a", "file": "file:///tmp/x"},)},
        {("local_path", "manifest.json", None)},
    ),
    "a shard in another bucket's folder": (
        lambda m: {"buckets": first_shard(m, file="buckets/p1152x832/shard-00007.tar")},
        {
            ("manifest", "buckets/p1152x832/shard-00007.tar", None),
            ("missing", "buckets/p1152x832/shard-00007.tar", None),
            ("stray", SQUARE, None),
            ("manifest", SQUARE_2, None),  # its number is no longer above the one before
        },
    ),
    "a shard of another name": (
        lambda m: {"buckets": first_shard(m, file="buckets/p1024x1024/part-0.tar")},
        {
            ("manifest", "buckets/p1024x1024/part-0.tar", None),
            ("missing", "buckets/p1024x1024/part-0.tar", None),
            ("stray", SQUARE, None),
        },
    ),
    "shards in descending order": (
        lambda m: {"buckets": bucket(m, shards=tuple(reversed(m.buckets["p1024x1024"].shards)))},
        {("manifest", SQUARE, None)},
    ),
    "a shard twice": (
        lambda m: {"buckets": bucket(m, shards=(m.buckets["p1024x1024"].shards[0],) * 2)},
        {
            ("manifest", SQUARE, None),
            ("sums", SQUARE, None),
            ("sums", "manifest.json", None),
            ("stray", SQUARE_2, None),
        },
    ),
    "a shard without hash": (lambda m: {"buckets": first_shard(m, sha256=None)}, {("manifest", SQUARE, None)}),
    "more samples than a shard may have": (
        lambda m: {"settings": {**m.settings, "max_shard_samples": 2}},
        {("sums", f"buckets/{b}/shard-0000{n}.tar", None) for b in ("p1024x1024", "p1152x832") for n in (0, 1)},
    ),
}


@pytest.mark.parametrize("name", MANIFEST_MUTATIONS)
def test_manifest(tmp_path: Path, name: str) -> None:
    change, expected = MANIFEST_MUTATIONS[name]
    manifest = small(tmp_path)
    changed = replace(manifest, **change(manifest))
    changed = seal(changed)
    entry = replace(changed.history[0], export_id=changed.export_id or "")
    write_manifest(tmp_path, replace(changed, history=(entry,)))
    report = found(verify(tmp_path, depth="structure"))
    assert report == expected


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"settings": {}}, "manifest_changed"),
        ({"content_sha256": None}, "manifest_changed"),
        ({"export_id": "0" * 16}, "manifest_changed"),
        ({"image_mode": "passthrough_jpeg"}, "manifest_changed"),
        ({"history": ()}, None),
        ({"title": "Another title", "sections": {"about": "words"}}, None),
        ({"generator": Generator(name="hfbucket", version="0.0.1")}, None),
    ],
)
def test_what_content_sha256_holds(tmp_path: Path, change: dict[str, Any], code: str | None) -> None:
    write_manifest(tmp_path, replace(small(tmp_path), **change))
    codes = {code for code, _, _ in found(verify(tmp_path, depth="structure"))}
    assert codes == ({code} if code else set())


def test_the_older_name_has_one_base(tmp_path: Path) -> None:
    make_export(tmp_path, bases=(128, 64), format="bucketed_shards_v1")
    assert found(verify(tmp_path, depth="structure")) == {("manifest", "manifest.json", None)}


def test_a_newer_format(tmp_path: Path) -> None:
    small(tmp_path)
    data = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**data, "format": "bucketed_shards_v9"}))
    report = verify(tmp_path)
    assert found(report) == {("manifest_version", "manifest.json", None)}
    assert "bucketed_shards_v9" in report.problems[0].message
    assert str(tmp_path) not in report.problems[0].message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (unlink(SQUARE), {("missing", SQUARE, None)}),
        (unlink(TABLE), {("missing", TABLE, None)}),
        (unlink(CARD), {("card", CARD, None)}),
        (append(SQUARE, bytes(512)), {("size", SQUARE, None)}),
        (append(TABLE, b"x"), {("size", TABLE, None)}),
        (link(SQUARE), {("link", SQUARE, None)}),
        (link("buckets/p1152x832"), {
            ("stray", "buckets/p1152x832", None), ("missing", WIDE, None),
            ("missing", WIDE_2, None)}),
        (copy(SQUARE, "buckets/p1024x1024/shard-00009.tar"), {("stray", "buckets/p1024x1024/shard-00009.tar", None)}),
        (copy(SQUARE, "buckets/other/deep/a.tar"), {("stray", "buckets/other/deep/a.tar", None)}),
        (copy(CARD, "buckets/notes.md"), set()),
        (copy(SQUARE, "assets/a.tar"), set()),
    ],
)  # fmt: skip
def test_files(tmp_path: Path, change: Change, expected: Found) -> None:
    small(tmp_path / "export")
    change(tmp_path / "export")
    assert found(verify(tmp_path / "export", depth="structure")) == expected
    # deeper checks go on over what is missing, and add nothing that only follows from it
    deeper = {(code, file) for code, file, _ in found(verify(tmp_path / "export"))}
    assert deeper - {(code, file) for code, file, _ in expected} <= {("tar", SQUARE), ("hash", SQUARE), ("hash", TABLE)}


def test_snapshots_of_the_hub_cache_are_links_to_its_blobs(tmp_path: Path) -> None:
    export = tmp_path / "datasets--me--mine" / "snapshots" / "abc"
    small(export)
    blobs = export.parent.parent / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(p for p in export.rglob("*") if p.is_file())):
        os.replace(file, blobs / str(number))
        file.symlink_to(os.path.relpath(blobs / str(number), file.parent))
    assert verify(export).ok
