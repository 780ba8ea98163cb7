"""A dataset repository of the Hub as the target of a push: listed, filled and committed by huggingface_hub."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, TypeVar, cast

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetCard, HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from hfbucket import __version__
from hfbucket.core.events import Notice, OnEvent, ignore
from hfbucket.core.transfer.push import AT_ONCE, Part, PushFile, Remote, RemoteFile
from hfbucket.errors import PushError
from hfbucket.io.hub.errors import PATIENT, Patience, patiently, told

__all__ = ["PULL_TITLE", "HubRepo", "OnBytes", "quiet_client"]

T = TypeVar("T")
OnBytes = Callable[[int], None]
"""Told how many more bytes have left."""


PULL_TITLE: Final = "hfbucket push "
"""How the titles of our pull requests begin."""

_LEFT_OVER: Final = "{repo}: pull request {number} is left over from a push of something else; close it there"


@contextmanager
def quiet_client() -> Iterator[None]:
    """Keep the client's own progress bars away while ours is shown."""
    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


class HubRepo:
    """One repository; every call waits out what passes and raises PushError for what does not."""

    def __init__(
        self, repo_id: str, *, token: str | bool | None, on_event: OnEvent = ignore, patience: Patience = PATIENT
    ) -> None:
        self.repo_id = repo_id
        self._api = HfApi(library_name="hfbucket", library_version=__version__, token=token)
        self._token = token
        self._on_event, self._patience = on_event, patience

    @property
    def url(self) -> str:
        """The address of its page."""
        return f"{self._api.endpoint}/datasets/{self.repo_id}"

    def look(self, revision: str) -> Remote:
        """Return what stands in a branch; a branch that does not exist yet will start as `main` is."""

        def ask() -> Remote:
            try:
                info = self._info(revision)
            except RevisionNotFoundError:
                info = self._info("main")
            except RepositoryNotFoundError:
                return Remote(exists=False, private=None, files={})
            commit = str(info.sha)
            return Remote(exists=True, private=bool(info.private), files=self._files(commit), commit=commit)

        return self._try("looking at it", ask)

    def create(self, *, private: bool | None) -> None:
        """Make the repository where it is missing."""
        create = self._api.create_repo
        self._try("creating it", lambda: create(self.repo_id, repo_type="dataset", private=private, exist_ok=True))

    def create_branch(self, revision: str) -> None:
        """Make a branch where it is missing."""
        create = self._api.create_branch
        self._try(
            f"creating the branch {revision}",
            lambda: create(self.repo_id, repo_type="dataset", branch=revision, exist_ok=True),
        )

    def head(self, revision: str) -> str:
        """Return the commit a revision stands at."""
        return self._try("looking at it", lambda: str(self._info(revision).sha))

    def files(self, revision: str) -> dict[str, RemoteFile]:
        """Return all files of a revision."""
        return self._try("listing it", lambda: self._files(revision))

    def check_card(self, text: str) -> str | None:
        """Return what the Hub's own rules say against a card, or None."""

        def ask() -> str | None:
            try:
                DatasetCard(text).validate(repo_type="dataset")
            except ValueError as error:
                return " ".join(str(error).split())
            return None

        return self._try("asking it about the card", ask)

    def upload(self, files: Sequence[PushFile], revision: str, on_bytes: OnBytes) -> list[CommitOperationAdd]:
        """Bring the bytes of files to the Hub without a commit; return what a commit needs to name them."""
        tally = _Tally(on_bytes)
        additions = [_Addition.of(file, tally) for file in files]
        preupload = self._api.preupload_lfs_files
        with quiet_client():
            self._try(
                "uploading",
                lambda: preupload(self.repo_id, additions, repo_type="dataset", revision=revision, num_threads=AT_ONCE),
            )
        ignored = [addition.path_in_repo for addition in additions if addition._should_ignore]
        if ignored:
            raise PushError(
                f"{self.repo_id}: its .gitignore keeps out {len(ignored):,} files, first {ignored[0]}; delete it there "
                "and push again"
            )
        for file in files:
            tally.reach(file.path, file.size_bytes)
        return list(additions)

    def commit(
        self,
        additions: Sequence[CommitOperationAdd],
        part: Part,
        *,
        revision: str,
        parent: str,
        message: str,
        is_done: Callable[[str], bool],
    ) -> str:
        """Commit on top of `parent` and return the new commit.

        Where the answer of an earlier try was lost, the branch has moved: then `is_done` tells by looking at the new
        commit whether that was us.

        Raises:
            PushError: somebody else has committed in the meantime.
        """
        deletions = [CommitOperationDelete(path_in_repo=path, is_folder=False) for path in part.delete]

        def attempt() -> str:
            head = str(self._info(revision).sha)
            if head != parent:
                if is_done(head):
                    return head
                raise PushError(f"{self.repo_id}: {revision} has changed since the push began; push again")
            info = self._api.create_commit(
                self.repo_id,
                [*additions, *deletions],
                repo_type="dataset",
                revision=revision,
                commit_message=message,
                parent_commit=parent,
            )
            return str(info.oid)

        with quiet_client():
            return self._try("committing", attempt)

    def find_pull_request(self, title: str) -> int | None:
        """Return the number of an own open pull request of this title, the newest."""

        def ask() -> int | None:
            own = self._api.whoami()["name"]
            found = self._api.get_repo_discussions(
                self.repo_id, repo_type="dataset", author=own, discussion_type="pull_request", discussion_status="open"
            )
            pulls = {pull.num: pull.title for pull in found if pull.author == own}
            for number, other in pulls.items():
                if other != title and other.startswith(PULL_TITLE):
                    self._on_event(Notice(level="info", text=_LEFT_OVER.format(repo=self.repo_id, number=number)))
            return max((number for number, other in pulls.items() if other == title), default=None)

        return self._try("looking for an earlier pull request", ask)

    def open_pull_request(self, title: str, description: str) -> int:
        """Open a pull request and return its number; one that an earlier try opened is found again."""

        def attempt() -> int:
            found = self.find_pull_request(title)
            if found is not None:
                return found
            create = self._api.create_pull_request
            return create(self.repo_id, title, description=description, repo_type="dataset").num

        return self._try("opening a pull request", attempt)

    def merge(self, number: int, *, base: str, is_done: Callable[[str], bool]) -> str:
        """Merge a pull request into `main`, which must still stand at `base`; return the new commit."""

        def attempt() -> str:
            head = str(self._info("main").sha)
            if head != base:
                if is_done(head):
                    return head
                raise PushError(
                    f"{self.repo_id}: main has changed since pull request {number} was begun; push again, "
                    "and close that one"
                )
            pull = self._api.get_discussion_details(self.repo_id, number, repo_type="dataset")
            if pull.status == "draft":  # as the Hub opens them for programs; a draft cannot be merged
                self._api.change_discussion_status(self.repo_id, number, "open", repo_type="dataset")
            if pull.status != "merged":
                self._api.merge_pull_request(self.repo_id, number, repo_type="dataset")
            merged = str(self._info("main").sha)
            if merged == base:
                raise ConnectionError("main has not moved yet")  # so that it is looked at again
            if not is_done(merged):
                raise PushError(f"{self.repo_id}: main is not what was pushed; push again")
            return merged

        return self._try(f"merging pull request {number}", attempt)

    def _info(self, revision: str) -> Any:  # noqa: ANN401 (huggingface_hub's DatasetInfo)
        return self._api.dataset_info(self.repo_id, revision=revision)

    def _files(self, revision: str) -> dict[str, RemoteFile]:
        tree = self._api.list_repo_tree(self.repo_id, repo_type="dataset", revision=revision, recursive=True)
        return {entry.path: _remote_file(entry) for entry in tree if isinstance(entry, RepoFile)}

    def _try(self, doing: str, action: Callable[[], T]) -> T:
        doing = f"{self.repo_id}: {doing}"
        with told(doing, self._token):
            return patiently(action, doing=doing, token=self._token, patience=self._patience, on_event=self._on_event)


def _remote_file(entry: RepoFile) -> RemoteFile:
    sha256 = entry.lfs.sha256 if entry.lfs is not None else None
    return RemoteFile(path=entry.path, size_bytes=entry.size, sha256=sha256, git_oid=entry.blob_id)


class _Tally:
    """How far each file has been read; a file that is sent again from its start counts once."""

    def __init__(self, on_bytes: OnBytes) -> None:
        self._on_bytes, self._reached, self._lock = on_bytes, dict[str, int](), threading.Lock()

    def reach(self, path: str, position: int) -> None:
        """Note that a file has been read up to a position."""
        with self._lock:
            more = position - self._reached.get(path, 0)
            if more > 0:
                self._reached[path] = position
                self._on_bytes(more)


class _Addition(CommitOperationAdd):
    """An addition that knows its hash from the manifest, so that the client need not read it twice, and tells how far
    it has been read.
    """

    _tally: _Tally

    @classmethod
    def of(cls, file: PushFile, tally: _Tally) -> _Addition:
        """Return the addition of one file."""
        addition = cls(path_in_repo=file.path, path_or_fileobj=file.source)
        addition.upload_info.sha256 = bytes.fromhex(file.sha256)
        addition._tally = tally
        return addition

    @contextmanager
    def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:
        """Give the file for reading; where it is read to be sent, its progress counts."""
        with super().as_file() as file:
            if not with_tqdm or not isinstance(self.path_or_fileobj, str):
                yield file
                return
            counted = _Counted(file.raw, self._tally, self.path_in_repo)  # type: ignore[attr-defined]
            yield cast("BinaryIO", counted)


class _Counted(io.BufferedReader):
    """A file that tells how far it has been read."""

    def __init__(self, raw: io.RawIOBase, tally: _Tally, path: str) -> None:
        super().__init__(raw)
        self._tally, self._path = tally, path

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes."""
        data = super().read(size)
        self._tally.reach(self._path, self.tell())
        return data
