"""A disk that fails as told: what a process does to the files below one folder is counted, and one call of it fails.

Calls of the system that Python makes are replaced in this process, so this is for children that end soon. A *step* is
one such call: what it does (`write`, `rename` …), to which file, the how-manieth of its kind there. What native code
does by itself (memory maps, SQLite) is no step; only `file size limit` meets it, too, because the kernel does that.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import re
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from tests.system_calls import tell_pathlib

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "disk full": ("write", "copy", "mkdir"),
    "no space once": ("write", "copy", "mkdir"),
    "write error": ("write", "copy"),
    "short write": ("write", "copy"),
    "rename fails": ("rename",),
    "sync fails": ("fsync",),
    "unlink fails": ("unlink",),
    "unlink never works": ("unlink",),
    "link fails": ("link",),
    "read error": ("read",),
    "unreadable": ("read",),
    "short read": ("read",),
    "no listing": ("list",),
    "stale listing": ("list",),
    "slow": ("write", "copy", "read", "rename", "fsync", "list"),
    "killed": ("rename", "link", "unlink", "mkdir", "fsync"),
    "power cut": ("rename", "link", "unlink", "fsync"),
    "file size limit": ("size",),
}
"""What fails how, and the steps at which it can. `disk full`: from then on nothing grows. `slow`: from then on every
such call takes its time. `unreadable`, `unlink never works`: every such call on that file from then on. `stale
listing`: what came last is not in it yet. `killed`: before the step, by SIGKILL. `power cut`: the same, and files are
empty that were written since they were last flushed; names come and go in the order in which they did. `file size
limit`: no file grows beyond so many bytes."""

SIZE: Final = "size"
"""What the step of a `file size limit` does; its number is the limit in bytes."""

DEADLY: Final = frozenset({"killed", "power cut"})
_FOR_EVER: Final = frozenset({"disk full", "slow", "unreadable", "unlink never works"})
_OF_ONE_FILE: Final = frozenset({"unreadable", "unlink never works"})
_PAUSE_S: Final = 0.005
_OWN_NUMBERS: Final = re.compile(r"\.\d+\.tmp$|hfbucket-[a-z0-9_]{8}")


class Step(NamedTuple):
    """One call: what it does, to which file below the folder, and how many such calls there were before."""

    does: str
    file: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens at a step."""

    kind: str
    step: Step


class Disk:
    """The files below a folder, as this process uses them from now on."""

    def __init__(self, folder: Path, fault: Fault | None = None) -> None:
        self.steps: list[Step] = []
        #: Whether the fault has happened.
        self.met = False
        self._root, self._fault = os.path.abspath(folder) + os.sep, fault
        self._count: Counter[tuple[str, str]] = Counter()
        self._lock = threading.RLock()
        #: Device and inode of files that were written since they were last flushed.
        self._dirty: set[tuple[int, int]] = set()

    def __enter__(self) -> Disk:
        """Take the place of the system's calls; there is no way back."""
        for name, does in (("replace", "rename"), ("rename", "rename"), ("link", "link")):
            self._watch(os, name, does, which=1)
        for name, does in (("unlink", "unlink"), ("remove", "unlink"), ("rmdir", "unlink"), ("mkdir", "mkdir")):
            self._watch(os, name, does)
        self._watch(os, "fsync", "fsync")
        os.sync = self._dirty.clear
        self._watch(os, "scandir", "list", result=_Entries)
        self._watch(os, "listdir", "list", result=lambda names, stale: names[:-1] if stale else names)
        self._watch(os, "write", "write", size=1)
        self._watch(os, "writev", "write", size=1)
        self._watch(os, "pread", "read", size=1)
        self._watch(os, "read", "read", size=1)
        self._watch(os, "sendfile", "copy", size=3)
        self._watch(os, "copy_file_range", "copy", which=1, size=2)
        self._open = io.open
        builtins.open = io.open = self._opened
        tell_pathlib()
        self._watch_arrow()
        if self._fault is not None and self._fault.step.does == SIZE:
            self.met = True
            _limit_sizes(self._fault.step.number)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop failing; calls are still counted."""
        self._fault = None
        _limit_sizes(None)

    def at(self, does: str, file: Any) -> str:
        """Count a step; return `short`, `half`, `stale` where it is to do less than asked, else nothing.

        Raises:
            OSError: the fault.
        """
        path = self._path(file)
        if path is None:
            return ""
        with self._lock:
            step = Step(does, path, self._count[does, path])
            self._count[does, path] += 1
            self.steps.append(step)
            fault = self._fault
            if fault is None or not self._meets(fault, step):
                self._remember(does, file)
                return ""
            self.met = True
            if fault.kind == "power cut":
                self._lose()
            if fault.kind in DEADLY:
                os.kill(os.getpid(), signal.SIGKILL)
            self._remember(does, file)
        return _happen(fault.kind, does, self._root + path)

    def _remember(self, does: str, file: Any) -> None:
        """Keep in mind what is not on the disk yet."""
        if does in ("write", "copy", "fsync"):
            status = os.stat(file)
            change = self._dirty.discard if does == "fsync" else self._dirty.add
            change((status.st_dev, status.st_ino))

    def _lose(self) -> None:
        """Take away what was written and not flushed."""
        self._fault = None
        for folder, _, names in os.walk(self._root):
            for name in names:
                status = os.lstat(path := os.path.join(folder, name))
                if (status.st_dev, status.st_ino) in self._dirty:
                    os.truncate(path, 0)

    def _meets(self, fault: Fault, step: Step) -> bool:
        if step == fault.step:
            return True
        if not self.met or fault.kind not in _FOR_EVER or step.does not in KINDS[fault.kind]:
            return False
        if fault.kind == "slow":
            return step.does == fault.step.does
        return fault.kind not in _OF_ONE_FILE or step.file == fault.step.file

    def _path(self, file: Any) -> str | None:
        """Return a file below the folder; None for others."""
        try:
            path = os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else os.fsdecode(file)
        except (OSError, TypeError):
            return None
        path = os.path.abspath(path)
        return _OWN_NUMBERS.sub("*", path[len(self._root) :]) if path.startswith(self._root) else None

    def _watch(
        self, module: Any, name: str, does: str, *, which: int = 0, size: int | None = None,
        result: Callable[[Any, bool], Any] | None = None,
    ) -> None:  # fmt: skip
        system = getattr(module, name, None)
        if system is None:
            return

        def called(*args: Any, **kwargs: Any) -> Any:
            file = args[which] if len(args) > which else "."
            if (folder := kwargs.get("dir_fd")) is not None:
                file = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(file))
            less = self.at(does, file)
            if size is not None and less:
                args = _less(args, size)
            if less == "half":
                system(*args, **kwargs)
                raise _error("write error", does, os.fsdecode(self._path(file) or ""))
            if name == "fsync":
                return None  # it would take its time, and shows nowhere but in `_dirty`
            found = system(*args, **kwargs)
            return found if result is None else result(found, less == "stale")

        setattr(module, name, called)

    def _watch_arrow(self) -> None:
        """Let pyarrow read through Python what it would open by name."""
        of_pyarrow = pa.OSFile
        pa.OSFile = lambda file: (of_pyarrow if self._path(file) is None else io.open)(file, "rb")

    def _opened(self, file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
        if self._path(file) is None:
            return self._open(file, mode, buffering, *args, **kwargs)
        return _stack(_Raw(self, file, mode.replace("t", "").replace("b", "")), mode, buffering, *args, **kwargs)


class _Raw(io.FileIO):
    """An open file that asks the disk before every read and write."""

    def __init__(self, disk: Disk, file: Any, mode: str) -> None:
        super().__init__(file, mode)
        self._disk = disk

    def write(self, data: Any, /) -> int:
        less = self._disk.at("write", self.fileno())
        if not less:
            return super().write(data)
        written = super().write(memoryview(data)[: max(1, len(data) // 2)])
        if less == "half":
            raise _error("write error", "write", str(self.name))
        return written

    def readinto(self, buffer: Any, /) -> int:
        less = self._disk.at("read", self.fileno())
        view = memoryview(buffer)
        return super().readinto(view[: max(1, len(view) // 2)] if less else view)

    def readall(self) -> bytes:
        self._disk.at("read", self.fileno())
        return super().readall()

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return self.readall()
        less = self._disk.at("read", self.fileno())
        return super().read(max(1, size // 2) if less and size else size)


class _Entries:
    """A listing of os.scandir that may lack its last entry."""

    def __init__(self, entries: Any, stale: bool) -> None:
        self._entries = sorted(entries, key=lambda entry: entry.stat(follow_symlinks=False).st_mtime_ns)
        if stale and self._entries:
            self._entries.pop()
        self._rest = iter(self._entries)

    def __iter__(self) -> Iterator[Any]:
        return self._rest

    def __next__(self) -> Any:
        return next(self._rest)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def close(self) -> None:
        """Nothing is open."""


def _stack(
    raw: _Raw, mode: str, buffering: int = -1, encoding: str | None = None, errors: str | None = None,
    newline: str | None = None, closefd: bool = True, opener: Any = None,
) -> Any:  # fmt: skip
    """Return what `open` returns over a raw file."""
    if buffering == 0:
        return raw
    size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    changing = any(letter in mode for letter in "wax")
    kind: Any = io.BufferedRandom if "+" in mode else io.BufferedWriter if changing else io.BufferedReader
    buffered = kind(raw, size)
    return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)


def _limit_sizes(size_bytes: int | None) -> None:
    """Let no file of this process grow beyond a size, whoever writes it; without one, any may."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size_bytes is None else size_bytes, hard))


def _less(args: tuple[Any, ...], size: int) -> tuple[Any, ...]:
    """Return the arguments of a call that asks for half as much."""
    asked = [b"".join(args[size])] if isinstance(args[size], list) else args[size]
    half: Any
    if isinstance(asked, int):
        half = max(1, asked // 2)
    elif isinstance(asked, list):  # of pieces, to be written one after the other
        half = [memoryview(asked[0])[: max(1, len(asked[0]) // 2)]]
    else:
        half = memoryview(asked)[: max(1, len(asked) // 2)]
    return (*args[:size], half, *args[size + 1 :])


def _happen(kind: str, does: str, path: str) -> str:
    if kind == "slow":
        time.sleep(_PAUSE_S)
        return ""
    if kind in ("short read", "short write"):
        return "short"
    if kind == "stale listing":
        return "stale"
    if kind == "write error" and does == "write":
        return "half"
    raise _error(kind, does, path)


def _error(kind: str, does: str, path: str) -> OSError:
    number = errno.ENOSPC if kind in ("disk full", "no space once") else errno.EIO
    return (
        OSError(number, os.strerror(number))
        if does in ("write", "copy", "read", "fsync")
        else OSError(number, os.strerror(number), path)
    )
