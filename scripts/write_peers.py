"""What passthrough is measured against: copies of the same bytes, webdataset, and the least that must be done.

All of it works in one process on one corpus, whose photos are files of their own or members of tars.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import webdataset

from hfbucket.io.ustar import END, header, padding


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """The photos that are written."""

    #: The folder of the files or tars.
    folder: Path
    #: File, first byte and size of every photo, in the order of the shards.
    ranges: tuple[tuple[Path, int, int], ...]
    #: One file of all their bytes, to be copied.
    whole: Path
    are_files: bool

    @property
    def size_bytes(self) -> int:
        """Of all photos."""
        return sum(size for _, _, size in self.ranges)


def copy_folder(corpus: Corpus, target: Path) -> None:
    """Copy the files or tars with `cp -r`; not flushed."""
    subprocess.run(["cp", "-r", str(corpus.folder), str(target)], check=True)


def copy_file(corpus: Corpus, target: Path) -> None:
    """Copy one file of the same bytes with `cp`; not flushed."""
    subprocess.run(["cp", str(corpus.whole), str(target)], check=True)


def copy_flushed(corpus: Corpus, target: Path) -> None:
    """Copy one file of the same bytes with `cp`, and see it on the disk, as a shard is."""
    copy_file(corpus, target)
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def ranges_hashed(corpus: Corpus, target: Path) -> None:
    """Write one tar: each photo read and written with a header, all hashed and flushed. No caption, no check."""
    with Hashed(str(target)) as file:
        for number, data in enumerate(_photos(corpus)):
            file.write(header(f"{number:06d}.jpg", len(data)))
            file.write(data)
            file.write(bytes(padding(len(data))))
        file.write(END)


def webdataset_shards(corpus: Corpus, target: Path) -> None:
    """Write the photos with a caption and metadata each by webdataset's ShardWriter: one shard, hashed and flushed."""
    with (
        Hashed(f"{target}.tar") as file,  # the writer leaves to its caller what its opener opened
        webdataset.ShardWriter("%d", verbose=0, opener=lambda _: file) as writer,
    ):
        for number, sample in enumerate(_samples(corpus)):
            key, caption = f"{number:06d}", sample["txt"]
            metadata = {"file_name": sample["__key__"], "key": key, "caption": caption}
            writer.write({"__key__": key, "jpg": sample["jpg"], "txt": caption, "json": metadata})


class Hashed:
    """A file that is hashed while it is written, as webdataset's writer wants it."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("wb")  # noqa: SIM115 - closed on leaving
        self._hash = hashlib.sha256()

    def __enter__(self) -> Hashed:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def write(self, data: bytes) -> int:
        """Write and hash."""
        self._hash.update(data)
        return self._file.write(data)

    def close(self) -> None:
        """Leave it to the block around."""


def _photos(corpus: Corpus) -> Iterator[bytes]:
    """Yield the bytes of every photo: of files by opening each, of tars by their place."""
    if corpus.are_files:
        yield from (path.read_bytes() for path, _, _ in corpus.ranges)
        return
    opened = {path: os.open(path, os.O_RDONLY) for path in {path for path, _, _ in corpus.ranges}}
    try:
        yield from (os.pread(opened[path], size, offset) for path, offset, size in corpus.ranges)
    finally:
        for descriptor in opened.values():
            os.close(descriptor)


def _samples(corpus: Corpus) -> Iterator[dict[str, Any]]:
    """Yield key, photo and caption: of files by opening each, of tars as webdataset reads them, in their own order."""
    if corpus.are_files:
        for number, (path, _, _) in enumerate(corpus.ranges):
            yield {"__key__": path.stem, "jpg": path.read_bytes(), "txt": f"photo {number}"}
        return
    tars = sorted(str(path) for path in corpus.folder.glob("*.tar"))
    with closing(webdataset.WebDataset(tars, shardshuffle=False)) as samples:
        yield from ({**sample, "txt": sample["txt"].decode()} for sample in samples)
