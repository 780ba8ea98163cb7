"""What must be right before a byte leaves: the export itself, its card, the Hub's limits, and what is personal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.card.words import placeholder_in
from hfbucket.core.checks.expected import Expected
from hfbucket.core.checks.problems import Problem, capped, problem
from hfbucket.core.events import OnEvent, Progress
from hfbucket.core.keys import CARD
from hfbucket.core.manifest.model import Manifest, Shard
from hfbucket.core.meta import parse_json, without_location
from hfbucket.core.transfer.push import Changes
from hfbucket.errors import FormatError, VerifyError
from hfbucket.executors.local import map_tasks, worker_count
from hfbucket.executors.task import Failure
from hfbucket.io.cards import card_problems
from hfbucket.io.export_files import viewed
from hfbucket.io.hashes import sha256_of
from hfbucket.io.images.personal import personal_in_jpeg
from hfbucket.io.tables import read_groups
from hfbucket.io.ustar import read_members
from hfbucket.stages.push.target import Target
from hfbucket.stages.verify.shard import ShardTask, check_shard

__all__ = ["card_findings", "personal_rows", "shard_findings", "small_findings"]

_OWNER: Final = r"(?i)(camera)?owner_?name|serial_?number"
_PERSONAL: Final = r"(?i)gps|latitude|longitude|geo_?location|geotag|\"(lat|lon|lng)\"|" + _OWNER[4:]
_IN_PROCESS_BYTES: Final = 32_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """One shard that travels. Picklable."""

    shard: ShardTask
    #: Look into its images, too.
    personal: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What was found in one shard."""

    problems: tuple[Problem, ...]
    #: Images that tell where or by whom they were taken.
    personal: int = 0


def card_findings(folder: Path, manifest: Manifest, target: Target, *, travels: bool) -> Iterator[Problem]:
    """Yield what is wrong with the card: against the manifest, placeholders, the license, the Hub's own rules."""
    own = manifest.license
    if not (own.id or own.name or own.link):
        yield problem("license", "there is none: nobody may use a dataset without a license")
    text = (folder / CARD).read_text(encoding="utf-8", errors="replace")
    wrong = list(card_problems(text, manifest))
    yield from capped(problem("card", message, file=CARD) for message in wrong)
    found = placeholder_in(text)
    if found is not None:
        yield problem("placeholder", f"must be finished text, got {found!r}", file=CARD)
    if travels and not wrong and (objection := target.objection(text)) is not None:
        yield problem("card", f"the Hub refuses it: {objection}", file=CARD)


def small_findings(folder: Path, manifest: Manifest, found: Changes) -> Iterator[Problem]:
    """Yield the sample tables and pictures that travel and are not what the manifest says."""
    small = {entry.file for entry in manifest.small_files}
    for file in found.send:
        if file.path in small:
            with (folder / file.path).open("rb") as opened:
                actual = sha256_of(opened)
            if actual != file.sha256:
                message = f"sha256 must be {file.sha256}, got {actual}: some byte has changed"
                yield problem("hash", message, file=file.path)


def shard_findings(
    folder: Path, manifest: Manifest, found: Changes, *, public: bool, workers: int | None, on_event: OnEvent
) -> Iterator[Problem]:
    """Yield what is wrong with the shards that travel; each is read once."""
    travelling = {file.path for file in found.send}
    images_may = public and manifest.image_mode == "passthrough_jpeg" and not manifest.settings.get("strip_metadata")
    tasks = [
        _Task(shard=_shard_task(folder, manifest, bucket_id, shard), personal=images_may)
        for bucket_id, entry in manifest.buckets.items()
        for shard in entry.shards
        if shard.file in travelling
    ]
    size_bytes = sum(task.shard.shard.bytes or 0 for task in tasks)
    results: dict[str, _Found] = {}
    on_event(Progress(stage="check", done=0, total=len(tasks), unit="shards"))
    count = worker_count(workers) if size_bytes > _IN_PROCESS_BYTES else 0
    for task, result in map_tasks(_check, tasks, workers=count):
        if isinstance(result, Failure):
            raise VerifyError(f"{task.shard.shard.file}: {result.reason}; run push again")
        results[task.shard.shard.file] = result
        on_event(Progress(stage="check", done=len(results), total=len(tasks), unit="shards"))
    for task in tasks:
        yield from results[task.shard.shard.file].problems
    personal = sum(result.personal for result in results.values())
    if personal:
        yield problem("personal", f"{personal:,} images say where or with whose camera they were taken", file="buckets")


def _shard_task(folder: Path, manifest: Manifest, bucket_id: str, shard: Shard) -> ShardTask:
    return ShardTask(
        export=str(folder),
        shard=shard,
        expected=Expected.of(manifest, bucket_id, shard.file, ours=True),
        full=False,
        stripped=False,
        oriented_kept=True,
        max_pixels=1,
        tables=(),
    )


def _check(task: _Task) -> _Found:
    problems = check_shard(task.shard).problems
    if problems or not task.personal:
        return _Found(problems=problems)
    personal = 0
    with viewed(task.shard.export, task.shard.shard.file) as view:
        try:
            for name, offset, size in read_members(view):
                personal += name.endswith(".jpg") and personal_in_jpeg(bytes(view[offset : offset + size]))
        except FormatError as error:
            return _Found(problems=(problem("tar", str(error), file=task.shard.shard.file),))
    return _Found(problems=(), personal=personal)


def personal_rows(folder: Path, files: Sequence[str]) -> Iterator[Problem]:
    """Yield how many rows of sample tables say where or with whose camera an image was taken."""
    count, example = 0, ""
    for file in files:
        for batch in read_groups(folder / file, ["image_id", "meta"]):
            hinted = batch.filter(pc.fill_null(pc.match_substring_regex(batch.column("meta"), _PERSONAL), False))
            found = [row["image_id"] for row in _rows(hinted) if _is_personal(row["meta"])]
            count += len(found)
            example = example or next(iter(found), "")
    if count:
        message = f"the metadata of {count:,} images says where or with whose camera they were taken, first {example!r}"
        yield problem("personal", message, file="samples")


def _rows(batch: pa.Table) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = batch.to_pylist()
    return rows


def _is_personal(meta: str) -> bool:
    parsed = parse_json(meta)
    if isinstance(parsed, dict) and without_location(parsed)[1]:
        return True
    return re.search(_OWNER, meta) is not None
