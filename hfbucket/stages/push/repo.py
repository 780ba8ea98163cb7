"""Push to a dataset repository: blobs first, then one commit; or parts to a pull request that is merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hfbucket.core.transfer.push import COMMIT_FILES, Changes, Part, PushFile, Remote, batches, changes, in_parts
from hfbucket.errors import PushError
from hfbucket.io.hub.git_hash import git_oid
from hfbucket.io.hub.repo import PULL_TITLE, HubRepo
from hfbucket.stages.push.target import OnBytes, Published

__all__ = ["RepoTarget"]

_MAIN = "main"


@dataclass(frozen=True, kw_only=True, slots=True)
class RepoTarget:
    """A branch of a dataset repository. It never holds a shard ahead of its manifest: a commit has both or none."""

    repo: HubRepo
    revision: str
    #: Leave the changes in a pull request.
    create_pr: bool
    private: bool | None
    message: str
    #: Names a push, so that a later call finds what an earlier one began.
    export_id: str
    on_hub: bool = True

    @property
    def name(self) -> str:
        """The repository, with the branch where it is not the main one."""
        return self.repo.repo_id if self.revision == _MAIN else f"{self.repo.repo_id}@{self.revision}"

    def look(self) -> Remote:
        """Return what stands in the branch."""
        return self.repo.look(self.revision)

    def objection(self, card: str) -> str | None:
        """Return what the Hub's rules say against a card, or None."""
        return self.repo.check_card(card)

    def way(self, found: Changes) -> str:
        """Return in words how these changes get there."""
        if not self._by_parts(found):
            return "one commit"
        if self.revision != _MAIN:
            raise PushError(
                f"{self.name}: {found.files:,} files change, and more than {COMMIT_FILES:,} go by a pull request, "
                "which the Hub merges into main only; push to main, or make fewer files with a larger --max-shard-size"
            )
        parts = sum(1 for _ in in_parts(found))
        commits = f"{parts:,} commit{'s' if parts > 1 else ''} to a pull request"
        return f"{commits}, left open" if self.create_pr else f"{commits} that is then merged"

    def _by_parts(self, found: Changes) -> bool:
        return self.create_pr or found.files > COMMIT_FILES

    def standing(self, remote: Remote) -> Published:
        """Return where the unchanged export stands."""
        return self._published(remote.commit or self.revision)

    def _published(self, commit: str, pull_request: str | None = None) -> Published:
        url = f"{self.repo.url}/tree/{commit}"
        return Published(url=url, loads_as=self.repo.repo_id, commit=commit, pull_request=pull_request)

    def publish(self, found: Changes, remote: Remote, on_bytes: OnBytes) -> Published:
        """Send what is missing and commit it; run again after a kill, it sends only what has not arrived."""
        if not remote.exists:
            self.repo.create(private=self.private)
        if self.revision != _MAIN:
            self.repo.create_branch(self.revision)
        base = remote.commit or self.repo.head(self.revision)
        if self._by_parts(found):
            return self._by_pull_request(found, base, on_bytes)
        return self._published(self._commit(found, base, on_bytes))

    def _commit(self, found: Changes, base: str, on_bytes: OnBytes) -> str:
        additions = self._upload(found.send, self.revision, on_bytes)
        return self.repo.commit(
            additions,
            Part(send=found.send, delete=found.delete),
            revision=self.revision,
            parent=base,
            message=self.message,
            is_done=lambda commit: not self._left(found, commit).files,
        )

    def _upload(self, files: tuple[PushFile, ...], revision: str, on_bytes: OnBytes) -> list[Any]:
        return [addition for batch in batches(files) for addition in self.repo.upload(batch, revision, on_bytes)]

    def _left(self, found: Changes, revision: str) -> Changes:
        """Return what a revision still lacks of the export that `found` leads to."""
        return changes((*found.send, *found.keep), self.repo.files(revision), git_oid)

    def _by_pull_request(self, found: Changes, base: str, on_bytes: OnBytes) -> Published:
        title = f"{PULL_TITLE}{self.export_id} onto {base[:12]}"
        number = self.repo.open_pull_request(title, _DESCRIPTION.format(files=found.files))
        ref = f"refs/pr/{number}"
        left = self._left(found, ref)
        on_bytes(found.send_bytes - left.send_bytes)
        head = self.repo.head(ref)
        for place, part in enumerate(in_parts(left), start=1):
            head = self._commit_part(part, ref, head, f"{self.message} (part {place})", on_bytes)
        missing = self._left(found, ref)
        if missing.files:
            raise PushError(
                f"{self.name}: pull request {number} is not what was pushed: {missing.files:,} files differ; "
                f"close it and push again"
            )
        if self.create_pr:
            return self._published(head, f"{self.repo.url}/discussions/{number}")
        done = self.repo.merge(number, base=base, is_done=lambda commit: not self._left(found, commit).files)
        return self._published(done)

    def _commit_part(self, part: Part, ref: str, head: str, message: str, on_bytes: OnBytes) -> str:
        wanted = Changes(send=part.send, delete=part.delete, keep=())

        def is_done(commit: str) -> bool:
            there = self.repo.files(commit)
            return not changes(part.send, there, git_oid).send and not set(part.delete) & set(there)

        return self.repo.commit(
            self._upload(wanted.send, ref, on_bytes), part, revision=ref, parent=head, message=message, is_done=is_done
        )


_DESCRIPTION = (
    "A dataset with {files:,} changed files, pushed by hfbucket in parts. It is merged when all of them are here; "
    "until then `main` stays as it is. If the push was interrupted, the same command continues here."
)
