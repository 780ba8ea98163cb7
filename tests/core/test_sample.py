"""Every sample says the same things about itself, and by columns what canonical JSON says one by one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.hashing import canonical_json
from hfbucket.core.law.buckets import Bucket
from hfbucket.core.sample import (
    PLACES,
    Columns,
    Encoding,
    caption_bytes,
    filled,
    made_samples,
    metadata_texts,
    planned_samples,
)
from hfbucket.schemas import SAMPLES, TASKS

BUCKET = Bucket(bucket_id="r512_p1152x832", base=512, proto_w=1152, proto_h=832, w=576, h=416)
SHARD = "buckets/r512_p1152x832/shard-00000.tar"
VARIANTS = ("caption", "text")
KEPT = Encoding(image_mode="passthrough_jpeg")
ENCODED = Encoding(image_mode="reencode_jpeg", quality=95, subsampling="4:4:4")

ROW: dict[str, Any] = {
    "image_id": "a/ü.jpg", "digest": bytes(range(32)), "archive": None, "member": "ü.jpg", "path": b"a", "offset": 0,
    "size_bytes": 9, "mtime_ns": 1, "unit": 0, "source": 0, "format": "jpeg", "orientation": 1, "color": "rgb",
    "source_w": 4000, "source_h": 3000, "resized_w": 576, "resized_h": 432, "crop_left": 0, "crop_top": 16, "encode": 0,
    "caption": "t", "caption_index": 1, "caption_source_id": "s1", "captions": [None, "t"], "meta": '{"n":1,"url":"x"}',
}  # fmt: skip

KEYS = {
    "w", "h", "jpeg", "image_mode", "caption_variant", "caption_selector_index", "caption_source_id", "image_id",
    "bucket_id", "base_resolution", "source_w", "source_h", "resized_w", "resized_h", "crop_left", "crop_top",
    "source_sha256", "source_split", "source_archive", "source_member", "meta",
}  # fmt: skip


def planned(*changes: dict[str, Any], meta_keys: Sequence[str] = ("n", "url")) -> Columns:
    rows = pa.Table.from_pylist([{**ROW, **change} for change in changes], schema=TASKS)
    return planned_samples(rows, BUCKET, shard=SHARD, variants=VARIANTS, meta_keys=meta_keys)


def expected(row: dict[str, Any], encoding: Encoding, sha256: str | None, meta_keys: Sequence[str]) -> dict[str, Any]:
    """What FORMAT section 7 says, written down once more, one sample at a time."""
    index = row["caption_index"]
    own = json.loads(row["meta"]) if row["meta"] else {}
    straight = ("source_w", "source_h", "resized_w", "resized_h", "crop_left", "crop_top", "caption_source_id")
    return {
        **{name: row[name] for name in (*straight, "image_id")},
        "w": BUCKET.w, "h": BUCKET.h, "bucket_id": BUCKET.bucket_id, "base_resolution": BUCKET.base,
        "jpeg": encoding.jpeg, "image_mode": encoding.image_mode,
        "caption_variant": VARIANTS[index] if index >= 0 else None,
        "caption_selector_index": index if index >= 0 else None,
        "source_sha256": sha256, "source_split": None, "source_archive": row["archive"], "source_member": row["member"],
        "meta": {key: own.get(key) for key in meta_keys},
    }  # fmt: skip


def test_metadata_has_every_key_always() -> None:
    texts = metadata_texts(planned({}, {"meta": None, "caption_index": -1}))
    full, bare = (json.loads(filled(text, ENCODED, "ab")) for text in texts)
    assert full.keys() == bare.keys() == KEYS
    assert (full["w"], full["h"], full["jpeg"]) == (576, 416, {"quality": 95, "subsampling": "4:4:4"})
    assert (full["caption_variant"], full["caption_selector_index"]) == ("text", 1)
    assert (bare["caption_variant"], bare["caption_selector_index"]) == (None, None)
    assert full["meta"] == {"n": 1, "url": "x"}
    assert bare["meta"] == {"n": None, "url": None}
    assert json.loads(filled(texts[0], KEPT, None))["jpeg"] is None


def test_rows_are_of_what_was_made() -> None:
    samples = planned({"image_id": "lost"}, {}, {"image_id": "kept", "captions": ["c", "t"]})
    places = np.arange(12).reshape(2, 6)
    table = made_samples(samples, [1, 2], [ENCODED, KEPT], ["ab", None], places)
    assert table.schema == SAMPLES
    first, second = table.to_pylist()
    assert (first["image_id"], second["image_id"]) == ("a/ü.jpg", "kept")
    assert first["key"] == bytes(range(16)).hex()
    assert first["captions"] == [{"variant": "text", "text": "t"}]
    assert [entry["variant"] for entry in second["captions"]] == ["caption", "text"]
    assert first["meta"] == '{"n":1,"url":"x"}'
    assert [second[name] for name in PLACES] == [6, 7, 8, 9, 10, 11]
    assert (first["jpeg"], second["jpeg"]) == ({"quality": 95, "subsampling": "4:4:4"}, None)
    assert (first["source_sha256"], second["source_sha256"]) == ("ab", None)


def test_nothing_made_is_no_rows() -> None:
    assert made_samples(planned({}), [], [], [], np.empty((0, 6), np.int64)).num_rows == 0


def test_captions_end_in_a_newline() -> None:
    assert caption_bytes("a\nb é") == "a\nb é\n".encode()
    assert caption_bytes(None) == b"\n"


def test_one_caption_of_each_variant_is_asked_for() -> None:
    with pytest.raises(ValueError, match="zip"):
        planned({"captions": ["only one"]})


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
HARD = st.sampled_from(['"', "\\", "\0", "\x1f\x7f", "\u2028", "</script>", "\n\t\r\b\f", "😀", "null", ""])
SIZE = st.integers(0, 2**62)
SMALL = st.integers(-(2**31), 2**31 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | HARD,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
ROWS = st.fixed_dictionaries(
    {
        "image_id": TEXT | HARD, "archive": st.none() | TEXT | HARD, "member": TEXT | HARD, "source_w": SIZE,
        "source_h": SIZE, "resized_w": SMALL, "resized_h": SMALL, "crop_left": SMALL, "crop_top": SMALL,
        "caption_index": st.integers(-1, 1), "caption_source_id": st.none() | TEXT | HARD,
        "captions": st.lists(st.none() | TEXT | HARD, min_size=2, max_size=2),
        "meta": st.none() | st.dictionaries(st.sampled_from(["n", "url", "ü\n"]), JSON).map(canonical_json),
    }
)  # fmt: skip


@given(
    rows=st.lists(st.tuples(ROWS, st.sampled_from([KEPT, ENCODED]), st.none() | st.just("ab" * 32)), max_size=4),
    meta_keys=st.sampled_from([(), ("n",), ("n", "url"), ("n", "url", "ü\n")]),
)
def test_columns_say_what_canonical_json_says(
    rows: list[tuple[dict[str, Any], Encoding, str | None]], meta_keys: tuple[str, ...]
) -> None:
    samples = planned(*(row for row, _, _ in rows), meta_keys=meta_keys)
    wanted = [canonical_json(expected({**ROW, **r}, e, sha, meta_keys)).encode() for r, e, sha in rows]
    texts = metadata_texts(samples)
    assert [filled(text, e, sha) for text, (_, e, sha) in zip(texts, rows, strict=True)] == wanted
    places = np.zeros((len(rows), len(PLACES)), np.int64)
    table = made_samples(samples, range(len(rows)), [e for _, e, _ in rows], [sha for _, _, sha in rows], places)
    assert metadata_texts({name: table[name].to_pylist() for name in SAMPLES.names}) == wanted
