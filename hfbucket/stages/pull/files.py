"""Many files brought into a folder at the same time, with progress in bytes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from hfbucket.core.events import OnEvent, Progress
from hfbucket.errors import PullError
from hfbucket.io.fetch import Wanted, fetch, is_there
from hfbucket.io.patterns import matching

__all__ = ["Fetching"]


class _Stopped(Exception):
    """Ends what other threads still do."""


class Fetching:
    """Brings files into a folder; those that are there already, with the right hash, stay."""

    def __init__(self, folder: Path, aside: Path, *, token: str | bool | None, workers: int, on_event: OnEvent) -> None:
        self.folder, self.aside = folder, aside
        #: Of all files asked for, and of those that were not here.
        self.size_bytes = self.fetched_bytes = 0
        self._token, self._workers, self._on_event = token, workers, on_event
        self._done_bytes = 0
        self._lock, self._stop = threading.Lock(), threading.Event()

    def bring(
        self, files: Sequence[Wanted], *, last: str | None = None, into: Mapping[str, Path] | None = None
    ) -> None:
        """Bring files here, several at a time.

        Args:
            last: a file that comes when all others are here.
            into: where files go that do not go below the folder by their own names.

        Raises:
            PullError: the disk is too small, or bytes are not what the manifest says.
            OSError: the store cannot be reached, or the disk is full.
        """
        places = {wanted.file: (into or {}).get(wanted.file, self.folder / wanted.file) for wanted in files}
        self._check_room(files, places)
        self.size_bytes = sum(wanted.size_bytes for wanted in files)
        self._tell(0)
        for together in ([w for w in files if w.file != last], [w for w in files if w.file == last]):
            with ThreadPoolExecutor(self._workers) as pool:
                running = [pool.submit(self._one, wanted, places[wanted.file]) for wanted in together]
                try:
                    for future in as_completed(running):
                        future.result()
                except BaseException:
                    self._stop.set()
                    pool.shutdown(cancel_futures=True)
                    raise

    def _one(self, wanted: Wanted, path: Path) -> None:
        if is_there(path, wanted.size_bytes, wanted.sha256):
            self._tell(wanted.size_bytes)
            return
        fetch(wanted, path, self.aside, token=self._token, on_bytes=self._tell)
        with self._lock:
            self.fetched_bytes += wanted.size_bytes

    def _tell(self, more_bytes: int) -> None:
        if self._stop.is_set():
            raise _Stopped
        with self._lock:
            self._done_bytes += more_bytes
            self._on_event(Progress(stage="pull", done=self._done_bytes, total=self.size_bytes, unit="B"))

    def _check_room(self, files: Sequence[Wanted], places: Mapping[str, Path]) -> None:
        """Refuse what the disk cannot hold before the first byte of it comes."""
        missing = sum(w.size_bytes for w in files if not _has_size(places[w.file], w.size_bytes))
        missing -= sum(path.stat().st_size for path in matching(self.aside, "*.part"))
        free = shutil.disk_usage(self.folder).free
        if missing > free:
            raise PullError(
                f"{self.folder}: {missing:,} bytes are still to come, the disk has room for {free:,}; choose another "
                "--output, or a part with --config, --bucket or --max-bytes"
            )


def _has_size(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes
