"""The loopback Hub against the unmodified clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, HfFileSystem
from huggingface_hub.errors import (
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from tests.factories import make_export
from tests.hub.client import assert_copied, at_every_commit, client_here
from tests.hub.loopback import TOKEN, LoopbackHub

LARGE = bytes(range(256)) * 40


@pytest.fixture
def api(hub: LoopbackHub, tmp_path: Path) -> Iterator[HfApi]:
    with client_here(hub, tmp_path / "home"):
        yield HfApi()


def commit(api: HfApi, files: dict[str, bytes], *gone: str, parent: str | None = None, ref: str = "main") -> str:
    """Commit files and deletions; return the commit."""
    operations: list[CommitOperationAdd | CommitOperationDelete] = [CommitOperationDelete(path) for path in gone]
    operations += [CommitOperationAdd(path, content) for path, content in files.items()]
    made = api.create_commit(
        "me/name", operations, commit_message="one", repo_type="dataset", parent_commit=parent, revision=ref
    )
    return made.oid


def read(api: HfApi, path: str, revision: str | None = None) -> bytes:
    return Path(api.hf_hub_download("me/name", path, repo_type="dataset", revision=revision)).read_bytes()


def listed(api: HfApi, folder: str | None = None, revision: str = "main", *, deep: bool = True) -> list[str]:
    tree = api.list_repo_tree("me/name", folder, repo_type="dataset", revision=revision, recursive=deep)
    return [entry.path for entry in tree]


def test_commits(hub: LoopbackHub, api: HfApi) -> None:
    assert api.create_repo("me/name", repo_type="dataset", private=True).repo_id == "me/name"
    assert api.create_repo("me/name", repo_type="dataset", exist_ok=True).repo_id == "me/name"
    card = b"---\nlicense: mit\n---\n"
    first = commit(api, {"README.md": card, "empty": b"", "a/b/one.tar": LARGE, "a/two.bin": LARGE * 2})
    second = commit(api, {"a/new.txt": b"new"}, "a/b/", "empty", parent=first)
    with pytest.raises(HfHubHTTPError, match="412"):
        commit(api, {"late": b""}, parent=first)
    commits = api.list_repo_commits("me/name", repo_type="dataset")
    assert [made.commit_id for made in commits][:2] == [second, first]
    assert read(api, "a/two.bin") == LARGE * 2
    assert read(api, "a/b/one.tar", first) == LARGE
    assert sorted((put.size, put.kept) for put in hub.log.puts) == [(10240, True), (20480, True)]
    assert [(made.added, made.deleted) for made in hub.log.commits] == [(4, 0), (1, 2)]
    assert [sorted(files) for _, files in at_every_commit(hub, "me/name")] == [
        [".gitattributes"],
        [".gitattributes", "README.md", "a/b/one.tar", "a/two.bin", "empty"],
        [".gitattributes", "README.md", "a/new.txt", "a/two.bin"],
    ]


def test_listings_come_in_pages(hub: LoopbackHub, api: HfApi) -> None:
    hub.create("me/name")
    hub.page_size = 2
    made = hub.commit("me/name", {"a/b/one.tar": LARGE, "a/two.bin": LARGE, "b": b"text"}).oid
    assert listed(api) == [".gitattributes", "a", "a/b", "a/b/one.tar", "a/two.bin", "b"]
    assert listed(api, "a", made, deep=False) == ["a/b", "a/two.bin"]
    assert hub.log.count("tree") == 4
    found = api.get_paths_info("me/name", ["a/two.bin", "b", "a/b", "gone"], repo_type="dataset")
    sizes = [(entry.size, entry.lfs is not None) for entry in found if isinstance(entry, RepoFile)]
    assert sizes == [(len(LARGE), True), (4, False)]
    assert len(found) == 3


def test_what_is_not_there(hub: LoopbackHub, api: HfApi) -> None:
    hub.create("me/name")
    with pytest.raises(RemoteEntryNotFoundError):
        read(api, "gone")
    with pytest.raises(RemoteEntryNotFoundError):
        listed(api, "gone")
    with pytest.raises(RevisionNotFoundError):
        read(api, ".gitattributes", "gone")
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("me/gone")


def test_branches_and_tags(hub: LoopbackHub, api: HfApi) -> None:
    first = hub.create("me/name").at("main").oid
    api.create_branch("me/name", branch="next", repo_type="dataset")
    made = commit(api, {"x": b"x"}, ref="next")
    api.create_tag("me/name", tag="v1", revision="next", repo_type="dataset")
    assert [api.dataset_info("me/name", revision=name).sha for name in ("main", "next", "v1")] == [first, made, made]
    refs = api.list_repo_refs("me/name", repo_type="dataset")
    assert [branch.name for branch in refs.branches] == ["main", "next"]


def test_pull_requests(hub: LoopbackHub, api: HfApi) -> None:
    hub.create("me/name")
    pull = api.create_pull_request("me/name", "parts", description="export 1", repo_type="dataset")
    assert (pull.status, pull.git_reference, pull.target_branch) == ("draft", "refs/pr/1", "refs/heads/main")
    for number in range(2):
        commit(api, {f"{number}.tar": LARGE + bytes([number])}, ref="refs/pr/1")
    found = api.get_repo_discussions(
        "me/name", discussion_type="pull_request", discussion_status="open", repo_type="dataset"
    )
    assert [(other.num, other.title) for other in found] == [(1, "parts")]
    details = api.get_discussion_details("me/name", 1, repo_type="dataset")
    assert [event.type for event in details.events] == ["comment", "commit", "commit"]
    assert (len(listed(api)), len(listed(api, revision="refs/pr/1"))) == (1, 3)
    with pytest.raises(HfHubHTTPError, match="draft"):
        api.merge_pull_request("me/name", 1, repo_type="dataset")
    api.change_discussion_status("me/name", 1, "open", repo_type="dataset")
    api.merge_pull_request("me/name", 1, repo_type="dataset")
    assert api.get_discussion_details("me/name", 1, repo_type="dataset").status == "merged"
    assert [(made.title, len(files)) for made, files in at_every_commit(hub, "me/name")] == [
        ("initial commit", 1),
        ("parts (#1)", 3),
    ]
    with pytest.raises(HfHubHTTPError, match="closed"):
        commit(api, {"x": b"x"}, ref="refs/pr/1")


def test_a_commit_that_opens_a_pull_request(hub: LoopbackHub, api: HfApi) -> None:
    hub.create("me/name")
    made = api.create_commit(
        "me/name", [CommitOperationAdd("x", b"mine")], commit_message="mine", repo_type="dataset", create_pr=True
    )
    assert (made.pr_num, made.pr_revision) == (1, "refs/pr/1")
    hub.commit("me/name", {"x": b"theirs"})
    assert api.get_discussion_details("me/name", 1, repo_type="dataset").conflicting_files == ["x"]
    with pytest.raises(HfHubHTTPError, match="409"):
        api.merge_pull_request("me/name", 1, repo_type="dataset")


@pytest.mark.parametrize(
    ("repo_id", "token", "said"),
    [
        ("me/name", None, "401"),
        ("me/name", "hf_wrong", "401"),
        ("other/name", TOKEN, "403"),
        ("other/name", None, "401"),
    ],
)
def test_who_may_what(hub: LoopbackHub, tmp_path: Path, repo_id: str, token: str | None, said: str) -> None:
    hub.create("me/name", private=True)
    hub.create("other/name")
    with client_here(hub, tmp_path, token=token):
        if repo_id == "other/name":
            assert HfApi().dataset_info(repo_id).sha  # reading is for all
        with pytest.raises(HfHubHTTPError, match=said):
            HfApi().create_commit(repo_id, [CommitOperationAdd("x", b"")], commit_message="x", repo_type="dataset")
    assert TOKEN not in repr(hub.log)


def test_parts_and_redirects(hub: LoopbackHub, api: HfApi) -> None:
    hub.multipart_bytes, hub.redirects = 4096, True
    hub.create("me/name", private=True)
    commit(api, {"large.tar": LARGE})
    assert read(api, "large.tar") == LARGE
    assert hub.log.count("put-part") == 3
    assert [request.token for request in hub.log.requests if request.endpoint == "cdn"] == [False]


def test_an_export_goes_up_and_loads(hub: LoopbackHub, api: HfApi, tmp_path: Path) -> None:
    export = tmp_path / "export"
    make_export(export, bases=(128, 64))
    api.create_repo("me/name", repo_type="dataset")
    api.upload_folder(repo_id="me/name", folder_path=export, repo_type="dataset")
    assert_copied(export, Path(api.snapshot_download("me/name", repo_type="dataset")))
    for name in ("r128", "r64"):
        stream = list(datasets.load_dataset("me/name", name, split="train", streaming=True))
        kept = datasets.load_dataset("me/name", name, split="train")
        assert [row["txt"] for row in stream] == list(kept["txt"])
        assert len(stream) > 5
    shard = HfFileSystem().glob("datasets/me/name/buckets/*/*.tar")[0]
    with HfFileSystem().open(shard) as file:
        file.seek(257)
        assert file.read(5) == b"ustar"
    assert any(request.range for request in hub.log.requests)
