"""The loopback Hub's endpoints about pull requests."""

from __future__ import annotations

from typing import Any

from tests.hub.history import PullRequest, Refused, Repository
from tests.hub.messages import Call, Reply, answer

PAGE = 10


def _about(repository: Repository, pull: PullRequest, author: str) -> dict[str, Any]:
    return {
        "num": pull.number, "title": pull.title, "author": {"name": author}, "createdAt": pull.date,
        "status": pull.status, "isPullRequest": True, "repo": {"name": repository.repo_id, "type": repository.kind},
    }  # fmt: skip


def listing(call: Call, kinds: str, repo_id: str) -> Reply:
    repository = call.repository(kinds, repo_id)
    wanted = call.query.get("status", "all")
    # The Hub has two words for what can still be merged; asked for "open", it shows drafts too.
    shown = {"all": ("draft", "open", "closed", "merged"), "open": ("draft", "open"), "closed": ("closed", "merged")}
    found = [] if call.query.get("type") == "discussion" else repository.pulls[::-1]
    found = [pull for pull in found if pull.status in shown[wanted]]
    author = repo_id.split("/")[0]
    if call.query.get("author", author) != author:
        found = []
    start = PAGE * int(call.query.get("p", "0"))
    pulls = [_about(repository, pull, author) for pull in found[start : start + PAGE]]
    return answer({"discussions": pulls, "count": len(found), "start": start})


def create(call: Call, kinds: str, repo_id: str) -> Reply:
    repository, asked = call.repository(kinds, repo_id, write=True), call.json()
    if not asked.get("pullRequest"):
        raise Refused(400, "The loopback Hub has pull requests, but no other discussions")
    pull = repository.open_pull(asked["title"], asked["description"], status="draft")
    return answer(_about(repository, pull, call.user or ""))


def _event(pull: PullRequest, kind: str, number: int, data: dict[str, Any]) -> dict[str, Any]:
    name = f"{pull.number}-{number}"
    return {"id": name, "type": kind, "createdAt": pull.date, "author": {"name": "me"}, "data": data}


def _comment(pull: PullRequest, number: int, text: str) -> dict[str, Any]:
    return _event(pull, "comment", number, {"edited": False, "hidden": False, "latest": {"raw": text}})


def details(call: Call, kinds: str, repo_id: str, number: str) -> Reply:
    repository = call.repository(kinds, repo_id)
    pull = repository.pull(int(number))
    history = repository.history(pull.ref)
    start = next(place for place, commit in enumerate(history) if commit.oid == pull.base)
    events = [_comment(pull, 0, pull.description)]
    events += [
        _event(pull, "commit", place, {"subject": commit.title, "oid": commit.oid})
        for place, commit in enumerate(history[start + 1 :], start=1)
    ]
    is_done = pull.status in ("closed", "merged")
    return answer({
        **_about(repository, pull, repo_id.split("/")[0]),
        "changes": {"base": "refs/heads/main", "mergeCommitId": pull.merge_commit},
        "filesWithConflicts": [] if is_done else repository.conflicts(pull),
        "events": events, "diff": "",
    })  # fmt: skip


def status(call: Call, kinds: str, repo_id: str, number: str) -> Reply:
    pull, asked = call.repository(kinds, repo_id, write=True).pull(int(number)), call.json()
    if pull.status == "merged":
        raise Refused(400, f"Pull request {number} is merged")
    pull.status = asked["status"]
    return answer({"newStatus": _event(pull, "status-change", 0, {"status": pull.status})})


def comment(call: Call, kinds: str, repo_id: str, number: str) -> Reply:
    pull = call.repository(kinds, repo_id, write=True).pull(int(number))
    return answer({"newMessage": _comment(pull, 0, call.json()["comment"])})


def merge(call: Call, kinds: str, repo_id: str, number: str) -> Reply:
    repository = call.repository(kinds, repo_id, write=True)
    repository.merge(repository.pull(int(number)))
    return answer({})
