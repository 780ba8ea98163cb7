from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pytest

from hfbucket.core.hashing import canonical_json, sha256_of, table_sha256
from hfbucket.schemas import INDEX


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "é\n"]}, '{"a":[true,null,"é\\n"],"b":1}'),
        ([float("nan"), {"x": (float("inf"), 1.5)}], '[null,{"x":[null,1.5]}]'),
        (datetime(2024, 2, 3, 4, 5, 6), '"2024-02-03T04:05:06Z"'),
        (datetime(2024, 2, 3, 4, 5, 6, 7, timezone(timedelta(hours=2))), '"2024-02-03T02:05:06.000007Z"'),
        (date(2024, 2, 3), '"2024-02-03"'),
        ([Decimal("1.50"), Fraction(1, 3)], '["1.50","1/3"]'),
        (2**70, str(2**70)),
        ("\ud83d\ude00 and \ud800", '"\U0001f600 and \ufffd"'),
    ],
)
def test_canonical_json(value: object, text: str) -> None:
    assert canonical_json(value) == text
    assert sha256_of(value) == hashlib.sha256(text.encode("utf-8")).hexdigest()


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes has no canonical JSON form: b'x'"):
        canonical_json({"a": b"x"})


def make_table() -> pa.Table:
    return pa.table(
        {
            "text": pa.array(["x", None, "", "日本"]),
            "digest": pa.array([b"abcd", b"efgh", None, b"ijkl"], pa.binary(4)),
            "int": pa.array([1, None, -3, 2**40]),
            "flag": pa.array([True, None, False, True]),
            "float": pa.array([1.5, None, float("nan"), float("inf")]),
            "when": pa.array([datetime(2024, 1, 1), None, None, datetime(1960, 1, 1)]),
            "list": pa.array([["a", None], None, [], ["bc"]]),
            "struct": pa.array([{"x": 1, "y": ["q"]}, None, {"x": None, "y": None}, {"x": 2, "y": []}]),
            "none": pa.nulls(4),
        }
    )


def test_chunks_slices_and_encodings_do_not_matter() -> None:
    table = make_table()
    expected = table_sha256(table)
    assert table_sha256(pa.concat_tables([table.slice(0, 1), table.slice(1, 0), table.slice(1)])) == expected
    assert table_sha256(pa.concat_tables([table, table]).slice(4)) == expected
    other = table.set_column(0, "text", table["text"].dictionary_encode())
    other = other.set_column(2, "int", table["int"].cast(pa.uint64(), safe=False).cast(pa.int64(), safe=False))
    other = other.set_column(6, "list", table["list"].cast(pa.large_list(pa.large_string())))
    assert table_sha256(other) == expected
    assert table_sha256(table.replace_schema_metadata({"note": "x"})) == expected


def test_bytes_behind_nulls_do_not_matter() -> None:
    clean = pa.array(["a", None, "c"])
    validity, offsets, _ = clean.buffers()
    dirty_offsets = pa.array([0, 1, 8, 9], pa.int32()).buffers()[1]
    dirty = pa.Array.from_buffers(pa.string(), 3, [validity, dirty_offsets, pa.py_buffer(b"agarbagec")])
    assert offsets.to_pybytes() != dirty_offsets.to_pybytes()
    assert dirty.to_pylist() == clean.to_pylist()
    assert table_sha256(pa.table({"x": dirty})) == table_sha256(pa.table({"x": clean}))
    listed = [pa.ListArray.from_arrays(pa.array([0, None, 3]), pa.array([1, 2, last])) for last in (3, 3)]
    assert table_sha256(pa.table({"x": listed[0]})) == table_sha256(pa.table({"x": listed[1]}))
    numbers = [pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.array([5, last]).buffers()[1]])
               for last in (7, 8)]  # fmt: skip
    assert table_sha256(pa.table({"x": numbers[0]})) == table_sha256(pa.table({"x": numbers[1]}))


@pytest.mark.parametrize(
    "changed",
    [
        {"x": ["a", "bc"]}, {"x": ["ab", None]}, {"x": ["ab", ""]}, {"y": ["ab", "c"]}, {"x": [b"ab", b"c"]},
        {"x": ["ab", "c", None]}, {"x": [["ab"], ["c"]]}, {"x": ["c", "ab"]},
    ],
)  # fmt: skip
def test_every_change_of_meaning_changes_the_hash(changed: dict[str, list[object]]) -> None:
    assert table_sha256(pa.table(changed)) != table_sha256(pa.table({"x": ["ab", "c"]}))


def test_where_a_list_ends_matters() -> None:
    one, two = [[["a"], ["b", "c"]], [["a", "b"], ["c"]]]
    assert table_sha256(pa.table({"x": one})) != table_sha256(pa.table({"x": two}))


def test_a_golden_hash_and_empty_tables() -> None:
    """Index hashes, plan ids and exports' hashes rest on these."""
    assert table_sha256(pa.table({"id": ["a", None], "n": [1, 2]})) == (
        "ec549cc6ebbc1d575868738652e097f23f1ce73831808868352975cc661ad6bb"
    )
    assert table_sha256(INDEX.empty_table()) == table_sha256(INDEX.empty_table().combine_chunks())


def test_unknown_types_are_refused() -> None:
    with pytest.raises(TypeError, match="map<string, int64> has no logical form"):
        table_sha256(pa.table({"x": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}))
