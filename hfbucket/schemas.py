"""Arrow schemas of the tables that go between stages and into an export.

Sizes are in bytes, lengths in pixels, widths and heights are after EXIF orientation unless said.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

INDEX: Final = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("digest", pa.binary(32), nullable=False),  # sha256(image_id as UTF-8)
        pa.field("archive", pa.string()),  # path of the tar or Parquet file below the source's root; null in folders
        pa.field(
            "member", pa.string(), nullable=False
        ),  # name of the image in its container, or its path below the root
        pa.field("path", pa.binary()),  # folders: raw path below the unit's url (bytes, may be no UTF-8); else null
        pa.field("offset", pa.int64(), nullable=False),  # tars: first byte of the image; Parquet: row; folders: 0
        pa.field("size_bytes", pa.int64(), nullable=False),  # encoded bytes of the source image
        pa.field("mtime_ns", pa.int64(), nullable=False),  # of the file that holds the image; 0 where there is none
        pa.field("format", pa.string()),  # jpeg, png, webp, gif, bmp, tiff, avif, heic, jxl; null when unknown
        pa.field("width", pa.int64()),  # after orientation; null when the header could not be read
        pa.field("height", pa.int64()),
        pa.field("orientation", pa.int8()),  # EXIF 1..8
        pa.field("color", pa.string()),  # gray, rgb, cmyk, ycck for JPEG; else Pillow's mode
        pa.field("gps", pa.bool_()),  # a GPS position stands in the file's EXIF or in the metadata
        pa.field("outcome", pa.string()),  # null, or why the image is already out
        pa.field("detail", pa.string()),
        pa.field("captions", pa.list_(pa.string())),  # one per variant of the config, null where there is none
        pa.field("caption_repaired", pa.bool_()),  # some caption was not UTF-8 or had NULs
        pa.field("meta", pa.string()),  # canonical JSON object of the source's own metadata
    ]
)
"""One row per source image, in source order. Logical rows (for hashes) are all but archive paths' roots,
`path`, `offset`, `mtime_ns` and `detail`."""

CAPTIONS: Final = pa.schema(
    [
        pa.field("captions", pa.list_(pa.string())),  # one per variant of the workspace, null where none is ok
        pa.field("caption_source_ids", pa.list_(pa.string())),  # where each comes from, null where that is not known
    ]
)
"""What a caption workspace has for the rows of a unit of the index, in their order."""

INDEX_LOGICAL: Final = (
    "image_id", "member", "size_bytes", "format", "width", "height", "orientation", "color", "outcome",
    "captions", "meta",
)  # fmt: skip
"""The columns of INDEX that index_sha256 is taken over."""

FINGERPRINTS: Final = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),  # of the unit's index rows
        pa.field("exact", pa.binary(32)),  # SHA-256 that duplicates have, too
        pa.field("near", pa.uint64()),  # difference hash that duplicates are near to
    ]
)
"""One row per image of a unit that was looked at, by row: one of the two hashes, or none where it cannot be decoded."""

TASKS: Final = pa.schema(
    [
        *(INDEX.field(name) for name in ("image_id", "digest", "archive", "member", "path", "offset", "size_bytes")),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("unit", pa.int32(), nullable=False),  # number of the unit in the work folder's units table
        pa.field("source", pa.int32(), nullable=False),  # number of the source
        pa.field("format", pa.string()),
        pa.field("orientation", pa.int8()),
        pa.field("color", pa.string()),
        pa.field("source_w", pa.int64(), nullable=False),
        pa.field("source_h", pa.int64(), nullable=False),
        pa.field("resized_w", pa.int32(), nullable=False),
        pa.field("resized_h", pa.int32(), nullable=False),
        pa.field("crop_left", pa.int32(), nullable=False),
        pa.field("crop_top", pa.int32(), nullable=False),
        pa.field("encode", pa.int8(), nullable=False),  # core.plan.model.ENCODE_*
        pa.field("caption", pa.string()),  # the selected one; null when the sample has none and stays
        pa.field("caption_index", pa.int8(), nullable=False),  # of the selected variant; -1 for none
        pa.field("caption_source_id", pa.string()),  # of the selected one; null for the source's own
        pa.field("captions", pa.list_(pa.string())),  # one per variant of the build
        pa.field("meta", pa.string()),
    ]
)
"""One row per planned sample, one row group per shard, in the order of the shard's members."""

SAMPLES: Final = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("bucket_id", pa.string(), nullable=False),
        pa.field("base_resolution", pa.int32(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),  # file below the export, with /
        *(
            pa.field(f"{member}_{what}", pa.int64(), nullable=False)  # offset of the data (not the header) in the shard
            for member in ("jpg", "txt", "json")
            for what in ("offset", "size")
        ),
        pa.field("w", pa.int32(), nullable=False),  # the bucket's scaled size
        pa.field("h", pa.int32(), nullable=False),
        pa.field("jpeg", pa.struct([("quality", pa.int16()), ("subsampling", pa.string())])),
        pa.field("image_mode", pa.string(), nullable=False),
        pa.field("caption", pa.string()),
        pa.field("caption_variant", pa.string()),
        pa.field("caption_selector_index", pa.int32()),
        pa.field("caption_source_id", pa.string()),
        pa.field("captions", pa.list_(pa.struct([("variant", pa.string()), ("text", pa.string())]))),
        pa.field("source_w", pa.int64(), nullable=False),
        pa.field("source_h", pa.int64(), nullable=False),
        pa.field("resized_w", pa.int32(), nullable=False),
        pa.field("resized_h", pa.int32(), nullable=False),
        pa.field("crop_left", pa.int32(), nullable=False),
        pa.field("crop_top", pa.int32(), nullable=False),
        pa.field("source_sha256", pa.string()),
        pa.field("source_split", pa.string()),
        pa.field("source_archive", pa.string()),
        pa.field("source_member", pa.string()),
        pa.field("meta", pa.string()),
    ]
)
"""One row per exported sample: FORMAT section 7, plus where its members lie."""

LEDGER: Final = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)
"""One row per input, in source order."""

ANNOTATIONS: Final = pa.schema(
    [
        pa.field("name", pa.large_string(), nullable=False),  # path, file name or stem of an image, with /
        pa.field("captions", pa.large_list(pa.large_string()), nullable=False),  # in the file's order; null for blank
        pa.field("named", pa.list_(pa.large_string()), nullable=False),  # of the columns that the user named
        pa.field("repaired", pa.bool_(), nullable=False),
        pa.field("meta", pa.large_string(), nullable=False),  # canonical JSON object of the other fields
        pa.field("keys", pa.int32(), nullable=False),  # number of the set of keys that `meta` has
    ]
)
"""One row per image that annotation files name, in the order of its first record."""

WORKSPACE_IMAGES: Final = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("width", pa.int64()),
        pa.field("height", pa.int64()),
        pa.field("source", pa.string()),  # name of the source
        pa.field("kind", pa.string(), nullable=False),  # file, tar, packed, parquet: how its bytes are reached
        pa.field("path", pa.binary(), nullable=False),  # of the file that holds it, or its URL; may be no UTF-8
        pa.field("archive", pa.string()),  # of a tar or Parquet file, below the source's root or the export
        pa.field("member", pa.string()),
        pa.field("offset", pa.int64(), nullable=False),  # tar, packed: first byte; Parquet: row; file: 0
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("source_sha256", pa.string()),
        pa.field("meta", pa.string()),
    ]
)
"""One row per image of a caption workspace."""
