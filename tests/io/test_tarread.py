from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from hfbucket.errors import SourceError
from hfbucket.io.tarread import BLOCK, ForwardFile, Member, is_gzip, members, open_tar
from tests.sources.drawn import odd, tar

LONG = "folder/" * 40 + "name-that-is-long.jpg"
KINDS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def _read(path: Path, data: bytes) -> tuple[list[tuple[str, bytes]], list[Member], list[str]]:
    path.write_bytes(data)
    notes: list[str] = []
    with open_tar(str(path)) as file:
        found = [(member, file.pread(member.offset, member.size_bytes)) for member in members(file, notes)]
    return [(m.name.decode(), data) for m, data in found if m.is_file], [m for m, _ in found if not m.is_file], notes


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("kind", KINDS)
def test_files_of_every_tar_format_are_found(tmp_path: Path, kind: int, mode: str) -> None:
    wanted = [("a.jpg", b"1" * 513), ("d/é.b.txt", b""), ("./x.json", b"{}"), ("b.jpg", b"2" * 1024)]
    if kind != tarfile.USTAR_FORMAT:
        wanted.insert(1, (LONG, b"long"))
    files, others, notes = _read(tmp_path / "a.tar", tar(wanted, kind=kind, mode=mode))
    assert files == [(name.removeprefix("./"), data) for name, data in wanted]
    assert (others, notes) == ([], [])


def test_a_ustar_prefix_is_part_of_the_name(tmp_path: Path) -> None:
    name = "p" * 90 + "/" + "n" * 90
    files, _, _ = _read(tmp_path / "a.tar", tar([(name, b"x")], kind=tarfile.USTAR_FORMAT))
    assert files == [(name, b"x")]


def test_links_devices_and_climbing_names_are_no_files(tmp_path: Path) -> None:
    data = tar(
        [
            odd("folder", tarfile.DIRTYPE), odd("a.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            odd("b.jpg", tarfile.LNKTYPE, "c.jpg"), odd("c.jpg", tarfile.CHRTYPE), odd("d.jpg", tarfile.FIFOTYPE),
            ("/etc/e.jpg", b"e"), ("../f.jpg", b"f"), ("g/../../h.jpg", b"h"), ("ok.jpg", b"ok"),
        ]
    )  # fmt: skip
    files, others, notes = _read(tmp_path / "a.tar", data)
    assert files == [("ok.jpg", b"ok")]
    assert len(others) == 8
    assert notes == []


def test_sizes_in_base_256_are_read(tmp_path: Path) -> None:
    data = bytearray(tar([("a.jpg", b"abc"), ("b.jpg", b"d")], kind=tarfile.GNU_FORMAT))
    data[124:136] = b"\x80" + (3).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    files, _, notes = _read(tmp_path / "a.tar", bytes(data))
    assert files == [("a.jpg", b"abc"), ("b.jpg", b"d")]
    assert notes == []


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_what_is_whole_before_a_cut_is_used_and_the_rest_named(tmp_path: Path, mode: str) -> None:
    data = tar([("a.jpg", b"a" * 600), ("b.jpg", b"b" * 600)])
    cut = data[: 512 + 1024 + 512 + 300]
    files, _, notes = _read(tmp_path / "a.tar", gzip.compress(cut) if mode == "w:gz" else cut)
    assert files == [("a.jpg", b"a" * 600), ("b.jpg", b"b" * 300)]
    assert notes == ["ends inside member b.jpg"]


@pytest.mark.parametrize(
    ("size", "note"),
    [
        (1536, "has no end mark: it may have been cut off"),
        (1700, "ends inside a header"),
        (0, "is no tar: it has 0 bytes, fewer than the 512 of a tar's header; fetch it again"),
        (511, "is no tar: it has 511 bytes, fewer than the 512 of a tar's header; fetch it again"),
    ],
)
def test_a_tar_that_ends_too_early_says_so(tmp_path: Path, size: int, note: str) -> None:
    data = tar([("a.jpg", b"a" * 600), ("b.jpg", b"b" * 600)])
    files, _, notes = _read(tmp_path / "a.tar", data[:size])
    assert [name for name, _ in files] == (["a.jpg"] if size > BLOCK else [])
    assert notes == [note]


def test_a_gzip_stream_that_is_cut_or_damaged_says_so(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(tar([("a.jpg", bytes(range(256)) * 400), ("b.jpg", b"b")]), 0))
    files, _, notes = _read(tmp_path / "a.tar", bytes(packed[:50_000]))
    assert [name for name, _ in files] == ["a.jpg"]
    assert notes == ["ends inside member a.jpg"]
    packed[-6] ^= 0xFF  # its checksum
    files, _, notes = _read(tmp_path / "b.tar", bytes(packed))
    assert [name for name, _ in files] == ["a.jpg", "b.jpg"]


def test_damage_inside_stops_and_says_where(tmp_path: Path) -> None:
    data = bytearray(tar([("a.jpg", b"a"), ("b.jpg", b"b")]))
    data[1024 + 3] ^= 0xFF
    files, _, notes = _read(tmp_path / "a.tar", bytes(data))
    assert [name for name, _ in files] == ["a.jpg"]
    assert notes == ["is damaged at byte 1024: the rest is not used"]


def test_a_name_of_absurd_length_is_damage(tmp_path: Path) -> None:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 21
    data = tar([("a.jpg", b"a")])[:1024] + member.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 21)
    files, _, notes = _read(tmp_path / "a.tar", data)
    assert [name for name, _ in files] == ["a.jpg"]
    assert notes == ["is damaged at byte 1536 (a name of 2097152 bytes): the rest is not used"]


def test_a_tar_behind_a_tar_is_named(tmp_path: Path) -> None:
    data = tar([("a.jpg", b"a")])[:2048] + tar([("b.jpg", b"b")])
    files, _, notes = _read(tmp_path / "a.tar", data)
    assert [name for name, _ in files] == ["a.jpg"]
    assert notes == ["goes on after its end mark at byte 1024: what follows is not used"]


@pytest.mark.parametrize("data", [b"no tar " * 200, b"\x89PNG\r\n" + bytes(2000), gzip.compress(b"x" * 3000, mtime=0)])
def test_what_is_no_tar_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(SourceError, match="is no tar"):
        _read(tmp_path / "a.tar", data)


@pytest.mark.parametrize(("mode", "name"), [("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_other_compressions_are_named(tmp_path: Path, mode: str, name: str) -> None:
    with pytest.raises(SourceError, match=f"compressed with {name}, which is not read: unpack it first"):
        _read(tmp_path / "a.tar", tar([("a.jpg", b"a")], mode=mode))


def test_gzip_is_seen_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(gzip.compress(b"x"))
    (tmp_path / "b.tgz").write_bytes(b"x")
    assert is_gzip(str(tmp_path / "a.tar"))
    assert not is_gzip(str(tmp_path / "b.tgz"))


def test_reading_forward_skips_and_rereads_what_it_keeps() -> None:
    file = ForwardFile(io.BytesIO(gzip.compress(bytes(range(200)) * 10)))
    assert file.pread(0, 4) == b"\0\1\2\3"
    assert file.pread(2, 4) == b"\2\3\4\5"
    assert file.pread(3, 1) == b"\3"
    assert file.pread(1999, 10) == b"\xc7"
    assert file.pread(5000, 10) == b""


def test_every_cut_of_a_tar_reads_without_harm(tmp_path: Path) -> None:
    data = tar([(LONG, b"a" * 600), ("b.jpg", b"b")], kind=tarfile.PAX_FORMAT)
    for size in range(0, len(data), 97):
        if size and size < 512:
            continue
        files, _, _ = _read(tmp_path / "a.tar", data[:size])
        assert all(name in (LONG, "b.jpg") for name, _ in files)
