"""Files are complete or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from hfbucket.io.atomic import remove_temporaries, replacing, temporary_name, write_bytes


def test_write_bytes_replaces_the_whole_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"long before")
    write_bytes(tmp_path / "a", b"now")
    assert (tmp_path / "a").read_bytes() == b"now"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"before")

    def fail() -> None:
        with replacing(tmp_path / "a") as temporary:
            temporary.write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert (tmp_path / "a").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_only_our_own_leftovers_are_removed(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    kept = [tmp_path / name for name in (".tmp", "a.tmp", ".a.tmp", ".a.12x.tmp", "below/.a.12.tmp")]
    for path in [*kept, temporary_name(tmp_path / "shard.tar")]:
        path.write_bytes(b"")
    remove_temporaries(tmp_path, tmp_path / "is not there")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
