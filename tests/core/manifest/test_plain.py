"""The manifest as JSON: round trips, what is read liberally, what is refused and with which words."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hfbucket.core.keys import safe_file
from hfbucket.core.manifest.model import License, Manifest
from hfbucket.core.manifest.plain import content_sha256, from_dict, is_ours, seal, to_dict
from hfbucket.errors import FormatError, UnsupportedVersionError
from tests.factories import make_export, make_foreign_export

Data = dict[str, Any]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_export(tmp_path_factory.mktemp("export"), bases=(128, 64), card=False)


def test_round_trip(manifest: Manifest) -> None:
    data = json.loads(json.dumps(to_dict(manifest)))
    assert from_dict(data) == manifest
    assert list(data)[:4] == ["format", "created", "export_id", "content_sha256"]
    assert is_ours(manifest)


def test_unknown_keys_survive(manifest: Manifest) -> None:
    data = {**to_dict(manifest), "colour_space": {"name": "sRGB"}}
    read = from_dict(data)
    assert read.extra == {"colour_space": {"name": "sRGB"}}
    assert to_dict(read)["colour_space"] == {"name": "sRGB"}
    assert content_sha256(read) != content_sha256(manifest)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"title": "Other", "description": "words", "license": License(id="mit"), "sections": {"about": "x"}}, True),
        ({"created": "2030-01-01T00:00:00Z", "export_id": "0" * 16, "history": (), "generator": None}, True),
        ({"language": ("en",), "tags": ("a",), "citation": "c"}, True),
        ({"image_mode": "passthrough_jpeg"}, False),
        ({"settings": {}}, False),
        ({"summary": {}}, False),
        ({"buckets": {}}, False),
        ({"caption_sources": ({"id": "model"},)}, False),
    ],
)
def test_content_sha256_is_of_the_content(manifest: Manifest, change: Data, same: bool) -> None:
    assert (content_sha256(replace(manifest, **change)) == content_sha256(manifest)) is same


def test_content_sha256_leaves_out_parquet_hashes(manifest: Manifest) -> None:
    tables = tuple(replace(table, sha256="0" * 64) for table in manifest.samples)
    assert content_sha256(replace(manifest, samples=tables)) == content_sha256(manifest)


def test_seal(manifest: Manifest) -> None:
    sealed = seal(replace(manifest, content_sha256=None, export_id=None))
    assert sealed.content_sha256 == content_sha256(manifest)
    assert sealed.export_id == content_sha256(manifest)[:16]
    assert sealed == manifest


def _set(*path: str | int, to: object) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        place: Any = data
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


def _drop(*path: str | int) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        place: Any = data
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return change


B = "r64_p1024x1024"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("buckets", B, "shards", 0, "bytes", to="9"),
         f"manifest.json: buckets['{B}'].shards[0].bytes: must be an integer, got '9'"),
        (_set("buckets", B, "shards", 0, "bytes", to=True),
         f"manifest.json: buckets['{B}'].shards[0].bytes: must be an integer, got true"),
        (_set("buckets", B, "count", to=-1),
         f"manifest.json: buckets['{B}'].count: must be from 0 to 2**63 - 1, got -1"),
        (_set("buckets", B, "count", to=2**63),
         f"manifest.json: buckets['{B}'].count: must be from 0 to 2**63 - 1, got 9223372036854775808"),
        (_set("buckets", B, "scaled", "w", to=0),
         f"manifest.json: buckets['{B}'].scaled: must be at least 1x1 pixels, got 0x64"),
        (_set("buckets", B, "scaled", "h", to=64.0),
         f"manifest.json: buckets['{B}'].scaled.h: must be an integer, got 64.0"),
        (_set("buckets", B, "shards", to={}), f"manifest.json: buckets['{B}'].shards: must be an array, got an object"),
        (_set("buckets", B, "shards", 1, to=7),
         f"manifest.json: buckets['{B}'].shards[1]: must be an object, got 7"),
        (_drop("buckets", B, "shards", 1, "file"), f"manifest.json: buckets['{B}'].shards[1].file: is missing"),
        (_set("buckets", B, "shards", 0, "sha256", to="ABC"),
         f"manifest.json: buckets['{B}'].shards[0].sha256: must be 64 lowercase hex digits, got 'ABC'"),
        (_set("buckets", B, to=None), f"manifest.json: buckets['{B}']: must be an object, got null"),
        (_set("buckets", to=[]), "manifest.json: buckets: must be an object, got an array"),
        (_drop("buckets"), "manifest.json: buckets: is missing; an export's manifest names its buckets"),
        (_set("samples", 0, "rows", to=None), "manifest.json: samples[0].rows: must be an integer, got null"),
        (_set("summary", "images_seen", to="3"),
         "manifest.json: summary['images_seen']: must be an integer, got '3'"),
        (_set("format", to="tarballs"),
         "manifest.json: format: must be one of bucketed_shards_v2, bucketed_shards_v1, got 'tarballs'"),
        (_drop("format"), "manifest.json: format: must be one of bucketed_shards_v2, bucketed_shards_v1, got null"),
        (_set("sources", 0, "name", to=3), "manifest.json: sources[0].name: must be a string, got 3"),
        (_set("captions", "variants", 0, "selected", to="yes"),
         "manifest.json: captions.variants[0].selected: must be true or false, got 'yes'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(manifest: Manifest, change: Callable[[Data], None], message: str) -> None:
    data = copy.deepcopy(to_dict(manifest))
    change(data)
    with pytest.raises(FormatError) as caught:
        from_dict(data)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x.tar", "buckets/../../x.tar", "a\\b.tar", "C:/x.tar", "c:x.tar", "", "a//b.tar", "./a.tar",
     "hf://datasets/a/b.tar", "a\0b.tar", "a\nb.tar", "buckets/"],
)  # fmt: skip
def test_unsafe_names_are_refused(manifest: Manifest, name: str) -> None:
    with pytest.raises(FormatError):
        safe_file(name)
    data = to_dict(manifest)
    if name:
        data["buckets"][B]["shards"][0]["file"] = name
        with pytest.raises(FormatError, match=r"shards\[0\]\.file: must "):
            from_dict(data)
    renamed = {**data, "buckets": {name: data["buckets"][B]}}
    with pytest.raises(FormatError):
        from_dict(renamed)


@pytest.mark.parametrize(
    ("name", "error"),
    [("bucketed_shards_v3", UnsupportedVersionError), ("bucketed_shards_v12", UnsupportedVersionError),
     ("bucketed_shards_v0", FormatError), ("bucketed_shards_v", FormatError)],
)  # fmt: skip
def test_versions(manifest: Manifest, name: str, error: type[FormatError]) -> None:
    with pytest.raises(error) as caught:
        from_dict({**to_dict(manifest), "format": name})
    assert type(caught.value) is error
    if error is UnsupportedVersionError:
        assert "upgrade hfbucket" in str(caught.value)


@pytest.mark.parametrize("name", ["bucketed_shards_v1", "bucketed_shards_v2", "bucketed_shards_v2.4"])
def test_known_versions(manifest: Manifest, name: str) -> None:
    assert from_dict({**to_dict(manifest), "format": name}).format == name


def test_foreign_exports_are_read_liberally(tmp_path: Path) -> None:
    data = make_foreign_export(tmp_path)
    data |= {"generator": "other 1.0", "license": "mit", "sources": {"a": 1}, "captions": None, "summary": None}
    read = from_dict(data)
    assert not is_ours(read)
    assert read.extra == {"tool": "another tool", "generator": "other 1.0", "license": "mit", "sources": {"a": 1}}
    bucket = read.buckets["p1024x1024"]
    assert (bucket.base_resolution, bucket.scaled.w, bucket.count) == (64, 64, 6)
    assert [shard.file for shard in bucket.shards] == [f"buckets/p1024x1024/shard-{n:05d}.tar" for n in range(2)]
    assert bucket.shards[0].sha256 is None
    written = to_dict(read)
    assert written["license"] == "mit"
    assert from_dict(written).buckets == read.buckets
    assert to_dict(replace(read, license=License(id="cc0-1.0")))["license"]["id"] == "cc0-1.0"


def test_a_bucket_may_say_as_little_as_its_id(manifest: Manifest) -> None:
    entry = {"shards": [{"file": "shard-00000.tar", "count": 2}, {"file": "shard-00003.tar", "count": 3}]}
    read = from_dict({"format": "bucketed_shards_v2", "buckets": {"r512_p1152x832": entry}})
    bucket = read.buckets["r512_p1152x832"]
    assert (bucket.base_resolution, bucket.scaled.w, bucket.scaled.h, bucket.count) == (512, 576, 416, 5)
    with pytest.raises(FormatError, match=r"buckets\['wide'\].base_resolution: is missing"):
        from_dict({"format": "bucketed_shards_v2", "buckets": {"wide": entry}})
