"""What a push sends: the files of an export against what stands at the target, and the limits of the Hub."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hfbucket.core.checks.problems import Problem, problem
from hfbucket.core.keys import CARD, MANIFEST

__all__ = [
    "COMMIT_FILES", "JOURNAL", "Changes", "Part", "PushFile", "Remote", "RemoteFile", "batches", "changes",
    "check_companion", "check_limits", "check_place", "in_parts", "order_of", "summary_of",
]  # fmt: skip

JOURNAL: Final = "pushing.json"
"""Stands in a folder while a push is on its way there."""

COMMIT_FILES: Final = 1000
"""More changed files than these go in parts to a pull request."""

PART_FILES: Final = 500
"""Files in one part."""

BATCH_BYTES: Final = 256_000_000
BATCH_FILES: Final = 100
AT_ONCE: Final = 5
"""Files that the client uploads at the same time; a batch of large files has as many."""

# huggingface.co/docs/hub/storage-limits
_FILES_PER_REPO: Final = 100_000
_FILES_PER_FOLDER: Final = 10_000
_BYTES_PER_FILE: Final = 500_000_000_000

_FOLDERS: Final = ("buckets", "samples", "ledger", "assets")
"""Folders of an export, in the order they are written; what stands there and is not named, is deleted."""

_KINDS: Final = {"buckets": "shards", "samples": "sample tables", "ledger": "ledger tables", "assets": "pictures"}

_DATA: Final = re.compile(r"\.(?:tar|parquet|arrow|jsonl|csv|tsv|zip|t?gz|zst|safetensors|npy|npz|lance|h5|mds)$")
"""Names of files that a loader takes for data."""

_OURS: Final = re.compile(r"(?:buckets|samples|ledger|assets)/.+|croissant\.json|pushing\.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class PushFile:
    """One file of an export that is to stand at the target."""

    path: str
    size_bytes: int
    sha256: str
    #: Where its bytes are: a path on this machine, or the bytes themselves.
    source: str | bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """One file of the target. A repository knows the sha256 of large files, of others git's own hash of the bytes."""

    path: str
    size_bytes: int
    sha256: str | None = None
    git_oid: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """What stands at a target before a push."""

    exists: bool
    #: None where there is no such notion, or where the repository does not exist yet.
    private: bool | None
    files: Mapping[str, RemoteFile]
    #: The commit these files were listed at; None outside of repositories.
    commit: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What a push has to do, in the order it does it."""

    send: tuple[PushFile, ...]
    delete: tuple[str, ...]
    keep: tuple[PushFile, ...]

    @property
    def files(self) -> int:
        """How many files change."""
        return len(self.send) + len(self.delete)

    @property
    def send_bytes(self) -> int:
        """Bytes of all files that travel."""
        return sum(file.size_bytes for file in self.send)

    def to_dict(self) -> dict[str, Any]:
        """Return names and sizes as plain JSON data."""
        return {
            "send": [{"file": file.path, "bytes": file.size_bytes} for file in self.send],
            "send_bytes": self.send_bytes,
            "delete": list(self.delete),
            "keep_files": len(self.keep),
            "keep_bytes": sum(file.size_bytes for file in self.keep),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One commit of a push."""

    send: tuple[PushFile, ...]
    delete: tuple[str, ...]


def order_of(path: str) -> tuple[int, bytes]:
    """Return where a file stands in the order of writing: shards, samples, ledger, assets, card, manifest."""
    folder = path.partition("/")[0] if "/" in path else ""
    rank = {**{name: i for i, name in enumerate(_FOLDERS)}, "": 4}.get(folder, 4)
    return {CARD: 5, MANIFEST: 6}.get(path, rank), path.encode("utf-8")


def changes(
    wanted: Iterable[PushFile], remote: Mapping[str, RemoteFile], git_oid: Callable[[PushFile], str]
) -> Changes:
    """Return what has to be sent, deleted and kept, so that the target holds exactly the wanted files.

    Files that no export has (a license, notes) are left alone.

    Args:
        git_oid: git's hash of a file's bytes; asked only where sizes agree and the target knows no sha256.
    """
    files = sorted(wanted, key=lambda file: order_of(file.path))
    names = {file.path for file in files}
    kept = {file.path for file in files if _is_same(file, remote.get(file.path), git_oid)}
    return Changes(
        send=tuple(file for file in files if file.path not in kept),
        delete=tuple(sorted(path for path in remote if path not in names and _OURS.fullmatch(path))),
        keep=tuple(file for file in files if file.path in kept),
    )


def _is_same(file: PushFile, other: RemoteFile | None, git_oid: Callable[[PushFile], str]) -> bool:
    if other is None or other.size_bytes != file.size_bytes:
        return False
    if other.sha256 is not None:
        return other.sha256 == file.sha256
    return other.git_oid is not None and other.git_oid == git_oid(file)


def batches(files: Sequence[PushFile]) -> Iterator[tuple[PushFile, ...]]:
    """Yield the files in runs that are sent together: few large ones, or many small ones."""
    run: list[PushFile] = []
    for file in files:
        run.append(file)
        large = len(run) >= AT_ONCE and sum(f.size_bytes for f in run) >= BATCH_BYTES
        if large or len(run) >= BATCH_FILES:
            yield tuple(run)
            run = []
    if run:
        yield tuple(run)


def in_parts(found: Changes, size: int = PART_FILES) -> Iterator[Part]:
    """Yield commits of at most `size` files: additions first, then deletions, card and manifest in the last."""
    last = [file for file in found.send if file.path in (CARD, MANIFEST)]
    steps: list[PushFile | str] = [file for file in found.send if file not in last]
    steps += found.delete
    steps += last
    for start in range(0, len(steps), size):
        part = steps[start : start + size]
        yield Part(
            send=tuple(step for step in part if isinstance(step, PushFile)),
            delete=tuple(step for step in part if isinstance(step, str)),
        )


def check_place(found: Changes, remote: Mapping[str, RemoteFile], *, is_part: bool) -> Iterator[Problem]:
    """Yield what a push would destroy there: files of another's making, or the rest of what this is a part of.

    Args:
        is_part: the export is a partial copy.
    """
    if is_part and any(path.startswith("buckets/") for path in found.delete):
        yield problem("part", f"is a part of an export; {len(found.delete):,} files would be deleted at the target")
    if MANIFEST in remote or JOURNAL in remote:
        return
    names = {file.path for file in (*found.send, *found.keep)}
    others = sorted(path for path in remote if path not in names and (_OURS.fullmatch(path) or _DATA.search(path)))
    if others:
        message = f"the target holds no export, but {len(others):,} other files with data, first {others[0]!r}"
        yield problem("occupied", message)


def check_companion(remote: Mapping[str, RemoteFile], place: str) -> Iterator[Problem]:
    """Yield what keeps a repository from being that of sample tables: it holds something else."""
    data = (path for path in remote if path == MANIFEST or _OURS.fullmatch(path) or _DATA.search(path))
    others = sorted(path for path in data if not path.startswith("samples/"))
    if others:
        message = f"is to hold sample tables, but holds {len(others):,} other files, first {others[0]!r}"
        yield problem("occupied", message, file=place)


def check_limits(wanted: Sequence[PushFile], remote: Mapping[str, RemoteFile]) -> Iterator[Problem]:
    """Yield what the Hub would refuse or slow down at: files per repository and folder, bytes per file."""
    kept = {path for path in remote if not _OURS.fullmatch(path)}
    total = len({file.path for file in wanted} | kept)
    if total > _FILES_PER_REPO:
        message = f"a repository has at most {_FILES_PER_REPO:,} files, this one would have {total:,}"
        yield problem("hub_limit", message)
    folders = Counter(file.path.rpartition("/")[0] for file in wanted)
    for folder, count in folders.items():
        if count > _FILES_PER_FOLDER:
            message = f"a folder has at most {_FILES_PER_FOLDER:,} files, {folder} would have {count:,}"
            yield problem("hub_limit", message, file=folder)
    for file in wanted:
        if file.size_bytes > _BYTES_PER_FILE:
            message = f"a file has at most {_BYTES_PER_FILE:,} bytes, this one has {file.size_bytes:,}"
            yield problem("hub_limit", message, file=file.path)


def summary_of(found: Changes) -> dict[str, int]:
    """Return how many files of each kind travel, in the order they do."""
    folders = Counter(file.path.partition("/")[0] if "/" in file.path else "others" for file in found.send)
    return {_KINDS.get(name, name): folders[name] for name in (*_FOLDERS, "others") if folders[name]}
