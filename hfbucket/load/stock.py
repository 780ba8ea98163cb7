"""An export opened as a stranger would, with `datasets` alone: what a push checks before it counts as done."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import datasets

from hfbucket.core.card.facts import LoaderConfig
from hfbucket.io.export_files import open_file, viewed
from hfbucket.io.table_search import read_where
from hfbucket.io.ustar import read_members

__all__ = ["StockSample", "first_samples", "shard_samples", "table_samples"]

_SHARD = re.compile(r"buckets/[^/]+/[^/]+\.tar$")


@dataclass(frozen=True, kw_only=True, slots=True)
class StockSample:
    """One sample as the stock loader gives it."""

    #: Of its shard, below the export.
    file: str
    key: str
    caption: str
    #: None where only a table was asked.
    jpg: bytes | None


def first_samples(
    loads_as: str, config: LoaderConfig, count: int, *, revision: str | None, token: str | bool | None
) -> list[StockSample]:
    """Return the first samples that stock streaming gives of a config.

    Raises:
        OSError: `datasets` cannot open it.
        ValueError: it gives something else than samples of this format.
    """
    try:
        if "://" in loads_as:  # no repository and no folder here: by the globs that the card gives
            files = [f"{loads_as}/{pattern}" for pattern in config.patterns]
            found = datasets.load_dataset("webdataset", data_files=files, split="train", streaming=True)
        else:
            found = datasets.load_dataset(
                loads_as, config.name, split="train", streaming=True, revision=revision, token=token
            )
        return [_sample(row) for row in islice(found.decode(False), count)]
    except datasets.exceptions.DatasetsError as error:
        raise OSError(str(error)) from error


def _sample(row: dict[str, Any]) -> StockSample:
    match = _SHARD.search(str(row.get("__url__")).partition("::")[0])
    if match is None:
        raise ValueError(f"a sample must lie in a shard of the export, got {row.get('__url__')!r}")
    return StockSample(
        file=match[0], key=row["__key__"], caption=row["txt"].removesuffix("\n"), jpg=row["jpg"]["bytes"]
    )


def shard_samples(export: str, file: str, count: int) -> list[StockSample]:
    """Return the first samples of a shard here."""
    with viewed(export, file) as view:
        return list(islice(_in_shard(view, file), count))


def _in_shard(view: memoryview, file: str) -> Iterator[StockSample]:
    parts: dict[str, bytes] = {}
    for name, offset, size in read_members(view):
        key, _, extension = name.partition(".")
        parts[extension] = bytes(view[offset : offset + size])
        if len(parts) == 3:
            caption = parts["txt"].decode("utf-8").removesuffix("\n")
            yield StockSample(file=file, key=key, caption=caption, jpg=parts["jpg"])
            parts = {}


def table_samples(export: str, tables: Sequence[str], file: str, count: int) -> list[StockSample]:
    """Return the first samples of a shard as the sample tables know them; no shard is read."""
    rows: list[dict[str, Any]] = []
    for table in tables:
        with open_file(export, table) as opened:
            columns = ["key", "caption", "jpg_offset"]
            rows += read_where(opened, "shard", file, columns).to_pylist()
    rows.sort(key=lambda row: int(row["jpg_offset"]))
    return [StockSample(file=file, key=row["key"], caption=row["caption"] or "", jpg=None) for row in rows[:count]]
