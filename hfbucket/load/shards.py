"""Shards as raw samples: a loop over tar headers, several times faster than tarfile.

A shard is read from its first byte to its last through one buffered file. That is as fast as mapping it (both move
every byte once), holds for any store, and a file that shrinks under the reader ends in an error and not in a signal.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import BinaryIO, Final, NamedTuple, cast

from hfbucket.errors import FormatError
from hfbucket.io.ustar import BLOCK, header, padding
from hfbucket.load.plan import ShardRef

OpenRemote = Callable[[str, int], BinaryIO]
"""Opens a URL to be read forward from a byte on."""

IMAGE: Final = frozenset({"jpg", "jpeg", "png", "webp"})
"""Extensions of a sample's image; this package writes `jpg` only."""

_PLAIN: Final = header("x", 0)
_BEFORE_SIZE: Final = _PLAIN[100:124]
_AFTER_CHECKSUM: Final = _PLAIN[156:]
_SKIP_BYTES: Final = 1 << 20


class RawSample(NamedTuple):
    """The members of one sample by extension, undecoded; the image is empty where it was not asked for."""

    key: str
    members: dict[str, bytes]


def read_samples(ref: ShardRef, open_remote: OpenRemote, *, image: bool = True) -> Iterator[RawSample]:
    """Yield the samples of a shard in order.

    Args:
        image: with False the images' bytes are passed over.

    Raises:
        FormatError: the shard breaks off, is no tar, or has not as many samples as the manifest says.
    """
    count = 0
    with closing(_open(ref, open_remote)) as file:
        for sample in _grouped(_members(file, ref, image)):
            count += 1
            yield sample
    if ref.count is not None and count != ref.count:
        raise FormatError(
            f"must hold {ref.count} samples as the manifest says, got {count}; run `hfbucket verify` on the export",
            where=ref.file,
        )


def _open(ref: ShardRef, open_remote: OpenRemote) -> BinaryIO:
    if "://" in ref.url:
        try:
            return open_remote(ref.url, ref.start)
        except FileNotFoundError as error:
            raise _absent(ref) from error
    file = opened(ref)
    file.seek(ref.start)
    return file


def opened(ref: ShardRef) -> BinaryIO:
    """Return a shard that is a file of this machine, opened.

    Raises:
        FormatError: it is not there.
    """
    try:
        return open(ref.url, "rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise _absent(ref) from error


def _absent(ref: ShardRef) -> FormatError:
    return FormatError(f"no such file at {ref.url}; the export is not complete, fetch it again", where=ref.file)


def _members(file: BinaryIO, ref: ShardRef, image: bool) -> Iterator[tuple[str, bytes]]:
    """Yield name and data of the members from where the file stands to `ref.stop` or the end of the archive."""
    read, position = _reader(file, ref), ref.start
    while position != ref.stop:
        block = read(BLOCK)
        if len(block) < BLOCK:
            raise broken_off(ref, position + len(block))
        if block[0] == 0:
            return
        if block[100:124] != _BEFORE_SIZE or block[156:] != _AFTER_CHECKSUM:
            yield from _foreign_members(block, file, ref, position)
            return
        name, size = _name_and_size(block, ref, position)
        padded = size + padding(size)
        if image or name.rpartition(".")[2] not in IMAGE:
            data = read(size)
            if len(data) < size:
                raise broken_off(ref, position + BLOCK + len(data))
            read(padded - size)
        else:
            data = b""
            _skip(file, ref, padded)
        position += BLOCK + padded
        yield name, data


def _reader(file: BinaryIO, ref: ShardRef) -> Callable[[int], bytes]:
    """Return a function that reads so many bytes, fewer at the end only; streams from a server give what has come."""
    if "://" not in ref.url:
        return file.read

    def read(size: int) -> bytes:
        data = file.read(size)
        while len(data) < size and (more := file.read(size - len(data))):
            data += more
        return data

    return read


def _name_and_size(block: bytes, ref: ShardRef, position: int) -> tuple[str, int]:
    try:
        return block[:100].partition(b"\0")[0].decode("utf-8"), int(block[124:135], 8)
    except ValueError as error:
        raise FormatError(
            f"a damaged tar header ({error}); run `hfbucket verify` on the export", where=f"{ref.file}, byte {position}"
        ) from error


def _skip(file: BinaryIO, ref: ShardRef, size: int) -> None:
    if "://" not in ref.url:  # what the Hub sends in one run says that it can seek, and cannot
        file.seek(size, os.SEEK_CUR)
        return
    while size > 0 and (data := file.read(min(size, _SKIP_BYTES))):
        size -= len(data)


def _foreign_members(block: bytes, file: BinaryIO, ref: ShardRef, position: int) -> Iterator[tuple[str, bytes]]:
    """Yield members of an archive that other software wrote; `block` is the header that was read already."""
    try:
        with tarfile.open(fileobj=cast(BinaryIO, _Resumed(block, file)), mode="r|") as archive:
            for member in archive:
                if not (member.isreg() or member.isdir()):
                    raise FormatError(f"{member.name} is a link or device, which no shard may hold", where=ref.file)
                content = archive.extractfile(member)
                if content is not None:
                    yield member.name, content.read()
    except tarfile.TarError as error:
        raise FormatError(
            f"no tar header where one must stand ({error}); run `hfbucket verify` on the export",
            where=f"{ref.file}, byte {position}",
        ) from error


class _Resumed:
    """A file that begins with a block which was read from it already."""

    def __init__(self, block: bytes, file: BinaryIO) -> None:
        self._block = block
        self._file = file

    def read(self, size: int) -> bytes:
        block, self._block = self._block[:size], self._block[size:]
        return block + self._file.read(size - len(block))


def _grouped(members: Iterator[tuple[str, bytes]]) -> Iterator[RawSample]:
    """Yield one sample for every run of members whose names are equal up to the last dot."""
    key, sample = "", dict[str, bytes]()
    for name, data in members:
        stem, _, extension = name.rpartition(".")
        if not stem:
            continue
        if stem != key:
            if sample:
                yield RawSample(key, sample)
            key, sample = stem, {}
        sample[extension] = data
    if sample:
        yield RawSample(key, sample)


def broken_off(ref: ShardRef, position: int) -> FormatError:
    """Return the error of a shard that ends at a byte where more must follow."""
    return FormatError(
        "the shard ends before its archive does; fetch it again, or run `hfbucket verify` on the export",
        where=f"{ref.file}, byte {position}",
    )
