"""Targets of a push without commits: a folder here, any fsspec URL, a Storage Bucket of the Hub."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub.errors import BucketNotFoundError

from hfbucket import __version__
from hfbucket.core.events import OnEvent, ignore
from hfbucket.core.transfer.push import PushFile
from hfbucket.errors import PushError
from hfbucket.io import store
from hfbucket.io.atomic import remove_temporaries, replacing
from hfbucket.io.hashes import sha256_of
from hfbucket.io.hub.errors import PATIENT, Patience, patiently, told
from hfbucket.io.hub.repo import quiet_client
from hfbucket.io.urls import filesystem

__all__ = ["BucketStore", "FolderStore", "PushStore"]


class PushStore(Protocol):
    """What a push needs of a place that keeps files and no history."""

    url: str
    """What users open it by."""

    def visibility(self) -> tuple[bool, bool | None]:
        """Return whether it exists, and whether it is private (None: no such notion)."""

    def create(self, *, private: bool | None) -> None:
        """Make it where it is missing."""

    def files(self) -> dict[str, int]:
        """Return every file below it with its size in bytes."""

    def open(self, path: str) -> BinaryIO:
        """Return one of its files, opened for reading."""

    def put(self, files: Sequence[PushFile]) -> None:
        """Bring files there; each is complete or as it was before."""

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files that may be there."""


class FolderStore:
    """A folder, here or at any fsspec URL."""

    def __init__(self, url: str) -> None:
        self.url = store.absolute(url)
        self._here = Path(store.local_path(url)) if store.is_local(url) else None

    def visibility(self) -> tuple[bool, bool | None]:
        """Return whether it exists; who may see it is not for us to know."""
        kind = store.kind_of(self.url)
        if kind == "file":
            raise PushError(f"{self.url}: must be a folder, got a file")
        return kind == "folder", None

    def create(self, *, private: bool | None) -> None:
        """Make the folder."""
        if self._here is not None:
            self._here.mkdir(parents=True, exist_ok=True)

    def files(self) -> dict[str, int]:
        """Return every file below it with its size in bytes; hidden names are skipped."""
        if store.kind_of(self.url) == "nothing":
            return {}
        return {file.path.decode("utf-8", "replace"): file.size_bytes for file in store.walk(self.url)}

    def open(self, path: str) -> BinaryIO:
        """Return one of its files, opened for reading."""
        if self._here is not None:
            return (self._here / path).open("rb")
        fs, below = filesystem(self.url)
        return cast("BinaryIO", fs.open(f"{below.rstrip('/')}/{path}", "rb"))

    def put(self, files: Sequence[PushFile]) -> None:
        """Bring files there; here each is written aside, hashed on the way and renamed."""
        for file in files:
            if self._here is not None:
                _copy(file, self._here / file.path)
                continue
            fs, below = filesystem(self.url)
            place = f"{below.rstrip('/')}/{file.path}"
            fs.makedirs(place.rpartition("/")[0], exist_ok=True)
            if isinstance(file.source, bytes):
                fs.pipe_file(place, file.source)
            else:
                fs.put_file(file.source, place)

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files that may be there, and folders that become empty here."""
        for path in paths:
            if self._here is not None:
                (self._here / path).unlink(missing_ok=True)
                _remove_empty(self._here, self._here / path)
                continue
            fs, below = filesystem(self.url)
            place = f"{below.rstrip('/')}/{path}"
            if fs.exists(place):
                fs.rm_file(place)


def _copy(file: PushFile, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    remove_temporaries(place.parent)
    with replacing(place) as aside:
        if isinstance(file.source, bytes):
            aside.write_bytes(file.source)
            return
        shutil.copyfile(file.source, aside)
        with aside.open("rb") as written:
            actual = sha256_of(written)
        if actual != file.sha256:
            raise PushError(f"{file.path}: sha256 must be {file.sha256}, got {actual}: it changed while it was copied")


def _remove_empty(root: Path, path: Path) -> None:
    for folder in path.parents:
        if folder == root or any(folder.iterdir()):
            return
        folder.rmdir()


class BucketStore:
    """A folder in a Storage Bucket of the Hub, or the whole of it."""

    def __init__(
        self, bucket_id: str, prefix: str, *, token: str | bool | None, on_event: OnEvent = ignore,
        patience: Patience = PATIENT,
    ) -> None:  # fmt: skip
        self._bucket_id, self._prefix = bucket_id, f"{prefix}/" if prefix else ""
        self.url = f"hf://buckets/{bucket_id}" + (f"/{prefix}" if prefix else "")
        self._api = HfApi(library_name="hfbucket", library_version=__version__, token=token)
        self._token = token
        self._on_event, self._patience = on_event, patience

    def visibility(self) -> tuple[bool, bool | None]:
        """Return whether it exists and is private."""

        def ask() -> tuple[bool, bool | None]:
            try:
                return True, bool(self._api.bucket_info(self._bucket_id).private)
            except BucketNotFoundError:
                return False, None

        found: tuple[bool, bool | None] = self._try("looking at it", ask)
        return found

    def create(self, *, private: bool | None) -> None:
        """Make the bucket where it is missing."""
        create = self._api.create_bucket
        self._try("creating it", lambda: create(self._bucket_id, private=private, exist_ok=True))

    def files(self) -> dict[str, int]:
        """Return every file below it with its size in bytes."""

        def ask() -> dict[str, int]:
            tree = self._api.list_bucket_tree(self._bucket_id, prefix=self._prefix.rstrip("/") or None, recursive=True)
            sizes = {entry.path: entry.size for entry in tree if hasattr(entry, "size")}
            start = len(self._prefix)
            return {path[start:]: size for path, size in sizes.items() if path.startswith(self._prefix)}

        found: dict[str, int] = self._try("listing it", ask)
        return found

    def open(self, path: str) -> BinaryIO:
        """Return one of its files, opened for reading."""
        fs = HfFileSystem(token=self._token, skip_instance_cache=True)
        return cast("BinaryIO", self._try("reading it", lambda: fs.open(f"{self.url}/{path}", "rb")))

    def put(self, files: Sequence[PushFile]) -> None:
        """Bring files there in one request of the client: their bytes first, then their names."""
        add: list[tuple[str | Path | bytes, str]] = [(file.source, self._prefix + file.path) for file in files]
        batch = self._api.batch_bucket_files
        with quiet_client():
            self._try("uploading", lambda: batch(self._bucket_id, add=add))

    def delete(self, paths: Sequence[str]) -> None:
        """Delete files that are there."""
        there = self.files()
        found = [self._prefix + path for path in paths if path in there]
        batch = self._api.batch_bucket_files
        if found:
            self._try("deleting", lambda: batch(self._bucket_id, delete=found))

    def _try(self, doing: str, action: Any) -> Any:  # noqa: ANN401 (whatever the action gives)
        doing = f"{self.url}: {doing}"
        with told(doing, self._token):
            return patiently(action, doing=doing, token=self._token, patience=self._patience, on_event=self._on_event)
