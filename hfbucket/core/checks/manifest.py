"""The promises a manifest makes by itself (FORMAT sections 1, 2 and 6)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from hfbucket.core.card.statistics import SPREADS, Statistics
from hfbucket.core.checks.expected import corners_of, fraction
from hfbucket.core.checks.problems import Lack, Problem, problem
from hfbucket.core.conversions import MULTI_FRAME
from hfbucket.core.keys import part_file
from hfbucket.core.law.assign import METRICS
from hfbucket.core.law.buckets import scaled_buckets
from hfbucket.core.manifest.model import BucketEntry, Manifest
from hfbucket.core.manifest.plain import content_sha256, to_dict
from hfbucket.core.outcomes import CODE, OUTCOMES
from hfbucket.errors import ConfigError, FormatError

__all__ = ["check_counts", "check_foreign", "check_manifest"]

_SHARD: Final = re.compile(r"shard-([0-9]{5,})\.tar")
_LOCAL_PATH: Final = re.compile(r"/[^/]|~[/\\]|[A-Za-z]:[\\/]|\\\\|file:|local:")
_MAY_HOLD_PATHS: Final = ("settings", "bucket_rule", "order", "caption_sources", "sources", "captions", "extra")


def check_foreign(manifest: Manifest, *, has_card: bool) -> tuple[Lack, ...]:
    """Return what the manifest of another tool leaves out."""
    shards = [shard for entry in manifest.buckets.values() for shard in entry.shards]
    unlisted = sum(1 for entry in manifest.buckets.values() if entry.count and not entry.shards)
    missing = {
        "shard lists: the bucket's folder is listed instead": unlisted,
        "hashes of shards: damage inside an image may stay unseen": sum(not shard.sha256 for shard in shards),
        "sizes of shards": sum(shard.bytes is None for shard in shards),
        "counts of shards": sum(shard.count is None for shard in shards),
    }
    lacks = [Lack(code="manifest", what=what, count=count) for what, count in missing.items() if count]
    names = ("generator", "content_sha256", "samples", "summary", "sources", "bucket_rule", "crop", "statistics")
    empty = [name for name in names if not getattr(manifest, name)]
    if empty:
        lacks.append(Lack(code="manifest", what=f"manifest fields: {', '.join(empty)}", count=len(empty)))
    if not has_card:
        lacks.append(Lack(code="card", what="a card, README.md: stock loaders have no configs", count=1))
    return tuple(lacks)


def check_counts(manifest: Manifest, samples: Mapping[str, int]) -> Iterator[Problem]:
    """Yield the buckets that hold other than they say, where no shard says it for itself.

    Args:
        samples: what was found in each shard.
    """
    for bucket_id, entry in manifest.buckets.items():
        if not entry.shards or any(shard.count is None for shard in entry.shards):
            found = sum(samples.get(shard.file, 0) for shard in entry.shards)
            if found != entry.count:
                yield problem("count", f"buckets[{bucket_id!r}] must hold {entry.count} samples, got {found}")


def check_manifest(manifest: Manifest, *, ours: bool) -> Iterator[Problem]:
    """Yield what is wrong with a manifest by itself; what only we promise is asked of our exports alone."""
    yield from _shards(manifest, ours)
    yield from _sums(manifest)
    if ours:
        for check in (_identity, _bucket_rule, _summary, _captions, _tables, _statistics, _assets, _local_paths):
            yield from check(manifest)


def _identity(manifest: Manifest) -> Iterator[Problem]:
    actual = content_sha256(manifest)
    if manifest.content_sha256 != actual:
        yield problem("manifest_changed", f"content_sha256 must be {actual}, got {manifest.content_sha256}")
    elif manifest.export_id != actual[:16]:
        yield problem("manifest_changed", f"export_id must be {actual[:16]}, got {manifest.export_id}")
    if manifest.format == "bucketed_shards_v1" and len(manifest.base_resolutions) > 1:
        yield problem("manifest", f"bucketed_shards_v1 has one base resolution, got {manifest.base_resolutions}")
    times = {"created": manifest.created}
    times |= {f"history[{i}].created": entry.created for i, entry in enumerate(manifest.history)}
    for place, time in times.items():
        if not _is_rfc3339(time):
            yield problem("manifest", f"{place} must be a time by RFC 3339, got {time!r}")
    if manifest.history and manifest.history[-1].export_id != manifest.export_id:
        last = manifest.history[-1].export_id
        yield problem("manifest_changed", f"the last entry of history must be of {manifest.export_id}, got {last}")


def _is_rfc3339(text: str | None) -> bool:
    if text is None or not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", text):
        return False
    try:
        datetime.fromisoformat(re.sub(r"\.\d+", "", text).upper().replace("Z", "+00:00"))
    except ValueError:
        return False
    return True


def _shards(manifest: Manifest, ours: bool) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for bucket_id, entry in manifest.buckets.items():
        last = -1
        for shard in entry.shards:
            folder, _, name = shard.file.rpartition("/")
            if shard.file in seen:
                yield problem("sums", f"stands in {seen[shard.file]} and in {bucket_id}", file=shard.file)
            seen[shard.file] = bucket_id
            match = _SHARD.fullmatch(name)
            if ours and (folder != f"buckets/{bucket_id}" or match is None):
                expected = f"buckets/{bucket_id}/shard-00000.tar"
                yield problem("manifest", f"must be named like {expected}", file=shard.file)
            elif ours and match is not None and int(match[1]) <= last:
                yield problem("manifest", "shards must stand in ascending order", file=shard.file)
            last = int(match[1]) if match else last
            if ours and (not shard.count or shard.bytes is None or shard.sha256 is None):
                yield problem("manifest", "must have a count above 0, bytes and sha256", file=shard.file)


def _sums(manifest: Manifest) -> Iterator[Problem]:
    for bucket_id, entry in manifest.buckets.items():
        for what in ("count", "bytes"):
            parts = [getattr(shard, what) for shard in entry.shards]
            stated = getattr(entry, what)
            if None not in parts and stated is not None and (parts or not entry.count) and sum(parts) != stated:
                yield problem("sums", f"buckets[{bucket_id!r}].{what} is {stated}, its shards sum up to {sum(parts)}")
    largest = manifest.settings.get("max_shard_samples")
    for shard in (shard for entry in manifest.buckets.values() for shard in entry.shards):
        if type(largest) is int and (shard.count or 0) > largest:
            message = f"has {shard.count} samples, the setting max_shard_samples allows {largest}"
            yield problem("sums", message, file=shard.file)


def _bucket_rule(manifest: Manifest) -> Iterator[Problem]:
    """Compare the buckets with what the settings scale to; without a proto table each with its own id."""
    for place, (value, fits) in _rule_values(manifest).items():
        if not fits:
            yield problem("bucket_rule", f"{place} is none that this format knows: {value!r:.80}")
    protos = manifest.bucket_rule.get("protos")
    divisible = manifest.divisible or 0
    bases = sorted({*manifest.base_resolutions}, reverse=True)
    if not isinstance(protos, list) or not divisible or not bases:
        yield problem("bucket_rule", "must state base_resolutions, divisible and the table bucket_rule.protos")
        return
    try:
        table = [(int(w), int(h)) for w, h in protos]
        expected = {b.bucket_id: b for b in scaled_buckets(bases, table, divisible)}
    except (ConfigError, TypeError, ValueError) as error:
        yield problem("bucket_rule", f"bases, protos and divisible give no buckets: {error}")
        return
    for bucket_id in sorted(expected.keys() ^ manifest.buckets.keys()):
        what = "is missing" if bucket_id in expected else "is no bucket of these bases and protos"
        yield problem("bucket_rule", f"buckets[{bucket_id!r}] {what}")
    for bucket_id in sorted(expected.keys() & manifest.buckets.keys()):
        rule, entry = expected[bucket_id], manifest.buckets[bucket_id]
        wanted = (rule.base, rule.proto_w, rule.proto_h, rule.w, rule.h)
        if wanted != _sizes(entry):
            message = f"buckets[{bucket_id!r}] must have base, proto and scaled size {wanted}, got {_sizes(entry)}"
            yield problem("bucket_rule", message)


def _rule_values(manifest: Manifest) -> dict[str, tuple[object, bool]]:
    """Return the settings of the law, each with whether it has a meaning."""
    rule, crop = manifest.bucket_rule, manifest.crop
    corners, jitter = crop.get("allowed_corners"), crop.get("corner_jitter")
    return {
        "bucket_rule.metric": (rule.get("metric"), rule.get("metric") in tuple(METRICS)),
        "bucket_rule.rare": (rule.get("rare"), rule.get("rare") in ("keep", "merge", "drop")),
        "bucket_rule.max_crop": (rule.get("max_crop"), fraction(rule.get("max_crop")) is not None),
        "crop.strategy": (crop.get("strategy"), crop.get("strategy") in ("corner", "center")),
        "crop.allowed_corners": (corners, corners_of(corners) is not None),
        "crop.corner_jitter": (jitter, type(jitter) is int and jitter >= 0),
    }


def _sizes(entry: BucketEntry) -> tuple[int, int, int, int, int]:
    return (entry.base_resolution, entry.proto.w, entry.proto.h, entry.scaled.w, entry.scaled.h)


def _summary(manifest: Manifest) -> Iterator[Problem]:
    summary = manifest.summary
    reasons = {name: count for name, count in summary.items() if name in CODE}
    missing = [name for name in ("images_seen", *OUTCOMES) if name not in summary]
    if missing:
        yield problem("summary", f"summary must have every outcome, lacks {', '.join(missing)}")
    unknown = sorted(name for name in summary if name not in CODE and name not in ("images_seen", "ignored_members"))
    if unknown:
        yield problem("summary", f"summary has outcomes that do not exist: {', '.join(unknown)}")
    seen = summary.get("images_seen", 0)
    if seen != sum(reasons.values()):
        yield problem("summary", f"images_seen is {seen}, all outcomes sum up to {sum(reasons.values())}")
    held = sum(entry.count for entry in manifest.buckets.values())
    if reasons.get("images_exported", 0) != held:
        yield problem("summary", f"images_exported is {reasons.get('images_exported', 0)}, the buckets hold {held}")
    if not held:
        yield problem("summary", "an export holds at least one image")
    of_sources = [source.images_seen for source in manifest.sources]
    known = [count for count in of_sources if count is not None]
    if len(known) == len(of_sources) and manifest.part_of is None and sum(known) != seen:
        yield problem("summary", f"images_seen is {seen}, the sources' sum up to {sum(known)}")
    if manifest.image_mode not in ("reencode_jpeg", "passthrough_jpeg"):
        yield problem("mode", f"image_mode must be reencode_jpeg or passthrough_jpeg, got {manifest.image_mode!r}")


def _captions(manifest: Manifest) -> Iterator[Problem]:
    selected = sum(variant.images_selected for variant in manifest.captions.variants)
    exported = manifest.summary.get("images_exported", 0)
    enough = selected == exported or (selected < exported and manifest.captions.missing_policy == "empty")
    if not enough:
        yield problem("sums", f"captions of {selected} images are selected, {exported} images are exported")
    for variant in manifest.captions.variants:
        if variant.images_selected > variant.images_with_ok_caption:
            counts = f"{variant.images_selected} images, {variant.images_with_ok_caption} have it"
            yield problem("sums", f"captions: variant {variant.name!r} is selected for {counts}")


def _tables(manifest: Manifest) -> Iterator[Problem]:
    rows = sum(table.rows for table in manifest.samples)
    exported = manifest.summary.get("images_exported", 0)
    if rows != exported:
        yield problem("sums", f"samples have {rows} rows, {exported} images are exported")
    for number, table in enumerate(manifest.samples):
        if table.file != part_file("samples", number):
            yield problem("manifest", f"must be named {part_file('samples', number)}", file=table.file)


def _assets(manifest: Manifest) -> Iterator[Problem]:
    files = [asset.file for asset in manifest.assets]
    for file in files:
        if not file.startswith("assets/"):
            yield problem("manifest", "pictures of the card must lie below assets/", file=file)
    if len(set(files)) < len(files):
        yield problem("manifest", "assets must name every file once")


def _statistics(manifest: Manifest) -> Iterator[Problem]:
    try:
        statistics = Statistics.from_dict(manifest.statistics)
    except FormatError as error:
        yield problem("statistics", str(error))
        return
    exported = manifest.summary.get("images_exported", 0)
    for name in SPREADS:
        count = getattr(statistics, name).count
        if count != exported:
            yield problem("statistics", f"statistics.{name} counts {count} images, {exported} are exported")
    for bucket_id, measure in statistics.crop_loss_ppm_by_bucket.items():
        held = manifest.buckets[bucket_id].count if bucket_id in manifest.buckets else 0
        if measure.images != held:
            counts = f"{measure.images} images, the bucket holds {held}"
            yield problem("statistics", f"statistics.crop_loss_ppm_by_bucket[{bucket_id!r}] counts {counts}")
    yield from _conversions(manifest, exported)


def _conversions(manifest: Manifest, exported: int) -> Iterator[Problem]:
    """Yield counts of what decoding did that cannot be; exports of earlier releases have none."""
    counts = manifest.statistics.get("conversions", {})
    if not isinstance(counts, Mapping):
        yield problem("statistics", f"statistics.conversions must be an object, got {counts!r}")
        return
    reencoded = manifest.reencoded_in_passthrough
    for name, count in counts.items():
        most = exported if reencoded is None or name == MULTI_FRAME else reencoded
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= most:
            what = f"must be 0 to {most}, the images that were decoded, got {count!r}"
            yield problem("statistics", f"statistics.conversions.{name} {what}")


def _local_paths(manifest: Manifest) -> Iterator[Problem]:
    data = to_dict(manifest)
    held = {name: data.get(name) for name in _MAY_HOLD_PATHS} | {"extra": dict(manifest.extra)}
    for name, value in held.items():
        for place, text in _strings(value, name):
            if _LOCAL_PATH.match(text):
                yield problem("local_path", f"{place} is a path of the machine that wrote it: {text!r}")


def _strings(value: Any, place: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 (any JSON value)
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(item, f"{place}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _strings(item, f"{place}[{i}]")
