"""One exported sample: its `<key>.json`, and its row of the sample tables (FORMAT section 7)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfbucket.core.hashing import canonical_json
from hfbucket.core.law.buckets import Bucket

_FROM_TASK = ("source_w", "source_h", "resized_w", "resized_h", "crop_left", "crop_top")
_FROM_METADATA = (
    "image_id", "bucket_id", "base_resolution", "w", "h", "jpeg", "image_mode", "caption_variant",
    "caption_selector_index", "caption_source_id", *_FROM_TASK, "source_sha256", "source_split", "source_archive",
    "source_member",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """How the bytes of one sample's image came about."""

    image_mode: str
    #: Of what was encoded; None for source bytes.
    quality: int | None = None
    subsampling: str | None = None

    @property
    def jpeg(self) -> dict[str, Any] | None:
        """The sample's `jpeg`: how it was encoded, or None for source bytes."""
        return None if self.quality is None else {"quality": self.quality, "subsampling": self.subsampling}


def sample_metadata(
    row: Mapping[str, Any],
    bucket: Bucket,
    encoding: Encoding,
    *,
    source_sha256: str | None,
    variants: Sequence[str],
    meta_keys: Sequence[str],
) -> dict[str, Any]:
    """Return the object that `<key>.json` holds: the same keys in every sample, null where there is nothing.

    Args:
        row: a row of `schemas.TASKS`.
        source_sha256: of the source's encoded bytes; None where the settings say so.
        variants: names of the caption variants that `caption_index` counts in.
        meta_keys: the keys of `meta` in every sample of the export.
    """
    index = row["caption_index"]
    own = json.loads(row["meta"]) if row["meta"] else {}
    return {
        **{name: row[name] for name in _FROM_TASK},
        "w": bucket.w,
        "h": bucket.h,
        "jpeg": encoding.jpeg,
        "image_mode": encoding.image_mode,
        "caption_variant": variants[index] if index >= 0 else None,
        "caption_selector_index": index if index >= 0 else None,
        "caption_source_id": row["caption_source_id"],
        "image_id": row["image_id"],
        "bucket_id": bucket.bucket_id,
        "base_resolution": bucket.base,
        "source_sha256": source_sha256,
        "source_split": None,
        "source_archive": row["archive"],
        "source_member": row["member"],
        "meta": {key: own.get(key) for key in meta_keys},
    }


def sample_row(
    metadata: Mapping[str, Any],
    *,
    key: str,
    shard: str,
    places: Mapping[str, int],
    caption: str | None,
    captions: Sequence[str | None],
    variants: Sequence[str],
) -> dict[str, Any]:
    """Return the sample's row of `schemas.SAMPLES`.

    Args:
        places: `jpg_offset`, `jpg_size` and so on: where the members' data lie in the shard, in bytes.
        captions: one per variant, None where there is none.
    """
    known = [
        {"variant": variant, "text": text} for variant, text in zip(variants, captions, strict=True) if text is not None
    ]
    return {
        **{name: metadata[name] for name in _FROM_METADATA},
        **places,
        "key": key,
        "shard": shard,
        "caption": caption,
        "captions": known,
        "meta": canonical_json(metadata["meta"]),
    }


def metadata_bytes(row: Mapping[str, Any]) -> bytes:
    """Return what `<key>.json` holds, from the sample's row of `schemas.SAMPLES`."""
    metadata = {**{name: row[name] for name in _FROM_METADATA}, "meta": json.loads(row["meta"])}
    return canonical_json(metadata).encode("utf-8")


def caption_bytes(caption: str | None) -> bytes:
    """Return what `<key>.txt` holds: the caption as UTF-8 with one trailing newline; of a lacking one only that."""
    return f"{caption or ''}\n".encode()
