"""Tars that others wrote, read liberally: member by member, in order, only the headers.

ustar, GNU long names and sizes, pax headers (POSIX.1-2001), old tars; gzipped ones forward only. Nothing is ever
extracted or followed: links, devices and folders come out as members that are no files.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final, NamedTuple, Protocol

from hfbucket.errors import SourceError
from hfbucket.io.store import JoinedFile, RandomFile, Window, open_seekable

BLOCK: Final = 512
_ZERO: Final = bytes(BLOCK)
_LONGEST_NAME_BYTES: Final = 1 << 20
_SKIP_BYTES: Final = 1 << 20
_BUFFER_BYTES: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
_COMPRESSED: Final = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


class Member(NamedTuple):
    """One member: where its data lies. Names are raw bytes as stored, without a leading `./`."""

    name: bytes
    offset: int
    size_bytes: int
    #: A regular file with a name that stays below the archive's root.
    is_file: bool
    #: All its data is there; of gzipped tars known only once the data is read.
    is_whole: bool


class ByteSource(Protocol):
    """What a tar is read from."""

    @property
    def size_bytes(self) -> int | None:
        """How many bytes there are; None where only reading tells."""

    def pread(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on."""


class ForwardFile:
    """The content of a gzipped file, read forward only: each `pread` starts at or after the start of the last one.

    What the stream cannot give any more reads as its end; `damage` says why, `is_cut` that it only ends too early.
    """

    size_bytes: int | None = None

    def __init__(self, file: BinaryIO) -> None:
        self._stream = gzip.GzipFile(fileobj=file, mode="rb")
        self._start = 0
        self._kept = b""
        self.damage = ""
        self.is_cut = False

    def pread(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on: fewer only where the content ends."""
        assert offset >= self._start, "a gzipped file is read forward"
        self._kept = self._kept[offset - self._start :]
        position = self._stream.tell()
        while position < offset:
            skipped = len(self._read(min(_SKIP_BYTES, offset - position)))
            if not skipped:
                return b""
            position += skipped
        self._start = offset
        while len(self._kept) < size:
            more = self._read(size - len(self._kept))
            if not more:
                break
            self._kept += more
        return self._kept[:size]

    def _read(self, size: int) -> bytes:
        if self.damage:
            return b""
        try:
            return self._stream.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.damage = f"its gzip stream is damaged: {error}"
            self.is_cut = isinstance(error, EOFError)
            return b""


def is_gzip(url: str, size_bytes: int | None = None) -> bool:
    """Return whether a file, of a size if that is known, is gzipped: by its first two bytes."""
    with RandomFile(url, size_bytes=size_bytes) as file:
        return file.pread(0, 2) == _GZIP


@contextmanager
def open_tar(
    url: str, parts: Sequence[str] = (), size_bytes: int | None = None
) -> Iterator[RandomFile | JoinedFile | ForwardFile]:
    """Yield a tar to read members of, unpacked on the way where it is gzipped.

    Args:
        parts: of a tar that was split, all of its parts in order.
        size_bytes: of a remote one, where known.

    Raises:
        SourceError: it is compressed in another way.
    """
    opened = JoinedFile(parts, sequential=True) if parts else RandomFile(url, sequential=True, size_bytes=size_bytes)
    with opened as file:
        head = file.pread(0, 6)
        for magic, name in _COMPRESSED.items():
            if head.startswith(magic):
                raise SourceError(f"{url}: is compressed with {name}, which is not read: unpack it first")
        if not head.startswith(_GZIP):
            yield file
            return
        if isinstance(file, JoinedFile) or file.descriptor is None:
            yield ForwardFile(io.BufferedReader(Window(file, 0, file.size_bytes), _BUFFER_BYTES))
            return
    with open_seekable(url) as stream:
        yield ForwardFile(stream)


def members(
    file: ByteSource, notes: list[str], ahead: Callable[[int], int] = lambda position: position, *, last_part: str = ""
) -> Iterator[Member]:
    """Yield the members of a tar in order; where it ends too early or is damaged, say so in `notes` and stop.

    Args:
        ahead: is asked where a member begins and none before it says anything of it; may take whole members itself
            and returns where the first one begins that it did not take.
        last_part: of a tar that was split, the name of the last part that is there.

    Raises:
        SourceError: the file does not begin like a tar, or it was split and ends too early.
    """
    position = 0
    extra: dict[bytes, bytes] = {}  # of pax and GNU headers, for the next member
    common: dict[bytes, bytes] = {}  # of global pax headers
    while True:
        if not extra and not common:
            position = ahead(position)
        block = file.pread(position, BLOCK)
        if len(block) < BLOCK or block == _ZERO:
            notes.extend(_ending(file, position, block, last_part))
            return
        header = _header(block)
        if header is None:
            if position == 0:
                raise SourceError("is no tar: its first 512 bytes are no tar header")
            notes.append(f"is damaged at byte {position}: the rest is not used")
            return
        kind, size_bytes, name = header
        position += BLOCK
        if kind in b"LKxXg":
            if size_bytes > _LONGEST_NAME_BYTES:
                notes.append(f"is damaged at byte {position} (a name of {size_bytes} bytes): the rest is not used")
                return
            _extend(common if kind == b"g" else extra, kind, file.pread(position, size_bytes))
            position += _padded(size_bytes)
            continue
        said = {**common, **extra} if common or extra else extra
        member, position = _member(file, position, kind, size_bytes, name, said)
        extra = {}
        yield member
        if not _is_whole(file, member):
            notes.append(_cut(file, f"ends inside member {_readable(member.name)}", last_part))
            return


def _header(block: bytes) -> tuple[bytes, int, bytes] | None:
    """Return (type, size, name) of a header block, or None where it is none."""
    total = sum(block) - sum(block[148:156]) + 8 * 32
    stated = _number(block[148:156])
    if stated != total and stated != total - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):
        return None  # old tars summed signed bytes
    size_bytes = _number(block[124:136])
    if size_bytes is None:
        return None
    name = block[:100].partition(b"\0")[0]
    kind = block[156:157]
    if block[257:263] == b"ustar\0":
        prefix = block[345:500].partition(b"\0")[0]
        name = prefix + b"/" + name if prefix else name
    if kind in (b"\0", b"7"):  # old tars, and files that were meant to lie in one piece
        kind = b"5" if name.endswith(b"/") else b"0"
    if kind == b"S" and block[482]:
        kind = b"s"  # a sparse file with a map that goes on in further blocks
    return kind, size_bytes, name


def _number(field: bytes) -> int | None:
    """Return a header's number: octal text, or two's complement in base 256 where the first bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False) - (0x80 << 8 * (len(field) - 1))
        return value if field[0] != 0xFF else None
    text = field.partition(b"\0")[0].strip()
    if not text:
        return 0
    try:
        return int(text, 8) if text.isdigit() else None
    except ValueError:  # 8 or 9
        return None


def _member(
    file: ByteSource, position: int, kind: bytes, size_bytes: int, name: bytes, extra: dict[bytes, bytes]
) -> tuple[Member, int]:
    """Return the member whose data would start at `position`, and where the next header is."""
    if kind == b"s":
        while file.pread(position, BLOCK)[504:505] not in (b"\0", b""):
            position += BLOCK
        position += BLOCK
    if extra.get(b"size", b"").isdigit():
        size_bytes = int(extra[b"size"])
    if kind in (b"1", b"2", b"3", b"4", b"5", b"6"):
        size_bytes = 0  # whatever the header says, no data follows
    name = extra.get(b"path", name)
    while name.startswith(b"./"):
        name = name[2:].lstrip(b"/")
    sparse = bool(extra) and any(key.startswith(b"GNU.sparse") for key in extra)
    is_file = kind == b"0" and not sparse and _stays_below(name)
    member = Member(name, position, size_bytes, is_file, is_whole=True)
    return member._replace(is_whole=_is_there(file, member)), position + _padded(size_bytes)


def _stays_below(name: bytes) -> bool:
    return bool(name) and not name.startswith(b"/") and b".." not in name.split(b"/") and not name.endswith(b"/")


def _is_there(file: ByteSource, member: Member) -> bool:
    return file.size_bytes is None or member.offset + member.size_bytes <= file.size_bytes


def _is_whole(file: ByteSource, member: Member) -> bool:
    """Return whether a member's last byte can be read; asked after its data was, so it may go forward."""
    if file.size_bytes is not None:
        return member.is_whole
    return member.size_bytes == 0 or bool(file.pread(member.offset + member.size_bytes - 1, 1))


def _extend(extra: dict[bytes, bytes], kind: bytes, data: bytes) -> None:
    """Take what a pax or GNU header says about the next member."""
    if kind == b"L":
        extra[b"path"] = data.partition(b"\0")[0]
    while kind in b"xXg" and data:
        digits = data.partition(b" ")[0]
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        key, equals, value = data[len(digits) + 1 : length - 1].partition(b"=")
        if length <= len(digits) or not equals:
            return
        extra[key] = value
        data = data[length:]


def _ending(file: ByteSource, position: int, block: bytes, last_part: str) -> list[str]:
    """Return what is wrong with how a tar ends; it should end in two zero blocks."""
    after = file.pread(position + BLOCK, 20 * BLOCK) if block == _ZERO else b""
    damage = file.damage if isinstance(file, ForwardFile) else ""
    if damage:
        return [_cut(file, damage, last_part)]
    if block != _ZERO:
        return [_cut(file, _too_short(position, block), last_part)]
    if after.strip(b"\0"):
        return [f"goes on after its end mark at byte {position}: what follows is not used"]
    return []


def _too_short(position: int, block: bytes) -> str:
    if position:
        return "ends inside a header" if block else "has no end mark: it may have been cut off"
    return f"is no tar: it has {len(block)} bytes, fewer than the {BLOCK} of a tar's header; fetch it again"


def _cut(file: ByteSource, note: str, last_part: str) -> str:
    """Return what is to be said of a tar that ends too early.

    Raises:
        SourceError: it was split, and nothing else is wrong with it than that it does not go on.
    """
    if last_part and (not isinstance(file, ForwardFile) or file.is_cut or not file.damage):
        raise SourceError(
            f"a part is missing after {last_part}: {note}. Put all parts into one folder and name that; if there are "
            "no more, join them with cat: of the one file all that is whole is read"
        )
    return note


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // BLOCK) * BLOCK


def _readable(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
