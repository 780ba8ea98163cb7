"""Raw samples as typed examples: the columns a loader gives, each from the one place that knows it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from hfbucket.errors import ConfigError, FormatError
from hfbucket.load.plan import ShardRef
from hfbucket.load.shards import IMAGE, OpenRemote, RawSample, read_samples

COLUMNS: Final = (
    "image",
    "caption",
    "key",
    "image_id",
    "bucket_id",
    "width",
    "height",
    "original_width",
    "original_height",
    "resized_width",
    "resized_height",
    "crop_left",
    "crop_top",
    "caption_variant",
    "meta",
)
"""Every column, in order. Lengths are pixels; `width` and `height` are the bucket's, `original_*` the source's after
EXIF orientation, and the crop box lies in the resized image (FORMAT section 4)."""

GEOMETRY: Final = ("resized_w", "resized_h", "crop_left", "crop_top", "w", "h")
"""What is to be done to a source image, as the storage of a cropped image names it."""

FROM_JSON: Final = {
    "image_id": "image_id",
    "original_width": "source_w",
    "original_height": "source_h",
    "resized_width": "resized_w",
    "resized_height": "resized_h",
    "crop_left": "crop_left",
    "crop_top": "crop_top",
    "caption_variant": "caption_variant",
}
"""Column to the key of the sample's json member (FORMAT section 7)."""


class JsonText(str):
    """Text that is known to be JSON, and needs no check before it is stored in a `datasets.Json` column."""

    __slots__ = ()


def check_columns(columns: Sequence[str] | None) -> tuple[str, ...]:
    """Return the columns to load, in the order asked for; all without `columns`.

    Raises:
        ConfigError: one does not exist or stands twice.
    """
    if columns is None:
        return COLUMNS
    if isinstance(columns, str) or not columns or len(set(columns)) != len(columns):
        raise ConfigError(f"columns must be a list of different names such as ['image', 'caption'], got {columns!r}")
    for name in columns:
        if name not in COLUMNS:
            raise ConfigError(f"columns must be among {', '.join(COLUMNS)}, got {name!r}")
    return tuple(columns)


def read_examples(
    ref: ShardRef, open_remote: OpenRemote, *, columns: Sequence[str] = COLUMNS, crop: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the examples of a shard in order: encoded image, caption without its newline, numbers, meta as JSON text.

    Args:
        crop: the images are source bytes, to be resized and cropped when they are decoded.

    Raises:
        FormatError: as `read_samples`, or a member is missing or cannot be read.
    """
    taken = tuple((name, FROM_JSON[name]) for name in columns if name in FROM_JSON)
    with_image, with_meta = "image" in columns, "meta" in columns
    needs_json = bool(taken) or with_meta or (with_image and crop)
    fixed = {"bucket_id": ref.bucket_id, "width": ref.width_px, "height": ref.height_px}
    template: dict[str, Any] = {name: fixed.get(name) for name in columns}
    for raw in read_samples(ref, open_remote, image=with_image):
        try:
            metadata = _metadata(raw) if needs_json else {}
            example = template.copy()
            for column, name in taken:
                example[column] = metadata.get(name)
            if with_image:
                example["image"] = _image(raw, metadata, ref) if crop else {"bytes": _bytes(raw), "path": None}
            if "caption" in example:
                example["caption"] = _caption(raw)
            if "key" in example:
                example["key"] = raw.key
            if with_meta:
                meta = json.dumps(metadata.get("meta") or {}, ensure_ascii=False, separators=(",", ":"))
                example["meta"] = JsonText(meta)
        except (ValueError, LookupError) as error:
            raise FormatError(str(error), where=f"{ref.file}, sample {raw.key}") from error
        yield example


def _metadata(raw: RawSample) -> dict[str, Any]:
    metadata = json.loads(raw.members.get("json", b"{}"))
    if not isinstance(metadata, dict):
        raise ValueError(f"its json member must be an object, got a {type(metadata).__name__}")
    return metadata


def _bytes(raw: RawSample) -> bytes:
    for extension, data in raw.members.items():
        if extension in IMAGE:
            return data
    raise LookupError("the sample has no image; run `hfbucket verify` on the export")


def _image(raw: RawSample, metadata: dict[str, Any], ref: ShardRef) -> dict[str, Any]:
    """Return the storage of a cropped image: the source's bytes, a name for errors, and what to do with them."""
    image: dict[str, Any] = {"bytes": _bytes(raw), "path": f"{raw.key}.jpg"}
    for name in GEOMETRY[:4]:
        value = metadata.get(name)
        if value is None:
            raise LookupError(f"the sample does not say how to crop it ({name} is missing); load it with crop=False")
        if not isinstance(value, int):
            raise ValueError(f"{name} must be an integer, got {value!r}")
        image[name] = value
    return image | {"w": ref.width_px, "h": ref.height_px}


def _caption(raw: RawSample) -> str | None:
    text = raw.members.get("txt")
    return None if text is None else text.decode("utf-8").removesuffix("\n")
