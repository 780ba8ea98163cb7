"""A remote store of fsspec that counts every byte it gives: what a build fetches, and how often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem


class CountedFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file of the store; reads ahead as others do."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = self.fs.cat_file(self.path, start, end)
        return data


class CountedFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """`counted:///folder` is that folder; `fetched` says how often each byte of a file was."""

    protocol = "counted"
    root_marker = "/"
    requests: list[str] = []  # noqa: RUF012 (as below)
    fetched: dict[str, npt.NDArray[np.int64]] = {}  # noqa: RUF012 (one store)

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        place = Path(self._strip_protocol(path))
        if not place.exists():
            raise FileNotFoundError(path)
        found = [self.info(str(entry)) for entry in (sorted(place.iterdir()) if place.is_dir() else [place])]
        return found if detail else [entry["name"] for entry in found]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        place = Path(self._strip_protocol(path))
        if not place.exists():
            raise FileNotFoundError(path)
        kind = "directory" if place.is_dir() else "file"
        return {"name": str(place), "size": place.stat().st_size, "type": kind, "mtime": place.stat().st_mtime}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        place = Path(self._strip_protocol(path))
        data = place.read_bytes()
        counts = self.fetched.setdefault(place.name, np.zeros(len(data), dtype=np.int64))
        counts[start:end] += 1
        self.requests.append(place.name)
        return data[start:end]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> CountedFile:
        return CountedFile(self, path, mode, **options)


def register() -> dict[str, npt.NDArray[np.int64]]:
    """Make `counted://` known; return how often each byte of a file is fetched from now on, by the file's name."""
    fsspec.register_implementation("counted", CountedFileSystem, clobber=True)
    CountedFileSystem.clear_instance_cache()
    CountedFileSystem.fetched.clear()
    CountedFileSystem.requests.clear()
    return CountedFileSystem.fetched
