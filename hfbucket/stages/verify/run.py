"""Verify: every promise of an export, checked in one of three depths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, get_args

from hfbucket.core.checks.expected import Expected
from hfbucket.core.checks.manifest import check_counts, check_foreign, check_manifest
from hfbucket.core.checks.problems import Lack, Problem, capped, merged, problem
from hfbucket.core.checks.tables import duplicate_keys
from hfbucket.core.events import OnEvent, Progress, ignore
from hfbucket.core.keys import CARD, MANIFEST
from hfbucket.core.manifest.model import Manifest, Shard
from hfbucket.core.manifest.plain import is_ours, with_listed_shards
from hfbucket.errors import ConfigError, FormatError, UnsupportedVersionError, VerifyError
from hfbucket.executors.local import map_tasks, worker_count
from hfbucket.executors.task import Failure
from hfbucket.io import store
from hfbucket.io.export_files import ExportFile, file_sha256, list_files
from hfbucket.io.images.encode import versions
from hfbucket.io.manifest_file import manifest_bytes, parse_manifest, read_manifest_bytes
from hfbucket.io.waits import waits_told
from hfbucket.load.location import locate
from hfbucket.stages.rounds import AGAIN, disk_told
from hfbucket.stages.verify.card import check_card_files
from hfbucket.stages.verify.sample import check_samples
from hfbucket.stages.verify.shard import ShardResult, ShardTask, check_shard
from hfbucket.stages.verify.structure import check_structure, named_files
from hfbucket.stages.verify.tables import TableFacts, check_ledger_files, check_sample_tables

__all__ = ["DEPTHS", "Depth", "Report", "verify"]

Depth = Literal["structure", "quick", "full"]
DEPTHS: Final = get_args(Depth)

_EDITED: Final = "manifest.json says the same in other bytes than were written: an editor or a damaged blank"
_MAX_PIXELS: Final = 178_000_000
_IN_PROCESS_BYTES: Final[dict[Depth, int]] = {"structure": 0, "quick": 1_000_000_000, "full": 32_000_000}
"""Below this, starting processes takes longer than the work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What verify found. An export of another tool has lacks where ours would have problems."""

    depth: Depth
    format: str | None
    export_id: str | None
    #: This package wrote it.
    ours: bool
    shards: int
    samples: int
    size_bytes: int
    problems: tuple[Problem, ...] = ()
    #: Samples that were opened one by one.
    sampled: int = 0
    lacks: tuple[Lack, ...] = ()
    #: What is no problem, but may explain a difference.
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no promise is broken."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON data."""
        return {"ok": self.ok, **asdict(self)}


@waits_told
@disk_told(VerifyError, AGAIN)
def verify(
    export: str | os.PathLike[str],
    *,
    depth: Depth | None = None,
    sample: int = 0,
    revision: str | None = None,
    workers: int | None = None,
    on_event: OnEvent = ignore,
) -> Report:
    """Return every broken promise of an export.

    Args:
        export: its folder, `user/name` of a dataset on the Hub, or any fsspec URL.
        depth: `structure` reads the manifest and compares it with a listing: names, sizes, and hashes where the listing
            has them, as the Hub's does; `quick` also reads every shard once: hashes, headers, members, keys, counts;
            `full` also opens every sample and compares tables, ledger and card. None: `full` here, `structure`
            elsewhere.
        sample: open so many samples, the same ones every time, by reading only their bytes.
        revision: branch, tag or commit of a dataset on the Hub.
        workers: processes; None for one per core.

    Raises:
        FormatError: there is no manifest at all.
        VerifyError: the disk does not give a file that is there.
        SourceError: there is no such place.
        ConfigError: no such depth; or samples are asked for of an export without sample tables.
    """
    if depth is not None and depth not in DEPTHS:
        raise ConfigError(f"depth must be one of {', '.join(DEPTHS)}, got {depth!r}")
    url = store.absolute(locate(export, revision).url)
    depth = depth or ("full" if store.is_local(url) else "structure")
    files = list_files(url)
    data = read_manifest_bytes(url)
    try:
        manifest = parse_manifest(data, where=f"{url}/{MANIFEST}")
    except FormatError as error:
        code = "manifest_version" if isinstance(error, UnsupportedVersionError) else "manifest"
        message = str(error).replace(f"{url}/{MANIFEST}: ", "")
        found = problem(code, message)
        return Report(
            depth=depth, format=None, export_id=None, ours=False, shards=0, samples=0, size_bytes=0, problems=(found,)
        )
    report = _Verification(url, depth, sample, manifest, files, worker_count(workers), on_event).report()
    edited = report.ours and data != manifest_bytes(manifest)
    return replace(report, notes=(_EDITED, *report.notes)) if edited else report


class _Verification:
    """One export being verified."""

    def __init__(
        self, url: str, depth: Depth, sample: int, manifest: Manifest, files: dict[str, ExportFile], workers: int,
        on_event: OnEvent,
    ) -> None:  # fmt: skip
        self._url, self._depth, self._sample, self._files = url, depth, sample, files
        self._ours = is_ours(manifest)
        self._given = manifest
        self._manifest = manifest if self._ours else with_listed_shards(manifest, files)
        self._workers, self._on_event = workers, on_event
        self._shards = [(i, shard) for i, entry in self._manifest.buckets.items() for shard in entry.shards]
        self._lacks: list[Lack] = []
        self._intact_tables: list[str] = []

    def report(self) -> Report:
        """Return what all checks of the depth find."""
        problems = tuple(self._problems())
        if not self._ours:
            self._lacks = [*check_foreign(self._given, has_card=CARD in self._files), *self._lacks]
        sizes = [self._files[shard.file].size_bytes for _, shard in self._shards if shard.file in self._files]
        return Report(
            depth=self._depth,
            format=self._manifest.format,
            export_id=self._manifest.export_id,
            ours=self._ours,
            shards=len(self._shards),
            samples=sum(entry.count for entry in self._manifest.buckets.values()),
            size_bytes=sum(sizes),
            problems=problems,
            sampled=min(self._sample, sum(table.rows for table in self._manifest.samples)),
            lacks=tuple(self._lacks),
            notes=tuple(self._notes()),
        )

    def _problems(self) -> Iterator[Problem]:
        broken = capped(check_manifest(self._given, ours=self._ours))
        yield from broken
        yield from capped(check_structure(self._manifest, self._files, ours=self._ours))
        if self._sample:
            tasks = {shard.file: self._task(bucket_id, shard, TableFacts()) for bucket_id, shard in self._shards}
            yield from capped(check_samples(self._url, self._manifest, self._files, tasks, self._sample))
        if self._depth == "structure":
            return
        yield from self._small_files()
        facts = TableFacts()
        if self._depth == "full" and self._ours:
            yield from capped(check_sample_tables(self._url, self._manifest, self._intact_tables, facts))
        yield from self._in_shards(facts)
        if self._depth == "full":
            yield from self._ledger(facts)
        # Of a broken manifest no card can be asked.
        if self._depth == "full" and self._ours and not broken and self._present(CARD):
            yield from capped(check_card_files(self._url, self._manifest, {}))

    def _small_files(self) -> Iterator[Problem]:
        """Compare the hashes of sample tables and pictures; note which tables are intact."""
        tables = {table.file for table in self._manifest.samples}
        for file in self._manifest.small_files:
            if not self._present(file.file):
                continue
            try:
                actual = file_sha256(self._url, file.file)
            except OSError as error:
                yield problem("missing", f"cannot be read: {error.strerror or error}", file=file.file)
                continue
            if actual != file.sha256:
                message = f"sha256 must be {file.sha256}, got {actual}: some byte has changed"
                yield problem("hash", message, file=file.file)
            elif file.file in tables:
                self._intact_tables.append(file.file)

    def _present(self, file: str) -> bool:
        return file in self._files and not self._files[file].link

    def _in_shards(self, facts: TableFacts) -> Iterator[Problem]:
        tasks = [self._task(bucket_id, shard, facts) for bucket_id, shard in self._shards if self._present(shard.file)]
        total_bytes = sum(self._files[task.shard.file].size_bytes for task in tasks)
        workers = self._workers if total_bytes > _IN_PROCESS_BYTES[self._depth] else 0
        results: dict[str, ShardResult] = {}
        self._on_event(Progress(stage="verify", done=0, total=len(tasks), unit="shards"))
        for task, result in map_tasks(check_shard, tasks, workers=workers):
            if isinstance(result, Failure):
                raise VerifyError(f"{task.shard.file}: {result.reason}; --quick looks at it without decoding")
            results[task.shard.file] = result
            self._on_event(Progress(stage="verify", done=len(results), total=len(tasks), unit="shards"))
        found = [results[task.shard.file] for task in tasks]
        for result in found:  # in the manifest's order, whatever the workers' was
            yield from result.problems
        self._lacks += merged(lack for result in found for lack in result.lacks)
        keys = b"".join(result.keys for result in found)
        counts = {task.shard.file: result.samples for task, result in zip(tasks, found, strict=True)}
        yield from capped(duplicate_keys(keys, list(counts), list(counts.values())))
        yield from check_counts(self._manifest, counts)
        firsts = {task.shard.file: r.meta_keys for task, r in zip(tasks, found, strict=True) if r.meta_keys is not None}
        for file, names in firsts.items():
            if self._ours and names != next(iter(firsts.values())):
                yield problem("metadata", "meta must have the same keys in every shard", file=file)

    def _task(self, bucket_id: str, shard: Shard, facts: TableFacts) -> ShardTask:
        settings = self._manifest.settings
        max_pixels = settings.get("max_pixels")
        return ShardTask(
            export=self._url,
            shard=shard,
            expected=Expected.of(self._manifest, bucket_id, shard.file, ours=self._ours),
            full=self._depth == "full",
            stripped=settings.get("strip_metadata") is True,
            oriented_kept=not self._ours or settings.get("oriented") == "keep",
            max_pixels=max_pixels if type(max_pixels) is int else _MAX_PIXELS,
            tables=tuple(facts.tables_of_shard.get(shard.file, ())),
        )

    def _ledger(self, facts: TableFacts) -> Iterator[Problem]:
        parts = [file for file in self._files if file.startswith("ledger/") and file.endswith(".parquet")]
        if not parts:
            self._lacks.append(Lack(code="ledger", what="the ledger: what became of images that are not here", count=1))
        elif self._ours:
            yield from check_ledger_files(self._url, self._manifest, parts, facts)

    def _notes(self) -> Iterator[str]:
        if self._depth == "structure" and not store.is_local(self._url):
            named = named_files(self._manifest)
            compared = sum(self._files[file].sha256 is not None for file in named if self._present(file))
            yield f"{compared:,} of {len(named):,} files compared by hash without reading them; --deep reads all"
        generator = self._manifest.generator
        if not self._ours or generator is None or self._manifest.image_mode != "reencode_jpeg":
            return
        for name, installed in versions().items():
            written = getattr(generator, name)
            if written != installed:
                yield (
                    f"it was encoded with {name} {written}, here is {installed}: "
                    "a build here may give other bytes and another content_sha256"
                )
