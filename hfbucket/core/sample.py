"""Exported samples, many at a time: their `<key>.txt` and `<key>.json`, and their rows of the sample tables.

What FORMAT section 7 asks for is mostly known from the plan; `MADE` are the columns that only the image itself gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.core.hashing import canonical_json
from hfbucket.core.keys import MEMBERS, key_of
from hfbucket.core.law.buckets import Bucket
from hfbucket.schemas import SAMPLES

MADE: Final = ("image_mode", "jpeg", "source_sha256")
"""Columns of SAMPLES that are known when the image is made, in their order in `<key>.json`."""

PLACES: Final = tuple(f"{member}_{what}" for member in MEMBERS for what in ("offset", "size"))
"""Columns of SAMPLES that are known when the members are written."""

_IN_JSON: Final = tuple(
    name for name in sorted(SAMPLES.names) if name not in ("key", "shard", "caption", "captions", *PLACES)
)
_FROM_TASK: Final = (
    "image_id", "source_w", "source_h", "resized_w", "resized_h", "crop_left", "crop_top", "caption",
    "caption_source_id",
)  # fmt: skip
PLANNED_FROM: Final = (*_FROM_TASK, "digest", "captions", "archive", "member", "meta", "caption_index")
"""Columns of TASKS that `planned_samples` takes."""

_OPEN: Final = "\0"
"""Stands in a JSON text, which has no such character, where a value of `MADE` is to be put."""


Columns = Mapping[str, Sequence[Any]]
"""Values by column, as many in each; plain lists, as importing what computes on Arrow columns would take longer."""


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


def planned_samples(
    rows: pa.Table, bucket: Bucket, *, shard: str, variants: Sequence[str], meta_keys: Sequence[str]
) -> Columns:
    """Return the columns of SAMPLES as far as the plan knows them: without those of `MADE` and `PLACES`.

    Args:
        rows: `PLANNED_FROM` of TASKS.
        shard: its file.
        variants: names of the caption variants that `caption_index` counts in; `captions` has one for each.
        meta_keys: the keys of `meta` in every sample of the export.
    """
    values = {name: rows[name].to_pylist() for name in PLANNED_FROM}
    index = [number if number >= 0 else None for number in values["caption_index"]]
    same = {
        "bucket_id": bucket.bucket_id, "base_resolution": bucket.base, "shard": shard, "w": bucket.w, "h": bucket.h,
        "source_split": None,
    }  # fmt: skip
    return {
        **{name: values[name] for name in _FROM_TASK},
        **{name: [value] * rows.num_rows for name, value in same.items()},
        "key": [key_of(digest) for digest in values["digest"]],
        "caption_variant": [None if number is None else variants[number] for number in index],
        "caption_selector_index": index,
        "captions": [_known(texts, variants) for texts in values["captions"]],
        "source_archive": values["archive"],
        "source_member": values["member"],
        "meta": _meta_texts(values["meta"], meta_keys),
    }


def _known(texts: Sequence[str | None], variants: Sequence[str]) -> list[dict[str, str]]:
    """Return the captions of a sample that are there."""
    pairs = zip(variants, texts, strict=True)
    return [{"variant": variant, "text": text} for variant, text in pairs if text is not None]


def _meta_texts(texts: Sequence[str | None], keys: Sequence[str]) -> list[str]:
    """Return every sample's `meta`: an object of these keys, null where it has nothing; the texts are canonical."""
    if not keys:
        return ["{}"] * len(texts)
    wanted = set(keys)

    def text_of(text: str | None) -> str:
        own = json.loads(text) if text else {}
        return text if text and own.keys() == wanted else canonical_json({key: own.get(key) for key in keys})

    return list(map(text_of, texts))


def made_samples(
    planned: Columns,
    numbers: Sequence[int],
    encodings: Sequence[Encoding],
    sha256s: Sequence[str | None],
    places: npt.NDArray[np.int64],
) -> pa.Table:
    """Return the rows of SAMPLES of images that were made and written.

    Args:
        planned: as `planned_samples` gives them.
        numbers: of these images among them.
        encodings: of each.
        sha256s: of the encoded bytes of each one's source; None where the settings say so.
        places: [images, PLACES], where the members' data of each lie in the shard, in bytes.
    """
    columns: dict[str, Any] = {name: [values[number] for number in numbers] for name, values in planned.items()}
    columns |= {"image_mode": [e.image_mode for e in encodings], "jpeg": [e.jpeg for e in encodings]}
    columns |= {"source_sha256": sha256s, **dict(zip(PLACES, places.T, strict=True))}
    return pa.table([pa.array(columns[field.name], field.type) for field in SAMPLES], schema=SAMPLES)


def metadata_texts(samples: Columns) -> list[bytes]:
    """Return what the `<key>.json` of samples holds; `filled` puts in what columns of `MADE` that are missing say.

    Args:
        samples: columns of SAMPLES, with those of `MADE` or as `planned_samples` gives them.
    """
    there = [name for name in _IN_JSON if name in samples]
    form = ",".join(f'"{name}":{"%s" if name in samples else _OPEN}' for name in _IN_JSON)
    columns = (samples[name] if name == "meta" else _json(samples[name]) for name in there)
    return [(f"{{{form}}}" % values).encode() for values in zip(*columns, strict=True)]


def _json(column: Sequence[Any]) -> Sequence[str | int]:
    """Return the values of a column of samples as they stand in their JSON."""
    kinds = set(map(type, column))
    if kinds == {int}:
        return column
    text_of = encode_basestring if kinds <= {str, type(None)} else canonical_json
    return ["null" if value is None else text_of(value) for value in column]


def filled(text: bytes, encoding: Encoding, sha256: str | None) -> bytes:
    """Return what the `<key>.json` of a sample holds, of its text without `MADE`."""
    before, comma, between, after = text.split(_OPEN.encode())
    mode, jpeg = _encoding_texts(encoding)
    return b"".join((before, mode, comma, jpeg, between, b'"%b"' % sha256.encode() if sha256 else b"null", after))


@lru_cache(maxsize=64)
def _encoding_texts(encoding: Encoding) -> tuple[bytes, bytes]:
    return canonical_json(encoding.image_mode).encode(), canonical_json(encoding.jpeg).encode()


def caption_bytes(caption: str | None) -> bytes:
    """Return what `<key>.txt` holds: the caption as UTF-8 with one trailing newline; of a lacking one only that."""
    return f"{caption or ''}\n".encode()
