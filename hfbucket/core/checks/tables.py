"""The promises of the sample tables and the ledger: against the shards, the manifest and the bucket law."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.card.statistics import SPREADS, Statistics
from hfbucket.core.checks.expected import fraction
from hfbucket.core.checks.problems import Problem, problem
from hfbucket.core.hashing import canonical_json
from hfbucket.core.key_sets import KEY_BYTES
from hfbucket.core.keys import digest_of
from hfbucket.core.law.assign import METRICS, assign
from hfbucket.core.law.buckets import Bucket
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.outcomes import CODE, OUTCOMES

__all__ = [
    "KEY_BYTES", "TOTALS_COLUMNS", "check_ledger_names", "check_ledger_sums", "check_order", "check_rows",
    "check_totals", "duplicate_keys", "key_bytes", "misplaced",
]  # fmt: skip

TOTALS_COLUMNS: Final = (
    "image_id", "shard", "bucket_id", "image_mode", "caption", "caption_variant", "w", "h", "source_w", "source_h",
    "resized_w", "resized_h", "captions",
)  # fmt: skip
"""The columns of the sample tables that totals are taken over."""

_LEDGER: Final = "ledger"

_COMPARED: Final = (
    "key", "image_id", "bucket_id", "base_resolution", "jpg_offset", "jpg_size", "txt_offset", "txt_size",
    "json_offset", "json_size", "w", "h", "jpeg", "image_mode", "caption_variant", "caption_selector_index",
    "caption_source_id", "source_w", "source_h", "resized_w", "resized_h", "crop_left", "crop_top", "source_sha256",
    "source_split", "source_archive", "source_member",
)  # fmt: skip


def key_bytes(key: str) -> bytes:
    """Return 16 bytes that stand for a key, also for the keys of other tools."""
    try:
        raw = bytes.fromhex(key)
    except ValueError:
        raw = b""
    return raw if len(raw) == KEY_BYTES else digest_of(key)[:KEY_BYTES]


def check_rows(
    rows: Iterable[Mapping[str, Any]], found: Iterable[Mapping[str, Any]], *, file: str
) -> Iterator[Problem]:
    """Yield where the rows of one shard differ from what stands in the shard, as far as there are both.

    Args:
        rows: of the sample tables, in their order.
        found: per sample in the shard: its metadata, `key`, the places of its members, and `text`, its caption.
    """
    for row, sample in zip(rows, found, strict=False):
        key = sample["key"]
        if row["key"] != key:
            yield problem("samples", f"the sample tables have {row['key']} in the place of {key}", file=file, key=key)
            return
        for name in _COMPARED:
            if name in sample and row[name] != sample[name]:
                message = f"{name} is {row[name]!r:.80} in the sample tables, {sample[name]!r:.80} in the shard"
                yield problem("samples", message, file=file, key=key)
        yield from _row_texts(row, sample, file)


def _row_texts(row: Mapping[str, Any], sample: Mapping[str, Any], file: str) -> Iterator[Problem]:
    key = sample["key"]
    if (row["caption"] or "") != sample["text"]:
        message = f"caption is {row['caption']!r:.80} in the sample tables, {sample['text']!r:.80} in {key}.txt"
        yield problem("samples", message, file=file, key=key)
    if row["meta"] != canonical_json(sample.get("meta")):
        yield problem("samples", "meta differs between the sample tables and the shard", file=file, key=key)
    variants = {entry["variant"]: entry["text"] for entry in row["captions"] or ()}
    if row["caption_variant"] is not None and variants.get(row["caption_variant"]) != row["caption"]:
        message = f"captions do not hold the selected variant {row['caption_variant']!r} as it was written"
        yield problem("samples", message, file=file, key=key)


def check_order(shard: pa.ChunkedArray, offset: pa.ChunkedArray, file: str, *, first: int = 0) -> Iterator[Problem]:
    """Yield where a sample table is not sorted by shard and offset.

    Args:
        first: number of the first of these rows in the table.
    """
    if len(shard) < 2:
        return
    before, after = shard.slice(0, len(shard) - 1), shard.slice(1)
    ahead = pc.less(offset.slice(0, len(offset) - 1), offset.slice(1))
    sorted_here = pc.or_(pc.less(_utf8(before), _utf8(after)), pc.and_(pc.equal(before, after), ahead))
    row = pc.index(sorted_here, False).as_py()
    if row >= 0:
        yield problem("samples", f"must be sorted by shard and offset, row {first + row + 1} is not", file=file)


def _utf8(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.binary())


def check_totals(
    manifest: Manifest, modes: Counter[str], variants: Counter[str], ok: Counter[str], statistics: Statistics
) -> Iterator[Problem]:
    """Yield where the manifest counts other than the sample tables.

    Args:
        modes: samples of each image mode.
        variants: samples for which each caption variant was selected.
        ok: samples that have a caption of each variant.
    """
    for name, value in statistics.to_dict().items():
        # Exports of earlier releases have no measures by group.
        if value != manifest.statistics.get(name) and (name in SPREADS or name in manifest.statistics):
            yield problem("statistics", f"statistics.{name} must be {json.dumps(value)[:200]}… by the samples")
    for variant in manifest.captions.variants:
        for name, stated, counts in (
            ("images_selected", variant.images_selected, variants),
            ("images_with_ok_caption", variant.images_with_ok_caption, ok),
        ):
            if counts[variant.name] != stated:
                message = f"captions: {name} of variant {variant.name!r} is {stated}, of samples {counts[variant.name]}"
                yield problem("sums", message)
    unknown = (variants.keys() | ok.keys()) - {variant.name for variant in manifest.captions.variants}
    if unknown:
        yield problem("sums", f"captions lack the variants {', '.join(sorted(unknown))} that samples have")
    stated = manifest.reencoded_in_passthrough or 0
    if manifest.image_mode == "passthrough_jpeg" and modes["reencode_jpeg"] != stated:
        yield problem("sums", f"reencoded_in_passthrough is {stated}, the samples have {modes['reencode_jpeg']}")


def misplaced(manifest: Manifest, table: pa.Table) -> Iterator[Problem]:
    """Yield samples that lie in another bucket than the law gives them (FORMAT section 3).

    Where rare buckets were dissolved the law depends on the whole plan, and is not asked here.
    """
    rule = manifest.bucket_rule
    max_crop = fraction(rule.get("max_crop"))
    if rule.get("rare") != "keep" or rule.get("metric") not in tuple(METRICS) or max_crop is None:
        return
    table = table.filter(pc.and_(pc.greater(table["source_w"], 0), pc.greater(table["source_h"], 0)))
    if not table.num_rows:
        return
    buckets = _buckets(manifest)
    w, h = (np.asarray(table.column(name).to_numpy(), dtype=np.int64) for name in ("source_w", "source_h"))
    sizes, of_row = np.unique(np.stack([w, h]), axis=1, return_inverse=True)
    chosen = assign(sizes[0], sizes[1], buckets, metric=str(rule.get("metric")), max_crop=max_crop).bucket
    names = pa.array([*(bucket.bucket_id for bucket in buckets), None])
    law = names.take(pa.array(np.where(chosen < 0, len(buckets), chosen)[of_row.reshape(-1)]))
    wrong = pc.invert(pc.fill_null(pc.equal(table.column("bucket_id"), pa.chunked_array([law])), False))
    for row in np.flatnonzero(wrong.to_numpy(zero_copy_only=False))[:100]:
        image_id, shard = (table.column(name)[row].as_py() for name in ("image_id", "shard"))
        expected = law[row].as_py() or "no bucket"
        message = f"{image_id!r:.200} of {w[row]}x{h[row]} pixels belongs into {expected} by the bucket law"
        yield problem("bucket", message, file=shard, key=digest_of(image_id)[:KEY_BYTES].hex())


def _buckets(manifest: Manifest) -> list[Bucket]:
    """Return the manifest's buckets in the order of the law: largest base first, inside a base in table order."""
    table = manifest.bucket_rule.get("protos")
    protos = table if isinstance(table, list) else []
    buckets = [
        Bucket(bucket_id=i, base=e.base_resolution, proto_w=e.proto.w, proto_h=e.proto.h, w=e.scaled.w, h=e.scaled.h)
        for i, e in manifest.buckets.items()
    ]

    def place(bucket: Bucket) -> tuple[int, int]:
        proto = [bucket.proto_w, bucket.proto_h]
        return -bucket.base, protos.index(proto) if proto in protos else len(protos)

    return sorted(buckets, key=place)


def duplicate_keys(keys: bytes, shards: Sequence[str], counts: Sequence[int]) -> Iterator[Problem]:
    """Yield the keys that stand in the export more than once.

    Args:
        keys: 16 bytes each, shard after shard.
        counts: keys of each of `shards`.
    """
    column: npt.NDArray[np.bytes_] = np.frombuffer(keys, dtype=f"S{KEY_BYTES}")
    order = np.argsort(column, kind="stable")
    again = np.flatnonzero(column[order[1:]] == column[order[:-1]])
    ends = np.cumsum(np.asarray(counts, dtype=np.int64))
    for at in again[:100]:
        first, second = int(order[at]), int(order[at + 1])
        one, other = (shards[int(np.searchsorted(ends, place, side="right"))] for place in (first, second))
        key = keys[second * KEY_BYTES : (second + 1) * KEY_BYTES].hex()
        yield problem("duplicate_key", f"stands in {one} and again in {other}", file=other, key=key)


def check_ledger_sums(manifest: Manifest, outcomes: Counter[str]) -> Iterator[Problem]:
    """Yield where the ledger counts other than the summary.

    Args:
        outcomes: rows of each outcome.
    """
    unknown = sorted(outcomes.keys() - CODE.keys())
    if unknown:
        yield problem("ledger", f"has outcomes that do not exist: {', '.join(unknown)}", file=_LEDGER)
    for name in OUTCOMES:
        if outcomes[name] != manifest.summary.get(name, 0):
            message = f"has {outcomes[name]} rows of {name}, the summary says {manifest.summary.get(name, 0)}"
            yield problem("ledger", message, file=_LEDGER)


def check_ledger_names(exported: bytes, keys: bytes) -> Iterator[Problem]:
    """Yield where the ledger names other images as exported than there are.

    Args:
        exported: 16 bytes for each row that says so.
        keys: 16 bytes for each sample.
    """
    names, held = (np.sort(np.frombuffer(part, dtype=f"S{KEY_BYTES}")) for part in (exported, keys))
    repeated = int(np.count_nonzero(names[1:] == names[:-1]))
    if repeated:
        yield problem("ledger", f"names {repeated} exported images twice", file=_LEDGER)
    if np.array_equal(names, held):
        return
    for missing in np.setdiff1d(held, names)[:10]:
        yield problem("ledger", "does not name an exported sample", file=_LEDGER, key=_hex(missing))
    for extra in np.setdiff1d(names, held)[:10]:
        yield problem("ledger", "names an image as exported that is no sample", file=_LEDGER, key=_hex(extra))


def _hex(key: bytes) -> str:
    return key.ljust(KEY_BYTES, b"\0").hex()  # numpy drops NULs at the end
