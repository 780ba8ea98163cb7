"""Index tables for tests of planning: rows by what matters, everything else plausible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.keys import digest_of
from hfbucket.core.law.geometry import digest_words
from hfbucket.core.plan.captions import choice_of, own_variants
from hfbucket.core.plan.layout import geometry_of
from hfbucket.core.plan.model import Plan
from hfbucket.core.plan.rows import Rows, columns_for
from hfbucket.core.units import SourceSpec, Unit, UnitFacts
from hfbucket.io.index_files import Index, write_unit
from hfbucket.schemas import INDEX


def row(image_id: str, width: int | None = 600, height: int | None = 600, **changed: object) -> dict[str, object]:
    """A photo with a caption, but for what is changed."""
    return {
        "image_id": image_id, "digest": digest_of(image_id), "member": image_id, "offset": 0, "size_bytes": 50_000,
        "mtime_ns": 0, "format": "jpeg", "width": width, "height": height, "orientation": 1, "color": "rgb",
        "gps": False, "captions": ["a caption", None, None], "caption_repaired": False, "meta": "{}",
    } | changed  # fmt: skip


def index_table(rows: Sequence[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=INDEX)


def planning_rows(rows: Sequence[dict[str, object]], config: Config, *, pieces: int = 1) -> Rows:
    """The rows as planning takes them, put in so many pieces."""
    table = index_table(rows).select(list(columns_for(config)))
    filled = Rows.empty(len(rows), config, words=2)
    choice = choice_of(config, own_variants(config), ())
    step = -(-len(rows) // pieces) or 1
    for start in range(0, len(rows), step):
        filled.put(start, table.slice(start, step), config, choice)
    return filled


@dataclass(frozen=True)
class Places:
    """Where a plan puts each row: bucket, shard and position are -1 where it has no place."""

    bucket: np.ndarray
    shard: np.ndarray
    position: np.ndarray


def places(made: Plan) -> Places:
    columns = np.full((3, len(made.outcome)), -1, dtype=np.int64)
    for bucket, shard, members in made.shard_rows():
        columns[:, members] = [[bucket] * len(members), [shard] * len(members), range(len(members))]
    return Places(*columns)


def geometries(made: Plan, rows: Sequence[dict[str, object]], config: Config) -> dict[str, list[int]]:
    """The geometry of every row; all must have a place."""
    words = digest_words(pa.array([row["digest"] for row in rows], pa.binary(32)))
    columns = geometry_of(made, np.arange(len(rows)), words, config)
    return {name: values.tolist() for name, values in columns.items()}


def planned_bytes(alone: Plan) -> np.ndarray:
    """What each row of a plan with one sample a shard counts for; 0 where it has no place."""
    result = np.zeros(len(alone.outcome), dtype=np.int64)
    result[alone.members] = alone.shards.planned_bytes
    return result


def write_index(folder: Path, *sources: Sequence[dict[str, object]], facts: UnitFacts | None = None) -> Index:
    """An index on disk with one source of one tar for each sequence of rows."""
    units = []
    for number, rows in enumerate(sources):
        name = f"part{number}.tar"
        unit = Unit(source=number, kind="tars", url=f"data/{name}", name=name, prefix="", size_bytes=1, version="1")
        file = folder / f"{number}.parquet"
        units.append(
            write_unit(file, unit, index_table([{"archive": name} | row for row in rows]), facts or UnitFacts())
        )
    specs = (
        SourceSpec(name=f"part{number}", url=f"data/part{number}.tar", kind="tars") for number in range(len(sources))
    )
    return Index(sources=tuple(specs), units=tuple(units))
