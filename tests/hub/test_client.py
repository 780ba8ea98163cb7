"""The loopback Hub against the unmodified clients."""

from __future__ import annotations

from pathlib import Path

from tests.factories import make_export
from tests.hub.client import at_every_commit, run_python
from tests.hub.loopback import TOKEN, LoopbackHub

IMPORTS = """
import io, os, sys
from pathlib import Path
import huggingface_hub
from huggingface_hub import CommitOperationAdd as Add, CommitOperationDelete as Delete, HfApi
api, home = HfApi(), Path(os.environ["HF_HOME"])
repo = dict(repo_id="me/name", repo_type="dataset")
"""


def test_commits_and_listings(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.page_size = 2
    run_python(hub, IMPORTS + """
url = api.create_repo(**repo, private=True)
assert url.repo_id == "me/name" and api.create_repo(**repo, exist_ok=True).repo_id == "me/name"
large = bytes(range(256)) * 40
first = api.create_commit(**repo, operations=[
    Add("README.md", b"---\\nlicense: mit\\n---\\n"), Add("empty", b""),
    Add("a/b/one.tar", large), Add("a/two.bin", large + large),
], commit_message="first")
second = api.create_commit(**repo, operations=[
    Delete("a/b/", is_folder=True), Delete("empty"), Add("a/new.txt", b"new"),
], commit_message="second", parent_commit=first.oid)
assert [c.commit_id for c in api.list_repo_commits(**repo)][:2] == [second.oid, first.oid]
files = {f.path: f for f in api.list_repo_tree(**repo, recursive=True)}
assert list(files) == [".gitattributes", "README.md", "a", "a/new.txt", "a/two.bin"], list(files)
assert files["a/two.bin"].lfs.size == 2 * len(large) and files["a/new.txt"].lfs is None
assert [f.path for f in api.list_repo_tree(**repo, path_in_repo="a", revision=first.oid)] == ["a/b", "a/two.bin"]
assert [f.size for f in api.get_paths_info(**repo, paths=["a/two.bin", "nowhere"])] == [2 * len(large)]
assert api.dataset_info("me/name").private and api.whoami()["name"] == "me"
try:
    api.create_commit(**repo, operations=[Add("late", b"x")], commit_message="late", parent_commit=first.oid)
except huggingface_hub.errors.HfHubHTTPError as error:
    assert error.response.status_code == 412
else:
    raise AssertionError
for path, revision, kind in (
    ("nowhere", "main", "RemoteEntryNotFoundError"), ("empty", "gone", "RevisionNotFoundError"),
):
    try:
        api.hf_hub_download(**repo, filename=path, revision=revision)
    except Exception as error:
        assert type(error).__name__ == kind, error
assert Path(api.hf_hub_download(**repo, filename="a/two.bin")).read_bytes() == large + large
assert Path(api.hf_hub_download(**repo, filename="a/b/one.tar", revision=first.oid)).read_bytes() == large
""", tmp_path / "home")  # fmt: skip
    assert sorted((put.size, put.kept) for put in hub.log.puts) == [(10240, True), (20480, True)]
    assert [(made.added, made.deleted) for made in hub.log.commits] == [(4, 0), (1, 2)]
    files = [sorted(files) for _, files in at_every_commit(hub, "me/name")]
    assert files[1:] == [
        [".gitattributes", "README.md", "a/b/one.tar", "a/two.bin", "empty"],
        [".gitattributes", "README.md", "a/new.txt", "a/two.bin"],
    ]


def test_pull_requests(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create("me/name")
    run_python(hub, IMPORTS + """
pull = api.create_pull_request(**repo, title="parts", description="export 1")
assert (pull.status, pull.git_reference, pull.target_branch) == ("draft", "refs/pr/1", "refs/heads/main")
for number in range(2):
    api.create_commit(**repo, revision=pull.git_reference, commit_message=f"part {number}",
                      operations=[Add(f"{number}.tar", bytes([255, number]) * 700)])
pulls = api.get_repo_discussions(**repo, discussion_type="pull_request", discussion_status="open")
assert [p.num for p in pulls] == [1]
assert [e.type for e in api.get_discussion_details(**repo, discussion_num=1).events] == ["comment", "commit", "commit"]
assert api.list_repo_refs(**repo, include_pull_requests=True).pull_requests[0].ref == "refs/pr/1"
assert len(api.list_repo_files(**repo)) == 1 and len(api.list_repo_files(**repo, revision="refs/pr/1")) == 3
api.change_discussion_status(**repo, discussion_num=1, new_status="open")
api.merge_pull_request(**repo, discussion_num=1)
assert api.get_discussion_details(**repo, discussion_num=1).status == "merged" and len(api.list_repo_files(**repo)) == 3
made = api.create_commit(**repo, operations=[Add("x", b"x")], commit_message="mine", create_pr=True)
assert (made.pr_num, made.pr_revision) == (2, "refs/pr/2")
""", tmp_path / "home")  # fmt: skip
    main = list(at_every_commit(hub, "me/name"))
    assert [len(files) for _, files in main] == [1, 3]
    assert main[-1][0].title == "parts (#1)"


def test_an_export_goes_up_and_loads(hub: LoopbackHub, tmp_path: Path) -> None:
    export = tmp_path / "export"
    make_export(export, bases=(128, 64))
    run_python(hub, IMPORTS + """
import datasets, fsspec
api.create_repo(**repo)
api.upload_folder(**repo, folder_path=sys.argv[1], commit_message="push")
there = Path(api.snapshot_download(**repo))
here = Path(sys.argv[1])
for path in here.rglob("*.*"):
    assert not path.is_file() or path.read_bytes() == (there / path.relative_to(here)).read_bytes(), path
for name in ("r128", "r64"):
    stream = list(datasets.load_dataset("me/name", name, split="train", streaming=True))
    kept = datasets.load_dataset("me/name", name, split="train")
    assert len(stream) == len(kept) > 5 and [row["txt"] for row in stream] == kept["txt"]
shard = next(iter(fsspec.filesystem("hf").glob("datasets/me/name/buckets/*/*.tar")))
with fsspec.open(f"hf://{shard}") as file:
    file.seek(257)
    assert file.read(5) == b"ustar"
""", tmp_path / "home", str(export))  # fmt: skip
    assert any(request.range for request in hub.log.requests)


def test_who_may_what(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.create("me/name", private=True)
    hub.create("other/name")
    code = (
        IMPORTS
        + """
try:
    print(api.dataset_info(sys.argv[1]).sha)
    api.create_commit(sys.argv[1], [Add("x", b"x")], commit_message="x", repo_type="dataset")
except huggingface_hub.errors.HfHubHTTPError as error:
    print(type(error).__name__, error.response.status_code)
"""
    )

    def said(repo_id: str, token: str | None) -> str:
        return run_python(hub, code, tmp_path / "home", repo_id, token=token).stdout.splitlines()[-1]

    assert said("me/name", None) == "RepositoryNotFoundError 401"
    assert said("me/name", "hf_wrong") == "HfHubHTTPError 401"
    assert said("other/name", TOKEN) == "HfHubHTTPError 403"
    assert TOKEN not in repr(hub.log)


def test_parts_and_redirects(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.multipart_bytes, hub.redirects = 4096, True
    hub.create("me/name", private=True)
    run_python(hub, IMPORTS + """
large = bytes(range(256)) * 40
api.upload_file(**repo, path_or_fileobj=large, path_in_repo="large.tar")
assert Path(api.hf_hub_download(**repo, filename="large.tar")).read_bytes() == large
""", tmp_path / "home")  # fmt: skip
    assert hub.log.count("put-part") == 3
    assert [request.token for request in hub.log.requests if request.endpoint == "cdn"] == [False]
