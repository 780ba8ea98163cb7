"""Fingerprints on disk: one Parquet file per unit of a source, with those of its images that were looked at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hfbucket.core.duplicates.find import Fingerprints
from hfbucket.core.law.geometry import digest_words
from hfbucket.errors import BuildError
from hfbucket.io import tables
from hfbucket.io.places import Place
from hfbucket.schemas import FINGERPRINTS

Int64s = npt.NDArray[np.int64]

_NONE = bytes(32)


class Printed(NamedTuple):
    """What one image is compared by: one of the two, or nothing."""

    exact: bytes | None = None
    near: int | None = None


def read_prints(file: Place) -> pa.Table:
    """Return what stands in a file, schema FINGERPRINTS, by row; nothing where there is none, or a damaged one."""
    if not file.exists():
        return FINGERPRINTS.empty_table()
    try:
        return tables.read_table(file, FINGERPRINTS.names).cast(FINGERPRINTS)
    except (BuildError, pa.ArrowException, KeyError, ValueError):
        return FINGERPRINTS.empty_table()


def add_prints(file: Place, rows: Int64s, printed: list[Printed]) -> None:
    """Write a file anew with the fingerprints of further rows, ascending; one that a crash damages counts as none."""
    table = pa.table([rows, *zip(*printed, strict=True)], schema=FINGERPRINTS)
    before = read_prints(file)
    if before.num_rows:
        before = before.filter(pa.array(~np.isin(before["row"].to_numpy(), rows)))
        table = pa.concat_tables([before, table]).sort_by("row")
    tables.write_table(file, table, flush=False)


def missing_rows(file: Place, rows: Int64s) -> Int64s:
    """Return those of the rows that a file does not have."""
    return rows[~np.isin(rows, read_prints(file)["row"].to_numpy())]


def fill_prints(prints: Fingerprints, start: int, file: Place, rows: Int64s) -> bool:
    """Put the fingerprints of these rows, ascending, in their places from `start` on; False where some are missing."""
    table = read_prints(file)
    there = table["row"].to_numpy()
    at = np.searchsorted(there, rows)
    if len(rows) and (not len(there) or not np.array_equal(there[np.minimum(at, len(there) - 1)], rows)):
        return False
    wanted = table.take(pa.array(at)).combine_chunks()
    here = slice(start, start + len(rows))
    for name, has in (("exact", prints.has_exact), ("near", prints.has_near)):
        has[here] = wanted[name].is_valid().to_numpy()
    prints.near[here] = wanted["near"].fill_null(0).to_numpy()
    exact = wanted["exact"].fill_null(_NONE)
    prints.exact[here] = digest_words(pa.concat_arrays([pa.array([], pa.binary(32)), *exact.chunks]))[:, :2]
    return True
