"""What the loopback Hub keeps: blobs by sha256 on disk, and repositories with a history of commits."""

from __future__ import annotations

import codecs
import fnmatch
import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

CHUNK_BYTES = 1 << 20
REGULAR_BYTES = 10 << 20
"""A text file up to this size goes into the commit itself, all else into large file storage."""

GIT_ATTRIBUTES = "".join(f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in ("tar", "parquet", "jpg", "png"))
"""What a new repository holds, as on the Hub: its first commit."""

_CLOCK_START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Refused(Exception):
    """The Hub says no: `code` is the value of X-Error-Code that its clients tell errors by."""

    def __init__(self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, dict(headers or {})


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file of a commit. `oid` is git's: of the content, or of the pointer where the content lies in LFS."""

    size: int
    sha256: str
    oid: str
    is_lfs: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """One state of a repository; `files` maps paths to entries."""

    oid: str
    parent: str | None
    title: str
    message: str
    date: str
    files: Mapping[str, Entry]


@dataclass(kw_only=True, slots=True)
class PullRequest:
    """`base`: the commit of main that it started from. `status`: draft, open, closed or merged."""

    number: int
    title: str
    description: str
    base: str
    date: str
    status: str
    merge_commit: str | None = None

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.number}"


class Blobs:
    """Contents by sha256 in one folder; a blob is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._count = 0
        self._lock = threading.Lock()

    def path(self, sha256: str) -> Path:
        return self.folder / sha256

    def has(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def receive(self, pieces: Iterable[bytes]) -> tuple[Path, str, int]:
        """Write a body beside the blobs; return where, its sha256 and its size."""
        with self._lock:
            self._count += 1
            path = self.folder / f"incoming-{self._count}"
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("wb") as file:
                for piece in pieces:
                    digest.update(piece)
                    size += file.write(piece)
        except BaseException:
            path.unlink()
            raise
        return path, digest.hexdigest(), size

    def add(self, content: bytes | Path) -> tuple[str, int]:
        """Keep a content; return its sha256 and size."""
        if isinstance(content, Path):
            with content.open("rb") as file:
                path, sha256, size = self.receive(iter(lambda: file.read(CHUNK_BYTES), b""))
        else:
            path, sha256, size = self.receive([content])
        path.replace(self.path(sha256))
        return sha256, size

    def entry(self, sha256: str, *, is_lfs: bool) -> Entry:
        size = self.path(sha256).stat().st_size
        if is_lfs:
            data = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        else:
            data = self.path(sha256).read_bytes()
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        return Entry(size=size, sha256=sha256, oid=oid, is_lfs=is_lfs)


@dataclass(kw_only=True)
class Repository:
    """A git-like history: commits by oid, and names (branches, tags, refs/pr/N) of some of them."""

    kind: str
    repo_id: str
    private: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: list[PullRequest] = field(default_factory=list)
    pull_heads: dict[str, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def now(self) -> str:
        """Return a time of its own, a second later with every commit and pull request."""
        date = _CLOCK_START + timedelta(seconds=len(self.commits) + len(self.pulls))
        return date.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def at(self, revision: str) -> Commit:
        """Return the commit that a branch, tag, refs/pr/N or full hash stands for."""
        revision = revision.removeprefix("refs/heads/")
        for names in (self.branches, self.tags, self.pull_heads):
            if revision in names:
                return self.commits[names[revision]]
        if revision not in self.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[revision]

    def history(self, revision: str = "main") -> list[Commit]:
        """Return a revision's commits, the oldest first."""
        found = [self.at(revision)]
        while found[-1].parent is not None:
            found.append(self.commits[found[-1].parent])
        return found[::-1]

    def commit(
        self,
        ref: str,
        edit: Callable[[dict[str, Entry]], None],
        *,
        title: str,
        message: str = "",
        parent: str | None = None,
    ) -> Commit:
        """Move a branch or an open pull request on by one commit: its files as `edit` leaves them."""
        with self.lock:
            heads = self.pull_heads if ref.startswith("refs/pr/") else self.branches
            if self.commits and ref not in heads:
                raise Refused(404, f"Invalid rev id: {ref}", "RevisionNotFound")
            head = self.commits[heads[ref]] if self.commits else None
            if head and parent not in (None, head.oid):
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
            if heads is self.pull_heads and self.pull(int(ref.rsplit("/", 1)[1])).status in ("closed", "merged"):
                raise Refused(403, f"{ref} is closed")
            files = dict(head.files) if head else {}
            edit(files)
            date, parent = self.now(), head.oid if head else None
            words = [self.repo_id, ref, parent or "", title, message, date]
            words += [f"{path} {files[path].oid}" for path in sorted(files)]
            oid = hashlib.sha1("\n".join(words).encode()).hexdigest()
            self.commits[oid] = Commit(oid=oid, parent=parent, title=title, message=message, date=date, files=files)
            heads[ref] = oid
            return self.commits[oid]

    def pull(self, number: int) -> PullRequest:
        if not 1 <= number <= len(self.pulls):
            raise Refused(404, f"There is no discussion {number}")
        return self.pulls[number - 1]

    def open_pull(self, title: str, description: str, *, status: str, base: str = "main") -> PullRequest:
        """Return a new pull request that starts where `base` is."""
        with self.lock:
            number, start = len(self.pulls) + 1, self.at(base).oid
            pull = PullRequest(
                number=number, title=title, description=description, base=start, date=self.now(), status=status
            )
            self.pulls.append(pull)
            self.pull_heads[pull.ref] = start
            return pull

    def conflicts(self, pull: PullRequest) -> list[str]:
        """Return the paths that both a pull request and main have changed since it started, differently."""
        base, ours, theirs = (self.commits[pull.base].files, self.at("main").files, self.at(pull.ref).files)
        return sorted(
            path
            for path in {*base, *ours, *theirs}
            if theirs.get(path) != base.get(path) != ours.get(path) != theirs.get(path)
        )

    def merge(self, pull: PullRequest) -> Commit:
        """Put a pull request's changes on main as one commit, as the Hub does."""
        with self.lock:
            if pull.status != "open":
                raise Refused(400, f"Pull request {pull.number} is {pull.status}; only an open one can be merged")
            if conflicts := self.conflicts(pull):
                raise Refused(409, f"Conflicts in {', '.join(conflicts)}")
            base, theirs = self.commits[pull.base].files, self.at(pull.ref).files

            def edit(files: dict[str, Entry]) -> None:
                for path in base.keys() - theirs.keys():
                    files.pop(path, None)
                files.update({path: entry for path, entry in theirs.items() if base.get(path) != entry})

            commit = self.commit("main", edit, title=f"{pull.title} (#{pull.number})", message=pull.description)
            pull.status, pull.merge_commit = "merged", commit.oid
            return commit


class Store:
    """All repositories and blobs. `private` repositories are shown to none but who has a token."""

    def __init__(self, root: Path) -> None:
        self.blobs = Blobs(root / "blobs")
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.lock = threading.RLock()

    def create(self, kind: str, repo_id: str, *, private: bool = False) -> Repository:
        """Return a new repository with the one commit that the Hub gives it."""
        with self.lock:
            if (kind, repo_id) in self.repositories:
                raise Refused(409, f"You already created this {kind} repo: {repo_id}")
            repository = Repository(kind=kind, repo_id=repo_id, private=private)
            sha256, _ = self.blobs.add(GIT_ATTRIBUTES.encode())
            first = {".gitattributes": self.blobs.entry(sha256, is_lfs=False)}
            repository.commit("main", lambda files: files.update(first), title="initial commit")
            self.repositories[kind, repo_id] = repository
            return repository


def is_large(path: str, sample: bytes, size: int) -> bool:
    """Return whether a file goes into LFS: by its name, its size, or because its first bytes are no text."""
    name = path.rsplit("/", 1)[-1]
    patterns = [line.split()[0] for line in GIT_ATTRIBUTES.splitlines()]
    if size > REGULAR_BYTES or any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
        return size > 0
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # that the sample ends within a character is no fault
    except UnicodeDecodeError:
        return True
    return b"\0" in sample
