"""A shard made of pieces of another is the one that would have been written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hfbucket.errors import FormatError
from hfbucket.io.shard_edit import ShardEdit
from hfbucket.io.ustar import BLOCK, END, ShardWriter, header, padding
from tests.limits import no_file_larger_than

member = st.tuples(st.binary(max_size=1300), st.sampled_from(["keep", "drop", "new"]), st.binary(max_size=600))


def write(path: Path, members: list[tuple[str, bytes]]) -> tuple[list[int], int, str]:
    with ShardWriter(path) as shard:
        offsets = [shard.add(name, data) for name, data in members]
        return offsets, *shard.finish()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(members=st.lists(member, max_size=8))
def test_like_written_at_once(tmp_path: Path, members: list[tuple[bytes, str, bytes]]) -> None:
    named = [(f"{number}.bin", *rest) for number, rest in enumerate(members)]
    old, new, expected = tmp_path / "old.tar", tmp_path / "new.tar", tmp_path / "expected.tar"
    starts, _, sha256 = write(old, [(name, data) for name, data, _, _ in named])
    wanted = [(name, other if what == "new" else data) for name, data, what, other in named if what != "drop"]
    offsets = []
    with ShardEdit(old, new) as shard:
        for (name, data, what, other), at in zip(named, starts, strict=True):
            if what == "keep":
                offsets.append(shard.keep(at - BLOCK, at + len(data) + padding(len(data))))
            elif what == "new":
                offsets.append(shard.add(name, other))
        got = shard.finish(sha256=sha256)
    assert (offsets, *got) == write(expected, wanted)
    assert new.read_bytes() == expected.read_bytes()


def test_large_pieces(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8192
    starts, _, sha256 = write(tmp_path / "old.tar", [("a", data), ("b", data[::-1]), ("c", data)])
    with ShardEdit(tmp_path / "old.tar", tmp_path / "new.tar") as shard:
        shard.keep(starts[1] - BLOCK, starts[2] + len(data))
        size_bytes, new_sha256 = shard.finish(sha256=sha256)
    expected = header("b", len(data)) + data[::-1] + header("c", len(data)) + data + END
    assert (tmp_path / "new.tar").read_bytes() == expected
    assert (size_bytes, new_sha256) == (len(expected), hashlib.sha256(expected).hexdigest())


@pytest.mark.parametrize("kept", [True, False])
def test_a_full_disk_names_the_new_shard(tmp_path: Path, kept: bool) -> None:
    data = bytes(1 << 20)
    starts, _, sha256 = write(tmp_path / "old.tar", [("a", data)])
    with ShardEdit(tmp_path / "old.tar", tmp_path / "new.tar") as shard, no_file_larger_than(1 << 16):
        if kept:
            shard.keep(starts[0] - BLOCK, starts[0] + len(data))
        else:
            shard.add("a", data)
        with pytest.raises(OSError, match="File too large") as caught:
            shard.finish(sha256=sha256)
    assert caught.value.filename == str(tmp_path / "new.tar")


def keep(old: Path, start: int, stop: int, sha256: str) -> None:
    with ShardEdit(old, old.with_name("new.tar")) as shard:
        shard.keep(start, stop)
        shard.finish(sha256=sha256)


@pytest.mark.parametrize("kept", [True, False])
def test_damage_gets_no_hash_of_its_own(tmp_path: Path, kept: bool) -> None:
    old = tmp_path / "old.tar"
    starts, size_bytes, sha256 = write(old, [("a", b"x" * 1000), ("b", b"y" * 1000)])
    data = bytearray(old.read_bytes())
    data[starts[0] + 5] ^= 1
    old.write_bytes(data)
    with pytest.raises(FormatError, match="the shard is damaged"):
        keep(old, 0 if kept else starts[1] - BLOCK, size_bytes - len(END), sha256)
    assert not (tmp_path / "new.tar").exists()


def test_a_truncated_shard(tmp_path: Path) -> None:
    old = tmp_path / "old.tar"
    _, size_bytes, sha256 = write(old, [("a", b"x" * 1000)])
    old.write_bytes(old.read_bytes()[:1000])
    with pytest.raises(OSError, match="the file ends"):
        keep(old, 0, size_bytes - len(END), sha256)
    assert not (tmp_path / "new.tar").exists()
