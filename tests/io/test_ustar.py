"""Shards are written byte by byte as the format says, and read by everybody."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from hfbucket.errors import FormatError
from hfbucket.io.ustar import END, ShardWriter, header, padding, read_members
from tests.limits import no_file_larger_than

KEY = "509b0d4641a7c3ba088ffa28559d1f57"

GOLDEN = (
    b"509b0d4641a7c3ba088ffa28559d1f57.jpg" + bytes(64)
    + b"0000644\0" b"0000000\0" b"0000000\0" b"00000000017\0" b"00000000000\0" b"012751\0 " b"0"
    + bytes(100)
    + b"ustar\0" b"00"
    + bytes(247)
)  # fmt: skip

MEMBERS = {f"{KEY}.jpg": b"\xff\xd8" * 400, f"{KEY}.txt": b"a caption\n", f"{KEY}.json": b"{}", "empty.txt": b""}


def write(path: Path, members: dict[str, bytes] = MEMBERS) -> dict[str, int]:
    with ShardWriter(path) as shard:
        offsets = {name: shard.add(name, data) for name, data in members.items()}
        size_bytes, sha256 = shard.finish()
    assert size_bytes == path.stat().st_size
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    return offsets


def test_golden_header() -> None:
    assert header(f"{KEY}.jpg", 15) == GOLDEN


@pytest.mark.parametrize("size_bytes", [0, 1, 511, 512, 8**11 - 1])
def test_header_is_what_tarfile_reads(size_bytes: int) -> None:
    member = tarfile.TarInfo.frombuf(header("a.jpg", size_bytes), "utf-8", "strict")
    assert (member.name, member.size, member.mode, member.mtime) == ("a.jpg", size_bytes, 0o644, 0)
    assert (member.uid, member.gid, member.uname, member.isreg()) == (0, 0, "", True)


@pytest.mark.parametrize(("name", "size_bytes"), [("", 1), ("x" * 101, 1), ("a\0b", 1), ("a", 8**11), ("a", -1)])
def test_header_refuses(name: str, size_bytes: int) -> None:
    with pytest.raises(FormatError):
        header(name, size_bytes)


def test_round_trip(tmp_path: Path) -> None:
    offsets = write(tmp_path / "s.tar")
    data = (tmp_path / "s.tar").read_bytes()
    members = {name: data[offset : offset + size] for name, offset, size in read_members(data)}
    assert members == MEMBERS
    assert offsets == {name: offset for name, offset, _ in read_members(memoryview(data))}
    assert data.endswith(END)
    assert [path.name for path in tmp_path.iterdir()] == ["s.tar"]


def test_tarfile_and_gnu_tar_read_it(tmp_path: Path) -> None:
    write(tmp_path / "s.tar")
    with tarfile.open(tmp_path / "s.tar") as archive:
        read = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert read == MEMBERS
    listed = subprocess.run(["tar", "-tf", tmp_path / "s.tar"], check=True, capture_output=True, text=True)
    assert listed.stdout.split() == list(MEMBERS)
    assert listed.stderr == ""


def test_webdataset_reads_it(tmp_path: Path) -> None:
    tariterators = pytest.importorskip("webdataset.tariterators")
    write(tmp_path / "s.tar")
    with (tmp_path / "s.tar").open("rb") as stream:
        files = list(tariterators.tar_file_iterator(stream))
    assert {file["fname"]: file["data"] for file in files} == MEMBERS


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        write(tmp_path / "s.tar", {"a.jpg": b"1", "": b"2"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size_bytes", [1 << 10, 1 << 20, 3 << 20])
def test_a_disk_that_is_full_at_any_call_names_the_shard(tmp_path: Path, size_bytes: int) -> None:
    with no_file_larger_than(size_bytes), pytest.raises(OSError, match="File too large") as caught:
        write(tmp_path / "s.tar", {f"{number}.jpg": bytes(700_000) for number in range(5)})
    assert caught.value.filename == str(tmp_path / "s.tar")
    assert list(tmp_path.iterdir()) == []


def archive(**changes: int | str | bytes) -> bytes:
    """Return a tar of one member by tarfile, with some field set."""
    stream = io.BytesIO()
    info = tarfile.TarInfo("a.jpg")
    info.size = 3
    for name, value in changes.items():
        setattr(info, name, value)
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(b"abc"))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "must end in 1024 bytes"),
        ({"mtime": 1}, "field mtime must be b'00000000000', got b'00000000001'"),
        ({"mode": 0o600}, "field mode"),
        ({"uid": 5}, "field uid"),
        ({"type": tarfile.SYMTYPE, "size": 0, "linkname": "/etc/passwd"}, "field typeflag"),
    ],
)
def test_strict_reading_names_the_field(changes: dict[str, int | str | bytes], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        list(read_members(archive(**changes), where="s.tar"))


def test_lenient_reading_takes_other_writers_tars() -> None:
    assert list(read_members(archive(mtime=1.5, mode=0o600), strict=False)) == [("a.jpg", 512, 3)]  # type: ignore[arg-type]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("a.jpg")
        info.mtime = 1.5
        tar.addfile(info)
    assert [name for name, _, _ in read_members(stream.getvalue(), strict=False)] == ["a.jpg"]
    with pytest.raises(FormatError, match="no regular file"):
        list(read_members(archive(type=tarfile.SYMTYPE, size=0, linkname="x"), strict=False))


def test_damage_anywhere_in_headers_and_ends_is_found(tmp_path: Path) -> None:
    write(tmp_path / "s.tar")
    good = (tmp_path / "s.tar").read_bytes()
    places = [at for _, offset, _ in read_members(good) for at in range(offset - 512, offset)]
    for at in [*places, *range(len(good) - 1024, len(good))]:
        bad = bytearray(good)
        bad[at] ^= 1
        with pytest.raises(FormatError):
            list(read_members(bytes(bad)))


@pytest.mark.parametrize("cut", [0, 100, 512, 700, -1024, -512, -1])
def test_truncated(tmp_path: Path, cut: int) -> None:
    write(tmp_path / "s.tar")
    with pytest.raises(FormatError):
        list(read_members((tmp_path / "s.tar").read_bytes()[:cut]))


def test_padding() -> None:
    assert [padding(size) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]
