from __future__ import annotations

import pyarrow as pa
import pytest

from hfbucket.config import DEFAULT_VARIANTS
from hfbucket.core.keys import digest_of, key_of
from hfbucket.core.workspace.rows import images_of_index, own_names, own_of_index, texts_of_samples
from hfbucket.schemas import INDEX, SAMPLES

LISTS = [["x", None, "y"], None, [None, " ", "side"], ["", "b"], [], ["\n", None, None], ["last", "two", "three"]]
PAIRS = [
    [("caption", "c"), ("text", "t")],
    None,
    [("mine", "m"), ("sidecar", "s")],
    [],
    [("caption", " "), ("text", "t")],
]


def chunks(values: list[object], kind: pa.DataType) -> list[pa.ChunkedArray]:
    """The same values whole, in pieces, and as a slice of more."""
    whole = pa.array(values, kind)
    more = pa.array([values[0], *values, values[0]], kind)
    return [pa.chunked_array([whole]), pa.chunked_array([whole[:2], whole[2:]]), pa.chunked_array([more[1:-1]])]


@pytest.mark.parametrize("captions", chunks(list(LISTS), INDEX.field("captions").type))
def test_the_first_of_the_usual_places_is_the_original(captions: pa.ChunkedArray) -> None:
    (found,) = own_of_index(captions, DEFAULT_VARIANTS)
    assert found.variant == "original"
    assert found.captions.to_pylist() == ["x", None, "side", "b", None, None, "last"]


@pytest.mark.parametrize("captions", chunks(list(LISTS), INDEX.field("captions").type))
def test_named_columns_keep_their_names(captions: pa.ChunkedArray) -> None:
    first, second = own_of_index(captions, ("a", "b"))
    assert (first.variant, second.variant) == ("a", "b")
    assert first.captions.to_pylist() == ["x", None, None, None, None, None, "last"]
    assert second.captions.to_pylist() == [None, None, None, "b", None, None, "two"]


@pytest.mark.parametrize(
    "captions",
    chunks([None if row is None else [{"variant": v, "text": t} for v, t in row] for row in PAIRS],
           SAMPLES.field("captions").type),
)  # fmt: skip
def test_captions_of_samples(captions: pa.ChunkedArray) -> None:
    found = {t.variant: t.captions.to_pylist() for t in texts_of_samples(captions, ["mine"], DEFAULT_VARIANTS)}
    assert found == {"original": ["c", None, "s", None, "t"], "mine": [None, None, "m", None, None]}
    found = {
        t.variant: t.captions.to_pylist() for t in texts_of_samples(captions, ["text", "mine"], ("caption", "text"))
    }
    assert list(found) == ["caption", "text", "mine"]
    assert found["text"] == ["t", None, None, None, "t"]


def test_whose_the_variants_of_an_export_are() -> None:
    assert own_names(["caption", "text", "sidecar"], DEFAULT_VARIANTS) == DEFAULT_VARIANTS
    assert own_names(["mine", "original"], DEFAULT_VARIANTS) == ("original",)
    assert own_names(["mine", "short"], ("short",)) == ("short",)


def test_no_rows_at_all() -> None:
    empty = INDEX.empty_table()
    assert images_of_index(empty, source="s", kind="file", root=b"/").num_rows == 0
    none = pa.table({name: pa.chunked_array([], INDEX.field(name).type) for name in INDEX.names})
    assert images_of_index(none, source="s", kind="tar", root=b"/x.tar").num_rows == 0
    assert len(own_of_index(none["captions"], DEFAULT_VARIANTS)[0].captions) == 0


def test_keys_are_the_first_half_of_the_digests() -> None:
    ids = ["a", "b", "c"]
    digests = pa.chunked_array([pa.array([digest_of(name) for name in ids], pa.binary(32))[1:]])
    columns = {name: pa.nulls(2, INDEX.field(name).type) for name in INDEX.names}
    columns |= {"image_id": ids[1:], "member": ids[1:], "digest": digests, "offset": [0, 1], "size_bytes": [1, 1]}
    found = images_of_index(pa.table(columns), source="s", kind="tar", root=b"/x.tar")
    assert found["key"].to_pylist() == [key_of(digest_of(name)) for name in ids[1:]]
