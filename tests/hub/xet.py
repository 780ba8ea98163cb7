"""Xet for the loopback Hub: the store that hf_xet itself keeps in a folder when it is told to talk to `local://`.

The client puts its chunks there without the Hub seeing them, and then commits no more than the sha256 of a file. Which
file of the store that is, stands in the store's shards: files in a binary format that is read here as far as needed.
`local://` is undocumented: who uses this first looks whether it works (tests/conftest.py, `xet_hub`).
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.hub.blobs import Blobs

_BLOCK_BYTES = 48
"""Header, and every record after it."""

_HAS_VERIFICATION, _HAS_SHA256 = 1 << 31, 1 << 30
"""Flags of a file's record: whether one more record per entry follows, and whether one with the sha256 does."""

_END = b"\xff" * 32


class XetFile(NamedTuple):
    """One file in the store; `sha256` is None where the client did not say."""

    xet_hash: str
    sha256: str | None
    size: int


def _hex(words: bytes) -> str:
    """Return a hash as Xet writes it: four numbers of eight bytes, each with its highest digits first."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", words))


def read_shard(data: bytes) -> Iterator[XetFile]:
    """Yield the files that one shard of a store describes."""
    blocks = (data[start : start + _BLOCK_BYTES] for start in range(_BLOCK_BYTES, len(data), _BLOCK_BYTES))
    for block in blocks:
        if block[:32] == _END:
            return
        flags, count = struct.unpack_from("<II", block, 32)
        size = sum(struct.unpack_from("<I", next(blocks), 36)[0] for _ in range(count))
        for _ in range(count if flags & _HAS_VERIFICATION else 0):
            next(blocks)
        sha256 = _hex(next(blocks)[:32]) if flags & _HAS_SHA256 else None
        yield XetFile(_hex(block[:32]), sha256, size)


class Xet:
    """A store in a folder, and the way out of it into the blobs. `taken`: Xet hash to sha256 of what is there."""

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self.folder, self.blobs = folder.resolve(), blobs
        self.url = f"local://{self.folder}"
        self.taken: dict[str, str] = {}
        self._read: set[Path] = set()
        self._files: dict[str, XetFile] = {}
        self._lock = threading.Lock()

    def find(self, digest: str) -> XetFile | None:
        """Return the file of a Xet hash or sha256."""
        with self._lock:
            new = {path for path in self.folder.glob("xet/xorbs/shards/*.mdb") if path not in self._read}
            for path in sorted(new):
                for file in read_shard(path.read_bytes()):
                    self._files[file.xet_hash] = file
                    if file.sha256:
                        self._files[file.sha256] = file
            self._read |= new
            return self._files.get(digest)

    def take(self, files: Iterable[XetFile]) -> None:
        """Put files' contents, as hf_xet puts them together, among the blobs."""
        with self._lock:
            new = {file.xet_hash: file for file in files if file.xet_hash not in self.taken}
            if any(file.size for file in new.values()):
                self._download([file for file in new.values() if file.size])
            for xet_hash, file in new.items():
                path = self._incoming(file)
                self.taken[xet_hash], _ = self.blobs.add(path if file.size else b"")
                path.unlink(missing_ok=True)

    def _incoming(self, file: XetFile) -> Path:
        return self.blobs.folder / f"xet-{file.xet_hash}"

    def _download(self, files: list[XetFile]) -> None:
        import hf_xet

        # Only one process can have a store open, and the client has it: so hf_xet gets one of its own beside it, of the
        # same contents and a copy of the index.
        with tempfile.TemporaryDirectory(dir=self.folder.parent) as beside:
            own, theirs = Path(beside, "xet/xorbs"), self.folder / "xet/xorbs"
            own.mkdir(parents=True)
            for name in ("xorbs", "shards"):
                (own / name).symlink_to(theirs / name)
            shutil.copy(theirs / "global_dedup_lookup.redb", own)
            with hf_xet.XetSession().new_file_download_group(endpoint=f"local://{beside}") as group:
                for file in files:
                    group.start_download_file(hf_xet.XetFileInfo(file.xet_hash, file.size), str(self._incoming(file)))
