"""The header loop: what it reads, and that what is damaged ends in words and not in wrong samples."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import fsspec
import pytest
import webdataset

from hfbucket.errors import FormatError
from hfbucket.load.plan import ShardRef
from hfbucket.load.shards import RawSample, read_samples
from tests.factories import tar_bytes, tar_header

SAMPLES = [
    RawSample(f"{number:032x}", {"jpg": bytes([number]) * (500 + number * 13), "txt": b"words\n", "json": b'{"a":1}'})
    for number in range(4)
]


def members(samples: list[RawSample]) -> list[tuple[str, bytes]]:
    return [(f"{key}.{extension}", data) for key, parts in samples for extension, data in parts.items()]


def ref_to(url: str | Path, *, count: int | None = 4, start: int = 0, stop: int | None = None) -> ShardRef:
    return ShardRef(
        file="buckets/b/shard-00000.tar", url=str(url), bucket_id="b", width_px=1, height_px=1, count=count,
        start=start, stop=stop,
    )  # fmt: skip


def no_remote(url: str, start: int) -> BinaryIO:
    raise AssertionError(url)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "shard-00000.tar"
    path.write_bytes(tar_bytes(members(SAMPLES)))
    return path


def test_reads_what_was_written(shard: Path) -> None:
    assert list(read_samples(ref_to(shard), no_remote)) == SAMPLES


def test_images_can_be_passed_over(shard: Path) -> None:
    without = [RawSample(key, {**parts, "jpg": b""}) for key, parts in SAMPLES]
    assert list(read_samples(ref_to(shard), no_remote, image=False)) == without


class OneWay(io.RawIOBase):
    """What a server sends: read once, from the first byte to the last."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(min(size, 700))  # what has come, not what was asked for

    def seekable(self) -> bool:
        return True  # so says the Hub's, too

    def seek(self, offset: int, whence: int = 0) -> int:
        raise ValueError("Cannot seek streaming HF file")


@pytest.mark.parametrize("image", [True, False])
def test_reads_a_stream_that_cannot_seek(shard: Path, image: bool) -> None:
    asked = []

    def opened(url: str, start: int) -> BinaryIO:
        asked.append((url, start))
        return OneWay(shard.read_bytes())  # type: ignore[return-value]

    samples = list(read_samples(ref_to("hf://somewhere"), opened, image=image))
    assert [(key, parts["txt"], parts["json"]) for key, parts in samples] == [
        (key, parts["txt"], parts["json"]) for key, parts in SAMPLES
    ]
    assert asked == [("hf://somewhere", 0)]


def test_reads_a_run_of_samples(shard: Path) -> None:
    sizes = [len(tar_bytes(members([sample]))) - 1024 for sample in SAMPLES]
    second, fourth = sizes[0], sum(sizes[:3])
    assert list(read_samples(ref_to(shard, count=2, start=second, stop=fourth), no_remote)) == SAMPLES[1:3]
    fsspec.filesystem("memory").pipe_file("/shard.tar", shard.read_bytes())
    remote = ref_to("memory://shard.tar", count=1, start=fourth)
    asked = []

    def opened(url: str, start: int) -> BinaryIO:
        asked.append(start)
        file: BinaryIO = fsspec.open(url).open()
        file.seek(start)
        return file

    assert list(read_samples(remote, opened)) == SAMPLES[3:]
    assert asked == [fourth]


@pytest.mark.parametrize("cut", [1, 511, 512, 513, 700, 1024, 1500, 2048, 2560, 3000, 5000])
def test_a_shard_that_breaks_off_is_an_error(shard: Path, cut: int) -> None:
    shard.write_bytes(shard.read_bytes()[:cut])
    with pytest.raises(FormatError, match=r"^buckets/b/shard-00000.tar, byte \d+: the shard ends before its archive"):
        list(read_samples(ref_to(shard, count=None), no_remote))
    with pytest.raises(FormatError, match="the shard ends before its archive"):
        list(read_samples(ref_to(shard, count=None), no_remote, image=False))


def test_an_empty_file_is_an_error(shard: Path) -> None:
    shard.write_bytes(b"")
    with pytest.raises(FormatError, match="byte 0: the shard ends before"):
        list(read_samples(ref_to(shard), no_remote))


def test_too_few_samples_are_an_error(shard: Path) -> None:
    shard.write_bytes(tar_bytes(members(SAMPLES[:3])))
    with pytest.raises(FormatError, match="must hold 4 samples as the manifest says, got 3; run `hfbucket verify`"):
        list(read_samples(ref_to(shard), no_remote))


def test_a_missing_shard_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"shard-00000\.tar: no such file at .*; the export is not complete"):
        list(read_samples(ref_to(tmp_path / "none.tar"), no_remote))


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x5A]) + data[at + 1 :]


@pytest.mark.parametrize("at", [120, 126, 135, 150, 156, 200, 260, 300, 511])
def test_a_damaged_header_is_an_error_or_changes_nothing(shard: Path, at: int) -> None:
    shard.write_bytes(flip(shard.read_bytes(), len(tar_bytes(members(SAMPLES[:1]))) - 1024 + at))
    samples: list[RawSample] = []
    with suppress(FormatError):
        samples = list(read_samples(ref_to(shard), no_remote))
    assert samples in ([], SAMPLES)


def by_tarfile(path: Path, format: int) -> None:
    with tarfile.open(path, "w", format=format) as archive:
        for name, data in members(SAMPLES):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1.5 if format == tarfile.PAX_FORMAT else 1
            archive.addfile(info, io.BytesIO(data))


def by_webdataset(path: Path) -> None:
    with webdataset.TarWriter(str(path)) as writer:
        for key, parts in SAMPLES:
            writer.write({"__key__": key, **parts})


@pytest.mark.parametrize(
    "write",
    [
        lambda path: by_tarfile(path, tarfile.USTAR_FORMAT),
        lambda path: by_tarfile(path, tarfile.GNU_FORMAT),
        lambda path: by_tarfile(path, tarfile.PAX_FORMAT),
        by_webdataset,
    ],
    ids=["ustar", "gnu", "pax", "webdataset"],
)
def test_reads_what_other_software_writes(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "other.tar")
    for ref in (ref_to(tmp_path / "other.tar"), ref_to(f"file://{tmp_path}/other.tar")):
        read = list(read_samples(ref, lambda url, _: OneWay(Path(url[7:]).read_bytes())))  # type: ignore[arg-type,return-value]
        assert [(key, dict(sorted(parts.items()))) for key, parts in read] == [
            (key, dict(sorted(parts.items()))) for key, parts in SAMPLES
        ]


def test_folders_in_foreign_shards_are_passed_over(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        folder = tarfile.TarInfo("set")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        info = tarfile.TarInfo("set/one.txt")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"a\n"))
    read = list(read_samples(ref_to(tmp_path / "other.tar", count=1), no_remote))
    assert read == [RawSample("set/one", {"txt": b"a\n"})]


def test_links_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        link = tarfile.TarInfo("key.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(FormatError, match=r"key.jpg is a link or device, which no shard may hold"):
        list(read_samples(ref_to(tmp_path / "other.tar"), no_remote))


def test_what_is_no_tar_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.tar").write_bytes(b"<html>" * 500)
    with pytest.raises(FormatError, match=r"byte 0: no tar header where one must stand \(.*\); run `hfbucket verify`"):
        list(read_samples(ref_to(tmp_path / "page.tar"), no_remote))


def test_a_name_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    block = bytearray(tar_header("abcd.jpg", 0))
    block[0] = 0xFF
    (tmp_path / "s.tar").write_bytes(bytes(block) + bytes(1024))
    with pytest.raises(FormatError, match="byte 0: a damaged tar header"):
        list(read_samples(ref_to(tmp_path / "s.tar"), no_remote))
