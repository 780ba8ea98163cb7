"""Which file a row of a metadata file names."""

from __future__ import annotations

import posixpath

from hypothesis import given
from hypothesis import strategies as st

from hfbucket.core.meta import raw_bytes
from hfbucket.sources.metadata_files import _below

NAMES = st.one_of(st.text(), st.text(alphabet="./a"))
FOLDERS = st.sampled_from([b"", b"a", b"a/b", b"..a", b"a/../b"])


@given(NAMES.filter(bool), FOLDERS)
def test_the_path_is_the_normal_one_or_none(name: str, folder: bytes) -> None:
    path = posixpath.normpath(posixpath.join(folder, raw_bytes(name)))
    leads_outside = path in (b".", b"..") or path.startswith((b"/", b"../"))
    assert _below(folder, name) == (None if leads_outside else path)
