"""JSON of any size, record by record."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.errors import SourceError
from hfbucket.sources.annotations import json_items as module
from hfbucket.sources.annotations.json_items import json_items

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=6)


class Small(io.StringIO):
    """A file that gives a few characters at a time."""

    def read(self, size: int | None = -1) -> str:
        return super().read(random.Random(self.tell()).randint(1, 7))


def items(text: str) -> list[tuple[str, Any]]:
    whole = list(json_items(io.StringIO(text), "f.json"))
    assert list(json_items(Small(text), "f.json")) == whole
    return whole


@given(RECORDS, st.sampled_from([None, 2]))
def test_a_list(records: list[dict[str, Any]], indent: int | None) -> None:
    assert items(json.dumps(records, indent=indent)) == [("", record) for record in records]


@given(RECORDS, RECORDS, st.booleans())
def test_an_object_with_lists(records: list[Any], images: list[Any], first: bool) -> None:
    lists = {"images": images, "annotations": records}
    whole = {"info": {"n": 1}, "licenses": [1, [2]], **(lists if first else dict(reversed(lists.items()))), "z": 3}
    found = items(json.dumps(whole))
    assert [item for name, item in found if name == "annotations"] == records
    assert [item for name, item in found if name == "images"] == images


@given(st.lists(st.dictionaries(st.sampled_from(["a", "images", "annotations"]), VALUES), min_size=2, max_size=5))
def test_objects_line_by_line(records: list[dict[str, Any]]) -> None:
    text = "\n".join(json.dumps(record) for record in records) + "\n\n"
    assert items(text) == [("", record) for record in records]


def test_one_record_alone() -> None:
    assert items('{"file_name": "a.jpg", "captions": ["x"]}') == [("", {"file_name": "a.jpg", "captions": ["x"]})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"text"', "f.json: line 1 must be a JSON list, an object with the list 'annotations', or one object a line"),
        ('[{"a": 1},\n{"a": 2', "f.json: line 2 is no JSON: "),
        ('{"annotations": [\n{"a": 1}\n', r"f.json: line 3 must have '\]' here, got ''"),
        ('[1, 2] x', "f.json: line 1 goes on after its end"),
        ('{"a": 1}\n{"a": }\n', "f.json: line 2 is no JSON: Expecting value"),
        ("[" + "1" * 5000 + "]", "f.json: line 1 cannot be read: Exceeds the limit"),
        ("[" * 100_000, "f.json: line 1 is nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_named(text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        list(json_items(io.StringIO(text), "f.json"))


def test_a_record_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_CHARACTERS", 1000)
    monkeypatch.setattr(module, "_PIECE", 100)
    assert len(items(json.dumps([{"a": "x" * 100}] * 100))) == 100
    with pytest.raises(SourceError, match="has a record of more than 1,000 characters, or is no JSON"):
        list(json_items(io.StringIO(json.dumps([{"a": "x" * 5000}])), "f.json"))
