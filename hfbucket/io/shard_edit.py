"""A shard made of pieces of another: what stays is moved inside the kernel, what is new is written between."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from hfbucket.errors import FormatError
from hfbucket.io.atomic import NO_ROOM, begin_flush, naming
from hfbucket.io.moves import copy_range
from hfbucket.io.ustar import END, header, padding

_HASHED_AT_ONCE: Final = 1 << 19
"""Small enough to stay in a core's cache between the two hashes."""


class ShardEdit:
    """Writes a shard from another one: pieces of it in their order, and new members between them.

    Every byte of the old shard is read once, for its own hash and the new one's; a shard that is not what the manifest
    says is refused, so no damage gets a hash of its own. Leaving the block without `finish` deletes the file.

    Args:
        source: the old shard.
        target: the new one, in a folder that is there.

    Raises:
        OSError: the disk is full, or a file cannot be read or written.
    """

    def __init__(self, source: Path, target: Path) -> None:
        self._source, self._target = source, target
        self._old = source.open("rb", buffering=0)
        self._new = target.open("wb", buffering=0)
        self._old_hash, self._new_hash = hashlib.sha256(), hashlib.sha256()
        self._read = 0  # bytes of the old shard that its hash has seen
        self._piece = (0, 0)  # of the old shard, yet to be moved
        self._members: list[bytes] = []  # yet to be written, after the piece
        self._buffer = bytearray(_HASHED_AT_ONCE)
        self.size_bytes = 0
        self._finished = False

    def __enter__(self) -> ShardEdit:
        return self

    def __exit__(self, *exception: object) -> None:
        for file in (self._old, self._new):
            with suppress(OSError):
                file.close()
        if not self._finished:
            with suppress(OSError):
                self._target.unlink()

    def keep(self, start: int, stop: int) -> int:
        """Append whole members of the old shard, from byte to byte; return the offset of the first's data."""
        if self._members or start != self._piece[1]:
            self._flush()
            self._piece = (start, stop)
        else:
            self._piece = (self._piece[0], stop)
        offset = self.size_bytes + 512
        self.size_bytes += stop - start
        return offset

    def add(self, name: str, data: bytes) -> int:
        """Append one new member; return the offset of its data in the shard, in bytes."""
        offset = self.size_bytes + 512
        self._members += [header(name, len(data)), data, bytes(padding(len(data)))]
        self.size_bytes += 512 + len(data) + padding(len(data))
        return offset

    def finish(self, *, sha256: str | None) -> tuple[int, str]:
        """End the archive and begin to flush it to disk; return its size in bytes and its sha256 in hex.

        It is on the disk after `flush_files`.

        Args:
            sha256: what the old shard's must be; None where nobody knows.

        Raises:
            FormatError: the old shard is damaged.
        """
        self._members.append(END)
        self.size_bytes += len(END)
        self._flush()
        self._hash(os.fstat(self._old.fileno()).st_size, copied=False)
        actual = self._old_hash.hexdigest()
        if sha256 not in (None, actual):
            message = f"sha256 must be {sha256}, got {actual}: the shard is damaged; pull or build it again"
            raise FormatError(message, where=self._source.name)
        begin_flush(self._new.fileno())
        self._finished = True
        return self.size_bytes, self._new_hash.hexdigest()

    def _flush(self) -> None:
        """Write what waits: the piece, then the members."""
        with naming(self._target, NO_ROOM):
            self._write()

    def _write(self) -> None:
        start, stop = self._piece
        if start < stop:
            copy_range(self._old.fileno(), self._new.fileno(), start, stop - start)
            self._hash(start, copied=False)
            self._hash(stop, copied=True)
        data = b"".join(self._members)
        self._new_hash.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._new.fileno(), view) :]
        self._piece, self._members = (stop, stop), []

    def _hash(self, stop: int, *, copied: bool) -> None:
        """Feed the old shard's bytes up to here to its hash, and where they were copied to the new one's."""
        with memoryview(self._buffer) as view:
            while self._read < stop:
                got = self._old.readinto(view[: stop - self._read])
                if got == 0:
                    raise FormatError(f"ends at byte {self._read}, not {stop}", where=self._source.name)
                self._old_hash.update(view[:got])
                if copied:
                    self._new_hash.update(view[:got])
                self._read += got
