"""Repositories of the loopback Hub: a git-like history of commits, branches, tags and pull requests."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from tests.hub.blobs import Entry, iso

_CLOCK_START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Refused(Exception):
    """The Hub says no: `code` is the value of X-Error-Code that its clients tell errors by."""

    def __init__(self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, dict(headers or {})


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Commit:
    """One state of a repository; `files` maps paths to entries. Equal to itself alone."""

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
        return iso(_CLOCK_START + timedelta(seconds=len(self.commits) + len(self.pulls)))

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
