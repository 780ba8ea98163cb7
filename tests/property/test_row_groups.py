"""Row groups of tables: their rows alone decide them, and none is heavier than one row makes it."""

from __future__ import annotations

from itertools import pairwise, zip_longest

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.row_groups import regrouped
from hfbucket.core.text_bytes import text_bytes
from hfbucket.schemas import INDEX, SAMPLES

SCHEMA = pa.schema([pa.field("n", pa.int64()), *(SAMPLES.field(name) for name in ("caption", "captions", "meta"))])
MOST_ROWS, MOST_BYTES = 5, 24

texts = st.none() | st.text("aé€", max_size=9)
variants = st.fixed_dictionaries({"variant": st.just("v"), "text": texts})
samples = st.lists(st.tuples(texts, st.none() | st.lists(variants, max_size=3), texts), max_size=40)


def weight(row: object) -> int:
    """Return the bytes of all texts in a value of Python."""
    if isinstance(row, dict):
        return sum(map(weight, row.values()))
    if isinstance(row, list):
        return sum(map(weight, row))
    return len(row.encode()) if isinstance(row, str) else 0


@given(samples=samples, cuts=st.lists(st.integers(0, 40), max_size=9), chunked=st.booleans())
def test_groups_do_not_depend_on_how_rows_come(
    samples: list[tuple[object, ...]], cuts: list[int], chunked: bool
) -> None:
    rows = [dict(zip(SCHEMA.names, (n, *sample), strict=True)) for n, sample in enumerate(samples)]
    whole = pa.Table.from_pylist(rows, schema=SCHEMA)
    tables = [whole.slice(start, stop - start) for start, stop in pairwise(sorted({0, *cuts, len(rows)}))]
    given_tables = [pa.concat_tables(tables)] if chunked and tables else tables
    groups = list(regrouped(given_tables, SCHEMA, most_rows=MOST_ROWS, most_bytes=MOST_BYTES))
    assert [row for group in groups for row in group.to_pylist()] == rows
    for group, later in zip_longest(groups, groups[1:]):
        heavy = [weight(row) for row in group.to_pylist()]
        assert len(heavy) <= MOST_ROWS
        assert sum(heavy[:-1]) < MOST_BYTES
        assert later is None or len(heavy) == MOST_ROWS or sum(heavy) >= MOST_BYTES


@given(rows=st.lists(st.none() | st.lists(texts, max_size=3), max_size=9), start=st.integers(0, 9))
def test_lists_of_texts_weigh_what_their_items_say(rows: list[list[str | None] | None], start: int) -> None:
    column = pa.chunked_array([rows], INDEX.field("captions").type)
    assert text_bytes(column.slice(start)).tolist() == [weight(row) for row in rows[start:]]


def test_what_is_behind_a_null_weighs_nothing() -> None:
    items = pa.array(["one", "two", "three"])
    lists = pa.ListArray.from_arrays([0, 1, 2, 3], items, mask=pa.array([False, True, False]))
    assert text_bytes(pa.chunked_array([lists])).tolist() == [3, 0, 5]


@pytest.mark.parametrize("kind", [pa.int64(), pa.binary(32)])
def test_what_is_no_text_weighs_nothing(kind: pa.DataType) -> None:
    assert text_bytes(pa.chunked_array([pa.nulls(2, kind)])).tolist() == [0, 0]
