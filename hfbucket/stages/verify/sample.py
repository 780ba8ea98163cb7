"""Some samples of an export opened one by one, by reading nothing but their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from hfbucket.core.checks.problems import Problem, problem
from hfbucket.core.checks.tables import key_bytes
from hfbucket.core.keys import digest_of
from hfbucket.core.manifest.model import Manifest, SampleTable, Shard
from hfbucket.errors import ConfigError
from hfbucket.io.export_files import ExportFile, open_file, read_range
from hfbucket.io.tables import parquet_of
from hfbucket.io.ustar import BLOCK, END, padding
from hfbucket.stages.verify.shard import ShardTask, check_bytes

__all__ = ["check_samples"]

_COLUMNS = ("key", "shard", "jpg_offset", "json_offset", "json_size")


def check_samples(
    export: str, manifest: Manifest, files: Mapping[str, ExportFile], tasks: Mapping[str, ShardTask], number: int
) -> Iterator[Problem]:
    """Yield what is wrong with some samples, and with the sample tables' word on where they are.

    The samples are drawn by the export's id: the same ones every time.

    Args:
        tasks: what the manifest says about each shard.

    Raises:
        ConfigError: the export has no sample tables, and so nothing tells where its samples are.
    """
    if not manifest.samples:
        raise ConfigError("sample needs the sample tables, which this export does not have; --deep reads whole shards")
    for table, rows in _drawn(manifest, number):
        try:
            found = _places(export, table, rows)
        except (OSError, pa.ArrowException, ValueError, KeyError) as error:
            yield problem("samples", f"cannot be read as sample table: {error}", file=table.file)
            continue
        for row in found:
            yield from _sample(export, row, files, tasks, table.file)


def _drawn(manifest: Manifest, number: int) -> Iterator[tuple[SampleTable, list[int]]]:
    """Yield the tables that hold drawn samples, each with their rows in it, ascending."""
    total = sum(table.rows for table in manifest.samples)
    seed = int.from_bytes(digest_of(manifest.export_id or "")[:8], "big")
    drawn = np.sort(np.random.default_rng(seed).choice(total, size=min(number, total), replace=False))
    start = 0
    for table in manifest.samples:
        rows = drawn[(drawn >= start) & (drawn < start + table.rows)] - start
        if len(rows):
            yield table, rows.tolist()
        start += table.rows


def _places(export: str, table: SampleTable, rows: list[int]) -> list[dict[str, str | int]]:
    """Return where the samples of some rows are, by a table of which only their row groups are read."""
    places: list[dict[str, str | int]] = []
    with open_file(export, table.file) as opened, parquet_of(opened, page_checksum_verification=True) as parquet:
        start = 0
        for group in range(parquet.num_row_groups):
            stop = start + parquet.metadata.row_group(group).num_rows
            inside = [row - start for row in rows if start <= row < stop]
            if inside:
                places += (
                    parquet.read_row_group(group, columns=list(_COLUMNS), use_threads=False)
                    .take(pa.array(inside))
                    .to_pylist()
                )
            start = stop
    return places


def _sample(
    export: str,
    row: Mapping[str, str | int],
    files: Mapping[str, ExportFile],
    tasks: Mapping[str, ShardTask],
    table: str,
) -> Iterator[Problem]:
    file, key = str(row["shard"]), str(row["key"])
    start, last, size = (int(row[name]) for name in ("jpg_offset", "json_offset", "json_size"))
    start, stop = start - BLOCK, last + size + padding(size)
    there = files.get(file)
    if there is None or file not in tasks or not 0 <= start < stop <= there.size_bytes:
        yield problem("samples", f"says that it is at bytes {start} to {stop} of {file}", file=table, key=key)
        return
    try:
        data = read_range(export, there, start, stop - start)
    except OSError as error:
        yield problem("missing", f"cannot be read: {error.strerror or error}", file=file, key=key)
        return
    # One sample between the blocks of an archive is an archive; what is said of all of the shard is not asked of it.
    alone = replace(tasks[file], shard=Shard(file=file, count=1), full=True, tables=())
    result = check_bytes(alone, memoryview(data + END))
    for found in result.problems:
        yield replace(found, message=f"{found.message} (of the sample at byte {start})", key=found.key or key)
    if not result.problems and result.keys != key_bytes(key):
        yield problem(
            "samples", f"says that it is at byte {start} of {file}, where another sample is", file=table, key=key
        )
