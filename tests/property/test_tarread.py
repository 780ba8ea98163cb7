"""Tars that tarfile writes read as tarfile reads them; damaged ones end in words, never in a foreign exception."""

from __future__ import annotations

import gzip
import io
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from hfbucket.errors import SourceError
from hfbucket.io.tarread import ForwardFile, members
from tests.sources.drawn import tar

_PART = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=60)
_NAMES = st.lists(_PART.filter(lambda part: part not in (".", "..")), min_size=1, max_size=4).map("/".join)
_FILES = st.lists(st.tuples(_NAMES, st.binary(max_size=1500)), max_size=6)
_KINDS = st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


class _Buffer:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size_bytes: int | None = len(data)

    def pread(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]


def _read(data: bytes, packed: bool) -> tuple[list[tuple[bytes, bytes]], list[str]]:
    notes: list[str] = []
    file = ForwardFile(io.BytesIO(data)) if packed else _Buffer(data)
    found = [(member, file.pread(member.offset, member.size_bytes)) for member in members(file, notes)]
    return [(member.name, data) for member, data in found if member.is_file], notes


@given(files=_FILES, kind=_KINDS, packed=st.booleans())
@settings(max_examples=60)
def test_every_tar_reads_as_tarfile_reads_it(files: list[tuple[str, bytes]], kind: int, packed: bool) -> None:
    data = tar(files, kind=kind)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        wanted = [(member.name.encode(), archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]
    assert _read(gzip.compress(data, 1) if packed else data, packed) == (wanted, [])


@given(at=st.integers(0, 5 * 512), byte=st.integers(0, 255), cut=st.integers(0, 12_000), packed=st.booleans())
@settings(max_examples=100)
def test_damage_never_raises_anything_else(at: int, byte: int, cut: int, packed: bool) -> None:
    data = bytearray(tar([("é" * 80, b"a" * 700), ("b.jpg", b"b")], kind=tarfile.PAX_FORMAT))
    if packed:
        data = bytearray(gzip.compress(data, 1))
    data[at % len(data)] = byte
    try:
        files, _ = _read(bytes(data[:cut]), packed)
    except SourceError:
        return
    assert len(files) <= 3
