from __future__ import annotations

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from hfbucket.core.meta import clean_text
from hfbucket.core.workspace.texts import cleaned

pieces = st.sampled_from(
    [b"", b"a cat", b" ", b"\0", b"\n", b"\xff", b"\xfe", b"\xef\xbb\xbf", b"\x1f", b"\x1b"]
    + [char.encode() for char in "\u0085\u00a0\u1680\u2003\u2028\u202f\u205f\u3000é猫😀"]
)  # fmt: skip
texts = st.lists(st.none() | st.lists(pieces, max_size=5).map(b"".join) | st.binary(max_size=6), max_size=8)


@given(texts, st.integers(0, 3))
@example([b"fine", None, b""], 1)
@example([], 0)
def test_many_texts_are_cleaned_as_each_alone(values: list[bytes | None], skipped: int) -> None:
    array = pa.array(values, pa.binary())[skipped:]
    clean, repaired = cleaned(array)
    expected = [(None, False) if value is None else clean_text(value) for value in values[skipped:]]
    assert clean.type == pa.string()
    assert list(zip(clean.to_pylist(), repaired.tolist(), strict=True)) == expected


def test_every_white_space_is_seen() -> None:
    spaces = [chr(code) for code in range(0x110000) if chr(code).isspace()]
    clean, _ = cleaned(pa.array([f"{space}x{space}" for space in spaces]))
    assert set(clean.to_pylist()) == {"x"}
