"""Index tables for tests of planning: rows by what matters, everything else plausible."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from hfbucket.config import Config
from hfbucket.core.keys import digest_of
from hfbucket.core.plan.captions import choice_of, own_variants
from hfbucket.core.plan.rows import COLUMNS, Rows
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
    table = index_table(rows).select(list(COLUMNS))
    filled = Rows.empty(len(rows))
    choice = choice_of(config, own_variants(config), ())
    step = -(-len(rows) // pieces) or 1
    for start in range(0, len(rows), step):
        filled.put(start, table.slice(start, step), config, choice)
    return filled


def write_index(folder: Path, *sources: Sequence[dict[str, object]], facts: UnitFacts | None = None) -> Index:
    """An index on disk with one source of one tar for each sequence of rows."""
    units = []
    for number, rows in enumerate(sources):
        name = f"part{number}.tar"
        unit = Unit(source=number, kind="tars", url=f"data/{name}", name=name, prefix="", size_bytes=1, version="1")
        file = str(folder / f"{number}.parquet")
        units.append(
            write_unit(file, unit, index_table([{"archive": name} | row for row in rows]), facts or UnitFacts())
        )
    specs = (
        SourceSpec(name=f"part{number}", url=f"data/part{number}.tar", kind="tars") for number in range(len(sources))
    )
    return Index(sources=tuple(specs), units=tuple(units))
