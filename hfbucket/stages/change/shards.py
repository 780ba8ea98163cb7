"""Shards of a finished export written anew, each by a task of its own: images are moved, never decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from hfbucket.core.events import OnEvent
from hfbucket.core.manifest.model import Shard
from hfbucket.core.removal import NO_PARTS, Int64s
from hfbucket.core.sample import PLACES, caption_bytes, metadata_texts
from hfbucket.errors import ChangeError, FormatError
from hfbucket.executors.engines import Workers
from hfbucket.executors.task import Failure, report
from hfbucket.io.atomic import flush_files
from hfbucket.io.receipts import Receipt, read_receipt, receipt_file, receipt_writer
from hfbucket.io.row_groups import batches_in_groups
from hfbucket.io.shard_edit import ShardEdit
from hfbucket.io.ustar import BLOCK, padding
from hfbucket.schemas import SAMPLES
from hfbucket.stages.change.apply import OpenExport
from hfbucket.stages.rounds import failure_of, run_rounds

__all__ = ["CHANGED", "PLACED", "REWRITTEN", "ShardChange", "moved", "rewrite_shards"]

CHANGED: Final = "changed"
"""The column beside those of SAMPLES that says whether a sample's `.txt` and `.json` are written anew."""

REWRITTEN: Final = pa.schema([*SAMPLES, pa.field(CHANGED, pa.bool_(), nullable=False)])
"""Rows of a shard's samples as they will be, but with the places where they are."""

PLACED: Final = pa.schema([SAMPLES.field(name) for name in PLACES])
"""Where the members of samples are."""

_ROWS_AT_ONCE: Final = 512
_BYTES_AT_ONCE: Final = 1 << 22
_IN_PROCESS_BYTES: Final = 256_000_000
"""Below this, starting processes takes longer than the work."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ShardChange:
    """One shard to write anew: from rows of REWRITTEN in a table, or else from the parts of it that stay."""

    #: As it is now.
    shard: Shard
    #: Samples that stay.
    count: int
    #: From byte to byte, int64[·, 2] ascending.
    parts: Int64s = field(default_factory=lambda: NO_PARTS)
    #: Its row groups in the table of rows.
    row_groups: range | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Task:
    change: ShardChange
    #: Folders of the old export, of its new files, and of what is told about them.
    export: str
    new: str
    receipts: str
    #: The table of rows.
    rows: str | None


def rewrite_shards(
    opened: OpenExport,
    changes: Sequence[ShardChange],
    *,
    rows: Path | None = None,
    workers: int | None = None,
    on_event: OnEvent,
) -> dict[str, Shard]:
    """Write shards anew below `opened.new`; return what they are now, by file.

    Where the samples of shards that were made from rows are then, say the receipts in `opened.scratch`.

    Args:
        rows: the table that `row_group` counts in.
        workers: processes; None for one per core.

    Raises:
        ChangeError: a shard is damaged, or not what the sample tables say.
        BuildError: the disk is full, and so on.
    """
    places = {"export": str(opened.folder), "new": str(opened.new), "receipts": str(opened.scratch)}
    # The longest first: no core waits for it at the end.
    ordered = sorted(changes, key=lambda change: -(change.shard.bytes or 0))
    tasks = [_Task(change=change, rows=None if rows is None else str(rows), **places) for change in ordered]
    for folder in {Path(opened.new, change.shard.file).parent for change in changes}:
        folder.mkdir(parents=True, exist_ok=True)
    total_bytes = sum(change.shard.bytes or 0 for change in changes)
    run_rounds(
        _rewrite,
        tasks,
        [change.count for change in ordered],
        name=lambda task: task.change.shard.file,
        stage=opened.command,
        workers=Workers(count=workers if total_bytes > _IN_PROCESS_BYTES else 0),
        on_event=on_event,
        remedy="the export is as it was",
    )
    flush_files([opened.new / change.shard.file for change in changes])
    return {change.shard.file: _written(opened, change.shard) for change in changes}


def moved(rows: pa.Table, places: pa.Table) -> pa.Table:
    """Return rows of samples, schema SAMPLES, with the places that their members have now."""
    return pa.table([(places if name in PLACES else rows)[name] for name in SAMPLES.names], schema=SAMPLES)


def _written(opened: OpenExport, old: Shard) -> Shard:
    receipt = read_receipt(receipt_file(opened.scratch, old.file))
    if receipt is None:
        raise ChangeError(f"{old.file}: vanished while the export was changed; run the same command again")
    return replace(old, count=receipt.count, bytes=receipt.size_bytes, sha256=receipt.sha256)


def _rewrite(task: _Task) -> Failure | None:
    """Write one shard anew, and what it is; return None, or why it could not be."""
    change, file = task.change, task.change.shard.file
    try:
        with receipt_writer(Path(task.receipts), file, PLACED, flush=False) as receipt:
            with ShardEdit(Path(task.export, file), Path(task.new, file)) as shard:
                for start, stop in change.parts.tolist():
                    shard.keep(start, stop)
                for samples in _read(task) if change.row_groups else ():
                    receipt.add(pa.Table.from_pylist([_add(shard, *sample) for sample in samples], schema=PLACED))
                size_bytes, sha256 = shard.finish(sha256=change.shard.sha256)
            count = change.count
            receipt.end(Receipt(task_sha256="", file=file, count=count, size_bytes=size_bytes, sha256=sha256))
    except FormatError as error:
        return Failure(task=task, reason=str(error), final=True)
    except (OSError, MemoryError) as error:
        return failure_of(task, error)
    return None


def _read(task: _Task) -> Iterator[Iterable[tuple[dict[str, Any], bytes]]]:
    """Yield where the members of every sample of a shard are, and its caption, and what its `.json` will hold.

    Some hundred samples at a time.
    """
    done = 0
    columns = [name for name in REWRITTEN.names if name != "captions"]
    table, groups = Path(task.rows or ""), task.change.row_groups or ()  # a shard with row groups has their table
    for batch in batches_in_groups(table, groups, most=_ROWS_AT_ONCE, size_bytes=_BYTES_AT_ONCE, columns=columns):
        samples = pa.Table.from_batches([batch])
        texts = metadata_texts({name: samples[name].to_pylist() for name in samples.column_names})
        rows = samples.select(["key", "caption", CHANGED, *PLACES]).to_pylist()
        yield zip(rows, texts, strict=True)
        done += len(batch)
        report(done)


def _add(shard: ShardEdit, row: dict[str, Any], metadata: bytes) -> dict[str, int]:
    """Append the members of one sample; return their new places."""
    last = "jpg" if row[CHANGED] else "json"
    stop = row[f"{last}_offset"] + row[f"{last}_size"] + padding(row[f"{last}_size"])
    shift = shard.keep(row["jpg_offset"] - BLOCK, stop) - row["jpg_offset"]
    places = {name: row[name] + shift if name.endswith("_offset") else row[name] for name in PLACES}
    if last == "jpg":
        for member, data in (("txt", caption_bytes(row["caption"])), ("json", metadata)):
            places[f"{member}_offset"] = shard.add(f"{row['key']}.{member}", data)
            places[f"{member}_size"] = len(data)
    return places
