"""Keys as bytes, against Python's own sets."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.key_sets import from_hex, is_among, keys_of, places, to_hex, values_of
from hfbucket.core.keys import digest_of, key_of

# Bytes of 0 at either end, and values that begin alike.
values = st.builds(lambda head, fill, tail: head + fill * (4 - len(head) - len(tail)) + tail,
                   st.binary(max_size=2), st.sampled_from([b"\0", b"a"]), st.binary(max_size=2))  # fmt: skip


@given(asked=st.lists(values), among=st.lists(values))
def test_places(asked: list[bytes], among: list[bytes]) -> None:
    ascending = sorted(among)
    found = places(values_of(b"".join(asked), 4), np.sort(values_of(b"".join(among), 4)))
    assert found.tolist() == [ascending.index(value) if value in among else -1 for value in asked]
    assert is_among(values_of(b"".join(asked), 4), values_of(b"".join(ascending), 4)).tolist() == [
        value in among for value in asked
    ]


@given(names=st.lists(st.text(st.characters(codec="utf-8"))))
def test_keys_of_image_ids(names: list[str]) -> None:
    keys = keys_of(pa.chunked_array([names[:1], names[1:]], pa.string()))
    assert to_hex(keys).to_pylist() == [key_of(digest_of(name)) for name in names]
    assert from_hex(pa.chunked_array([to_hex(keys)])).tobytes() == keys.tobytes()
