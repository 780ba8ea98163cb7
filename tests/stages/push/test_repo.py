"""Push to a repository of the loopback Hub: one commit or a pull request, faults at every step, no secret anywhere."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import datasets
import pytest

from hfbucket.cli.main import main
from hfbucket.core.transfer.push import Changes, Remote, changes
from hfbucket.errors import PushError
from hfbucket.io.hub.errors import Patience
from hfbucket.io.hub.git_hash import git_oid
from hfbucket.io.hub.repo import HubRepo
from hfbucket.stages.push.files import files_of, local_export
from hfbucket.stages.push.repo import RepoTarget
from hfbucket.stages.push.run import push
from hfbucket.stages.push.target import Published
from tests.factories import Sample, make_export
from tests.hub.client import at_every_commit, client_here, run_python
from tests.hub.faults import Kind
from tests.hub.loopback import TOKEN, LoopbackHub

COMMAND = "from hfbucket.cli.main import console; console()"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    make_export(folder, bases=(64,), divisible=8)
    return folder


@pytest.fixture
def _here(hub: LoopbackHub, tmp_path: Path) -> Iterator[None]:
    with client_here(hub, tmp_path / "home"):
        yield


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)


def target(*, create_pr: bool = False, revision: str = "main", tries: int = 3) -> RepoTarget:
    repo = HubRepo("me/name", token=None, patience=Patience(tries=tries, first_s=0.001, longest_s=0.001))
    return RepoTarget(
        repo=repo, revision=revision, create_pr=create_pr, private=None, message="Push", export_id="0123456789abcdef"
    )  # fmt: skip


def compared(export: Path, place: RepoTarget) -> tuple[Changes, Remote]:
    folder, manifest = local_export(export)
    remote = place.look()
    return changes(files_of(folder, manifest, ledger=False), remote.files, git_oid), remote


def publish(export: Path, place: RepoTarget) -> tuple[Published, int]:
    found, remote = compared(export, place)
    sent: list[int] = []
    done = place.publish(found, remote, sent.append)
    assert sum(sent) == found.send_bytes
    return done, found.files


def assert_whole_at_every_commit(hub: LoopbackHub, revision: str = "main") -> None:
    """Every commit of a branch holds an export whose shards are those of its manifest, or none at all."""
    for commit, files in at_every_commit(hub, "me/name", revision):
        shards = {name: sha256 for name, sha256 in files.items() if name.startswith(("buckets/", "samples/"))}
        named = {}
        if "manifest.json" in files:
            manifest = json.loads(hub.read(commit, "manifest.json"))
            listed = [shard for entry in manifest["buckets"].values() for shard in entry["shards"]]
            named = {entry["file"]: entry["sha256"] for entry in (*listed, *manifest["samples"])}
        assert shards == named


def assert_equal(hub: LoopbackHub, export: Path, revision: str = "main") -> None:
    here = {p.relative_to(export).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in export.rglob("*") if p.is_file() and p.parent.name != "ledger"}  # fmt: skip
    *_, (_, there) = at_every_commit(hub, "me/name", revision)
    there.pop(".gitattributes", None)
    assert there == here


@pytest.fixture
def small_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfbucket.stages.push.repo.COMMIT_FILES", 3)
    monkeypatch.setattr("hfbucket.core.transfer.push.PART_FILES", 2)
    monkeypatch.setattr("hfbucket.core.transfer.push.in_parts.__defaults__", (2,))


@pytest.mark.usefixtures("_here")
def test_one_commit_and_then_nothing(hub: LoopbackHub, export: Path) -> None:
    done, count = publish(export, target())
    assert count == 7
    assert done.commit == hub.repository("me/name").history()[-1].oid
    assert done.url == f"{hub.endpoint}/datasets/me/name/tree/{done.commit}"
    assert len(hub.log.commits) == 1
    assert_equal(hub, export)
    assert_whole_at_every_commit(hub)
    hub.log.clear()
    found, remote = compared(export, target())
    assert found.files == 0
    assert target().standing(remote) == done
    assert {request.endpoint for request in hub.log.requests} == {"revision", "tree"}


@pytest.mark.usefixtures("_here", "small_commits")
def test_many_files_go_by_a_pull_request(hub: LoopbackHub, export: Path) -> None:
    assert target().way(compared(export, target())[0]) == "4 commits to a pull request that is then merged"
    publish(export, target())
    assert [committed.ref for committed in hub.log.commits][:4] == ["refs/pr/1"] * 4
    assert_equal(hub, export)
    assert_whole_at_every_commit(hub)
    assert compared(export, target())[0].files == 0


@pytest.mark.usefixtures("_here")
def test_a_pull_request_may_be_left_open(hub: LoopbackHub, export: Path) -> None:
    done, _ = publish(export, target(create_pr=True))
    assert done.pull_request == f"{hub.endpoint}/datasets/me/name/discussions/1"
    assert len(hub.repository("me/name").history()) == 1
    assert_equal(hub, export, "refs/pr/1")
    publish(export, target(create_pr=True))
    assert len(hub.repository("me/name").pulls) == 1


@pytest.mark.usefixtures("_here")
def test_a_branch_is_made(hub: LoopbackHub, export: Path) -> None:
    publish(export, target(revision="v2"))
    assert len(hub.repository("me/name").history("main")) == 1
    assert_equal(hub, export, "v2")


@pytest.mark.usefixtures("_here", "small_commits")
def test_many_files_cannot_go_to_a_branch(export: Path) -> None:
    place = target(revision="v2")
    with pytest.raises(PushError, match="the Hub merges into main only"):
        place.way(compared(export, place)[0])


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("by_parts", [False, True])
def test_a_new_export_takes_the_place_of_the_old(
    hub: LoopbackHub, export: Path, tmp_path: Path, by_parts: bool, request: pytest.FixtureRequest
) -> None:
    publish(export, target())
    hub.commit("me/name", {"LICENSE": b"free"})
    if by_parts:
        request.getfixturevalue("small_commits")
    other = tmp_path / "other"
    make_export(other, bases=(64,), divisible=8, per_shard=2, shards_per_bucket=3)
    shutil.copytree(export / "buckets/p1024x1024", tmp_path / "kept")
    publish(other, target())
    (other / "LICENSE").write_bytes(b"free")
    assert_equal(hub, other)
    assert_whole_at_every_commit(hub)


@pytest.mark.usefixtures("_here")
def test_of_a_changed_bucket_only_its_shards_travel(hub: LoopbackHub, export: Path, tmp_path: Path) -> None:
    def change(sample: Sample) -> Sample:
        return replace(sample, txt=b"new\n") if "p1152x832" in sample.image_id else sample

    publish(export, target())
    before = len(hub.log.puts)
    make_export(tmp_path / "other", bases=(64,), divisible=8, change=change)
    found, _ = compared(tmp_path / "other", target())
    shards = [one.path for one in found.send if one.path.endswith(".tar")]
    assert shards == ["buckets/p1152x832/shard-00000.tar", "buckets/p1152x832/shard-00001.tar"]
    publish(tmp_path / "other", target())
    assert len(hub.log.puts) - before <= 3  # both, and the sample table where it differs
    assert_whole_at_every_commit(hub)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize("by_parts", [False, True])
@pytest.mark.parametrize("kind", ["status", "drop", "lost"])
def test_faults_at_every_step_are_waited_out(
    hub: LoopbackHub, export: Path, by_parts: bool, kind: Kind, request: pytest.FixtureRequest
) -> None:
    if by_parts:
        request.getfixturevalue("small_commits")
    for endpoint in ROUTES_BY_PARTS if by_parts else ROUTES:
        hub.faults.add(endpoint, kind, status=503)
    publish(export, target(tries=6))
    met = {one.endpoint for one in hub.log.requests if one.fault}
    assert met == set(ROUTES_BY_PARTS if by_parts else ROUTES)
    assert_equal(hub, export)
    assert_whole_at_every_commit(hub)
    oids = [put.oid for put in hub.log.puts if put.kept]
    assert kind == "lost" or len(oids) == len(set(oids))
    assert len(hub.repository("me/name").pulls) == by_parts


ROUTES = ("revision", "create", "preupload", "lfs-batch", "put", "verify", "commit")
ROUTES_BY_PARTS = (*ROUTES, "tree", "whoami", "discussions", "discuss", "discussion", "status", "merge")


@pytest.mark.usefixtures("_here")
def test_what_does_not_pass_is_told_and_nothing_is_visible(hub: LoopbackHub, export: Path) -> None:
    for endpoint in ("preupload", "put", "commit"):
        hub.faults.add(endpoint, "status", status=403)
        with pytest.raises(PushError, match="403"):
            publish(export, target())
        assert_whole_at_every_commit(hub)
        assert len(hub.repository("me/name").history()) == 1


@pytest.mark.usefixtures("_here")
def test_somebody_else_commits_meanwhile(hub: LoopbackHub, export: Path) -> None:
    publish(export, target())
    (export / "README.md").write_bytes((export / "README.md").read_bytes() + b"\n")
    found, remote = compared(export, target())
    hub.commit("me/name", {"LICENSE": b"free"})
    with pytest.raises(PushError, match="main has changed since the push began; push again"):
        target().publish(found, remote, lambda more: None)
    publish(export, target())


@pytest.mark.usefixtures("_here", "small_commits")
def test_main_moves_while_a_pull_request_grows(hub: LoopbackHub, export: Path) -> None:
    hub.create("me/name")
    found, remote = compared(export, target())
    hub.faults.add("merge", "status", status=403)
    with pytest.raises(PushError, match="403"):
        target().publish(found, remote, lambda more: None)
    hub.commit("me/name", {"LICENSE": b"free"})
    with pytest.raises(PushError, match="main has changed since pull request 1 was begun"):
        target().publish(found, remote, lambda more: None)
    publish(export, target())
    assert [pull.status for pull in hub.repository("me/name").pulls] == ["open", "merged"]
    assert_whole_at_every_commit(hub)


@pytest.mark.usefixtures("_here")
def test_from_the_command_line(hub: LoopbackHub, export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["push", *arguments])
        printed = capsys.readouterr()
        assert TOKEN not in printed.out + printed.err
        return code, printed.out, printed.err

    code, out, err = run(str(export), "me/name")
    assert (code, out) == (1, "")
    assert err.endswith("Error: nothing was sent: nobody is here to ask; --yes answers\n")
    code, out, err = run(str(export), "me/name", "--yes", "--private", "--samples-repo", "me/tables")
    assert code == 0, err
    commit = hub.repository("me/name").history()[-1].oid
    assert "Export " in err
    assert "to me/name (new, private)\n  send    7 files, " in err
    assert f'load_dataset("me/name", "r64", split="train", streaming=True, revision="{commit}")' in out
    assert_equal(hub, export)
    tables = hub.repository("me/tables")
    assert {"README.md", "samples/part-00000.parquet"} <= set(tables.history()[-1].files)
    assert tables.private
    rows = datasets.load_dataset("me/tables", split="train", streaming=True)
    assert len({row["key"] for row in rows}) == 12
    code, out, err = run(str(export), "me/name", "--yes", "--no-private")
    assert code == 1
    assert "me/name exists and is private, asked for is public" in err
    code, out, err = run(str(export), "me/name", "--json", "--dry-run")
    assert json.loads(out)["way"] == "nothing to do"


def test_captions_of_a_private_export_do_not_become_public(hub: LoopbackHub, export: Path, tmp_path: Path) -> None:
    hub.create("me/tables")
    with client_here(hub, tmp_path / "home"), pytest.raises(PushError) as raised:
        push(export, "me/name", private=True, samples_repo="me/tables")
    assert "me/tables is public, but me/name is private: its captions would be seen" in str(raised.value)


@pytest.mark.usefixtures("_here")
def test_a_gitignore_cannot_keep_shards_out(hub: LoopbackHub, export: Path) -> None:
    hub.create("me/name")
    hub.commit("me/name", {".gitignore": b"*.tar\n"})
    with pytest.raises(PushError, match=r"its .gitignore keeps out 4 files, first buckets/.*; delete it there"):
        publish(export, target())
    assert len(hub.repository("me/name").history()) == 2


def test_a_token_is_never_shown(hub: LoopbackHub, export: Path, tmp_path: Path) -> None:
    own = "own-secret-of-another-form"
    hub.users[own] = "me"
    for endpoint, status in (("preupload", 429), ("put", 500), ("commit", 400)):
        hub.faults.add(endpoint, "status", status=status)
    done = run_python(
        hub, COMMAND, tmp_path / "home", "push", str(export), "me/name", "--yes", "--token", own, check=False,
        HF_DEBUG="1",
    )  # fmt: skip
    assert done.returncode == 1
    assert "Error: me/name: committing: " in done.stderr
    assert own not in done.stdout + done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert "Traceback" in done.stderr
