"""Every sample says the same things about itself."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from hfbucket.core.hashing import canonical_json
from hfbucket.core.law.buckets import Bucket
from hfbucket.core.sample import Encoding, caption_bytes, metadata_bytes, sample_metadata, sample_row
from hfbucket.schemas import SAMPLES

BUCKET = Bucket(bucket_id="r512_p1152x832", base=512, proto_w=1152, proto_h=832, w=576, h=416)

ROW: dict[str, Any] = {
    "image_id": "a/ü.jpg", "archive": None, "member": "ü.jpg", "source_w": 4000, "source_h": 3000, "resized_w": 576,
    "resized_h": 432, "crop_left": 0, "crop_top": 16, "caption_index": 1,
    "caption_source_id": "s1", "meta": '{"url":"x","n":1}',
}  # fmt: skip

KEYS = {
    "w", "h", "jpeg", "image_mode", "caption_variant", "caption_selector_index", "caption_source_id", "image_id",
    "bucket_id", "base_resolution", "source_w", "source_h", "resized_w", "resized_h", "crop_left", "crop_top",
    "source_sha256", "source_split", "source_archive", "source_member", "meta",
}  # fmt: skip


def metadata(**changes: Any) -> dict[str, Any]:
    encoding = Encoding(image_mode="reencode_jpeg", quality=95, subsampling="4:4:4")
    return sample_metadata(
        {**ROW, **changes}, BUCKET, encoding, source_sha256="ab", variants=("caption", "text"), meta_keys=("n", "url")
    )


def test_metadata_has_every_key_always() -> None:
    full, bare = metadata(), metadata(meta=None, caption_index=-1)
    assert full.keys() == bare.keys() == KEYS
    assert (full["w"], full["h"], full["jpeg"]) == (576, 416, {"quality": 95, "subsampling": "4:4:4"})
    assert (full["caption_variant"], full["caption_selector_index"]) == ("text", 1)
    assert (bare["caption_variant"], bare["caption_selector_index"]) == (None, None)
    assert full["meta"] == {"n": 1, "url": "x"}
    assert bare["meta"] == {"n": None, "url": None}
    assert Encoding(image_mode="passthrough_jpeg").jpeg is None


def test_row_fits_the_schema() -> None:
    places = {f"{member}_{what}": 512 for member in ("jpg", "txt", "json") for what in ("offset", "size")}
    row = sample_row(
        metadata(), key="k", shard="buckets/x/shard-00000.tar", places=places, caption="t", captions=[None, "t"],
        variants=("caption", "text"),
    )  # fmt: skip
    assert set(row) == set(SAMPLES.names)
    table = pa.Table.from_pylist([row], schema=SAMPLES)
    assert table.to_pylist()[0]["captions"] == [{"variant": "text", "text": "t"}]
    assert table.to_pylist()[0]["meta"] == '{"n":1,"url":"x"}'
    assert metadata_bytes(table.to_pylist()[0]) == canonical_json(metadata()).encode()


def test_caption_bytes() -> None:
    assert caption_bytes("a\nb é") == "a\nb é\n".encode()
    assert caption_bytes(None) == b"\n"
