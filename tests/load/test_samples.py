"""Raw members to typed columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from hfbucket.core.manifest.model import Size
from hfbucket.errors import ConfigError, FormatError
from hfbucket.load.plan import ShardRef
from hfbucket.load.samples import COLUMNS, check_columns, read_examples
from tests.factories import draw, tar_bytes

SAMPLE = draw("p1152x832", 64, Size(w=64, h=32), 1, image_mode="passthrough_jpeg")


def no_remote(url: str, start: int) -> BinaryIO:
    raise AssertionError(url)


def examples(tmp_path: Path, *, change: dict[str, bytes | None] | None = None, **how: Any) -> list[dict[str, Any]]:
    members = {**dict(SAMPLE.members), **(change or {})}
    data = tar_bytes((f"{SAMPLE.key}.{ext}", content) for ext, content in members.items() if content is not None)
    (tmp_path / "shard.tar").write_bytes(data)
    ref = ShardRef(
        file="shard.tar", url=str(tmp_path / "shard.tar"), bucket_id="p1152x832", width_px=64, height_px=32, count=1
    )
    return list(read_examples(ref, no_remote, **how))


def metadata(**change: object) -> dict[str, bytes | None]:
    changed = {name: value for name, value in {**SAMPLE.metadata, **change}.items() if value is not ...}
    return {"json": json.dumps(changed).encode()}


def test_every_column_comes_from_its_place(tmp_path: Path) -> None:
    (example,) = examples(tmp_path)
    assert tuple(example) == COLUMNS
    assert example == {
        "image": {"bytes": SAMPLE.jpg, "path": None},
        "caption": SAMPLE.captions[0],
        "key": SAMPLE.key,
        "image_id": SAMPLE.image_id,
        "bucket_id": "p1152x832",
        "width": 64,
        "height": 32,
        "original_width": SAMPLE.metadata["source_w"],
        "original_height": SAMPLE.metadata["source_h"],
        "resized_width": SAMPLE.metadata["resized_w"],
        "resized_height": SAMPLE.metadata["resized_h"],
        "crop_left": SAMPLE.metadata["crop_left"],
        "crop_top": SAMPLE.metadata["crop_top"],
        "caption_variant": "caption",
        "meta": '{"class_id":1,"url":"https://example.org/1?a=1&b=2"}',
    }


def test_crop_puts_the_geometry_beside_the_source_bytes(tmp_path: Path) -> None:
    (example,) = examples(tmp_path, crop=True, columns=("image",))
    names = ("resized_w", "resized_h", "crop_left", "crop_top", "w", "h")
    assert example == {
        "image": {"bytes": SAMPLE.jpg, "path": f"{SAMPLE.key}.jpg", **{name: SAMPLE.metadata[name] for name in names}}
    }


def test_columns_come_in_the_order_asked_for(tmp_path: Path) -> None:
    (example,) = examples(tmp_path, columns=("height", "caption", "bucket_id"))
    assert list(example.items()) == [("height", 32), ("caption", SAMPLE.captions[0]), ("bucket_id", "p1152x832")]


@pytest.mark.parametrize(
    ("txt", "caption"), [(b"\n", ""), (b"a\n\n", "a\n"), (b"a", "a"), (b"", ""), ("é\r\nx\n".encode(), "é\r\nx")]
)
def test_a_caption_loses_its_one_newline_only(tmp_path: Path, txt: bytes, caption: str) -> None:
    assert examples(tmp_path, change={"txt": txt}, columns=("caption",)) == [{"caption": caption}]


def test_meta_keeps_every_digit(tmp_path: Path) -> None:
    meta = {"big": 2**70, "fine": 0.1 + 0.2, "text": "一 / \u2028", "none": None}
    (example,) = examples(tmp_path, change=metadata(meta=meta), columns=("meta",))
    assert json.loads(example["meta"]) == meta


def test_foreign_samples_have_nulls_where_they_say_nothing(tmp_path: Path) -> None:
    (example,) = examples(tmp_path, change={"txt": None, "json": None})
    known = {"image", "key", "bucket_id", "width", "height", "meta"}
    assert {name for name, value in example.items() if value is not None} == known
    assert example["meta"] == "{}"


@pytest.mark.parametrize(
    ("change", "how", "message"),
    [
        ({"jpg": None}, {}, "the sample has no image; run `hfbucket verify`"),
        ({"json": b"{"}, {}, "Expecting property name"),
        ({"json": b"[]"}, {}, r"its json member must be an object, got a list"),
        ({"txt": b"\xff"}, {}, "'utf-8' codec can't decode"),
        (metadata(crop_top=...), {"crop": True}, r"does not say how to crop it \(crop_top is missing\); .* crop=False"),
        (metadata(crop_top=None), {"crop": True}, r"does not say how to crop it \(crop_top is missing\)"),
        (metadata(crop_top="0"), {"crop": True}, r"crop_top must be an integer, got '0'"),
    ],
)
def test_what_is_wrong_with_a_sample_is_named(
    tmp_path: Path, change: dict[str, bytes | None], how: dict[str, Any], message: str
) -> None:
    with pytest.raises(FormatError, match=rf"^shard.tar, sample {SAMPLE.key}: .*{message}"):
        examples(tmp_path, change=change, **how)


def test_metadata_is_not_parsed_where_no_column_needs_it(tmp_path: Path) -> None:
    (example,) = examples(tmp_path, change={"json": b"{"}, columns=("image", "key", "caption", "width"))
    assert example["image"]["bytes"] == SAMPLE.jpg


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["picture"], "columns must be among image, caption, .*, got 'picture'"),
        ("image", "columns must be a list of different names such as"),
        ([], "columns must be a list of different names such as"),
        (["key", "key"], "columns must be a list of different names such as"),
    ],
)
def test_unknown_columns_are_refused(columns: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_columns(columns)
