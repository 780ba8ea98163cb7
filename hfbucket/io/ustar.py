"""Shards: the tar files of an export, written and read by the byte (FORMAT section 1).

POSIX ustar, IEEE Std 1003.1-1988 section 10.1.1: a 512-byte header, the data, NULs up to the next multiple of 512;
two blocks of NULs end the archive. Only regular files; nothing of the machine that wrote them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from hfbucket.errors import FormatError
from hfbucket.io.atomic import sync_folder, temporary_name
from hfbucket.io.hashed_file import HashedFile

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
MAX_NAME_BYTES: Final = 100
MAX_MEMBER_BYTES: Final = 8**11 - 1
"""The largest size eleven octal digits can say."""

_CHECKSUM: Final = slice(148, 156)
_BLANKS: Final = b" " * 8
_BEFORE_SIZE: Final = b"0000644\0" + b"0000000\0" * 2  # mode, uid, gid
_MTIME: Final = b"0" * 11 + b"\0"
_AFTER_CHECKSUM: Final = b"0" + bytes(100) + b"ustar\0" + b"00" + bytes(247)
# typeflag, linkname, magic, version, then names, device and prefix that stay NUL
_PLAIN_SUM: Final = sum(_BEFORE_SIZE + _MTIME + _BLANKS + _AFTER_CHECKSUM)
_HEADER: Final = b"%b" + _BEFORE_SIZE + b"%b" + _MTIME + b"%06o\0 " + _AFTER_CHECKSUM


def header(name: str, size_bytes: int) -> bytes:
    """Return the 512-byte header of a regular file, the only kind a shard holds.

    Raises:
        FormatError: the name is empty or longer than 100 bytes, or the size needs more than eleven octal digits.
    """
    raw = name.encode("utf-8")
    if not raw or len(raw) > MAX_NAME_BYTES or b"\0" in raw:
        raise FormatError(f"a member's name must have 1 to {MAX_NAME_BYTES} bytes, no NUL, got {name!r}", where="tar")
    if not 0 <= size_bytes <= MAX_MEMBER_BYTES:
        raise FormatError(f"{name} has {size_bytes} bytes; a ustar member has at most {MAX_MEMBER_BYTES}", where="tar")
    size = b"%011o\0" % size_bytes
    return _HEADER % (raw.ljust(MAX_NAME_BYTES, b"\0"), size, sum(raw) + sum(size) + _PLAIN_SUM)


def padding(size_bytes: int) -> int:
    """Return how many NULs follow a member's data."""
    return -size_bytes % BLOCK


class ShardWriter:
    """Writes one shard under a temporary name; `finish` gives it its own. Leaving the block without it discards all.

    Raises:
        OSError: the disk is full, or the folder may not be written; names the shard.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = temporary_name(path)
        self._file = HashedFile(self._temporary, named=path)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.__exit__(*exception)
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def add(self, name: str, data: bytes) -> int:
        """Append one member and return the offset of its data in the shard, in bytes."""
        offset = self._file.size_bytes + BLOCK
        self._file.write(header(name, len(data)), data, bytes(padding(len(data))))
        return offset

    def take(self, members: bytes) -> None:
        """Append bytes of whole members as they lie in another shard; several calls may bring one member."""
        self._file.write(members)

    @property
    def size_bytes(self) -> int:
        """How long the shard is by now."""
        return self._file.size_bytes

    def end(self) -> None:
        """End the archive and begin to flush it to disk; nothing may be appended after, and `finish` is to follow."""
        self._file.write(END)
        self._file.end()

    def finish(self) -> tuple[int, str]:
        """See the archive end and on the disk, give it its name; return its size in bytes and its sha256 in hex."""
        if not self._file.is_ended:
            self.end()
        sha256 = self._file.finish()
        self._temporary.replace(self._path)
        sync_folder(self._path.parent)
        return self._file.size_bytes, sha256


def read_members(
    view: bytes | memoryview, *, strict: bool = True, where: str = "tar"
) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset of the data and size in bytes of every member of a whole shard, in order.

    Args:
        view: the shard, read or mapped.
        strict: every header must be the very bytes `header` gives, and the archive end in two zero blocks and nothing
            more. Otherwise what other writers of tars do is read: GNU and pax headers are passed over, padding allowed.
        where: names the shard in errors.

    Raises:
        FormatError: with the offset of the first byte that breaks the format.
    """
    end = len(view)
    position = 0
    while position + BLOCK <= end:
        block = bytes(view[position : position + BLOCK])
        if block[0] == 0 and not any(block):
            _check_end(view, position, strict, where)
            return
        name, size = _parse(block, position, where)
        if strict and block != header(name, size):
            raise FormatError(_difference(block, header(name, size), name), where=f"{where}, byte {position}")
        if position + BLOCK + size + padding(size) > end:
            raise FormatError(f"{name} needs {size} bytes, the file ends before", where=f"{where}, byte {position}")
        if block[156] in b"0\0":
            yield name, position + BLOCK, size
        elif strict or block[156] not in b"5xgL":
            raise FormatError(f"{name} is no regular file", where=f"{where}, byte {position}")
        position += BLOCK + size + padding(size)
    raise FormatError("the archive has no end: its two zero blocks are missing", where=f"{where}, byte {position}")


def _parse(block: bytes, position: int, where: str) -> tuple[str, int]:
    """Return name and size of a header whose checksum and magic are right."""
    place = f"{where}, byte {position}"
    try:
        stated = int(block[_CHECKSUM].split(b"\0")[0], 8)
        size = int(block[124:136].rstrip(b"\0 "), 8)
        name = block[:MAX_NAME_BYTES].split(b"\0")[0].decode("utf-8")
    except ValueError:
        raise FormatError("no tar header where one must stand", where=place) from None
    actual = sum(block) - sum(block[_CHECKSUM]) + sum(_BLANKS)
    if stated != actual or block[257:262] != b"ustar":
        raise FormatError(f"no valid tar header: checksum must be {actual:06o}, got {stated:06o}", where=place)
    if size < 0 or not name:
        raise FormatError("a tar header without name or size", where=place)
    return name, size


def _check_end(view: bytes | memoryview, position: int, strict: bool, where: str) -> None:
    rest = len(view) - position
    if strict and rest != len(END):
        raise FormatError(f"the archive must end in {len(END)} bytes, got {rest}", where=f"{where}, byte {position}")
    if any(bytes(view[position:])):
        raise FormatError("bytes follow the end of the archive", where=f"{where}, byte {position}")


_FIELDS: Final = (
    ("name", 0, 100), ("mode", 100, 108), ("uid", 108, 116), ("gid", 116, 124), ("size", 124, 136), ("mtime", 136, 148),
    ("checksum", 148, 156), ("typeflag", 156, 157), ("linkname", 157, 257), ("magic and version", 257, 265),
    ("names, device or prefix", 265, 512),
)  # fmt: skip


def _difference(got: bytes, expected: bytes, name: str) -> str:
    """Return which header field of the member is not what this format writes."""
    for field, start, stop in _FIELDS:
        if field != "checksum" and got[start:stop] != expected[start:stop]:
            wanted = expected[start:stop].rstrip(b"\0")
            return f"{name}: tar header field {field} must be {wanted!r}, got {got[start:stop].rstrip(bytes(1))!r}"
    return f"{name}: tar header checksum must be {expected[148:156]!r}, got {got[148:156]!r}"
