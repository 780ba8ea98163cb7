"""The loopback Hub's endpoints about repositories as a whole: creating, describing, naming commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.hub.history import Refused
from tests.hub.messages import Call, Reply, answer


def page(call: Call, entries: Sequence[Any]) -> Reply:
    """Return one page of a listing, with a link to the next."""
    start = int(call.query.get("cursor", "0"))
    stop = start + call.hub.page_size
    headers = {}
    if stop < len(entries):
        query = urlencode({**call.query, "cursor": str(stop)})
        headers["Link"] = f'<{call.hub.endpoint}{call.path}?{query}>; rel="next"'
    return answer(entries[start:stop], headers=headers)


def whoami(call: Call) -> Reply:
    if call.user is None:
        raise Refused(401, "Invalid username or password.")
    orgs = [{"name": name, "type": "org"} for name in sorted(call.hub.namespaces - {call.user})]
    return answer({"type": "user", "name": call.user, "fullname": call.user, "orgs": orgs, "auth": {}})


def _named(call: Call) -> tuple[str, str, dict[str, Any]]:
    asked = call.json()
    repo_id = f"{asked.get('organization') or call.user}/{asked['name']}"
    call.may_write(repo_id)
    return asked.get("type") or "model", repo_id, asked


def create(call: Call) -> Reply:
    kind, repo_id, asked = _named(call)
    prefix = "" if kind == "model" else f"{kind}s/"
    url = f"{call.hub.endpoint}/{prefix}{repo_id}"
    private = asked.get("visibility") == "private" or asked.get("private", False)
    try:
        call.hub.store.create(kind, repo_id, private=private)
    except Refused as no:
        return answer({"error": no.message, "url": url}, no.status)
    return answer({"url": url, "name": repo_id, "id": repo_id})


def delete(call: Call) -> Reply:
    kind, repo_id, _ = _named(call)
    call.repository(f"{kind}s", repo_id)
    del call.hub.store.repositories[kind, repo_id]
    return answer({})


def settings(call: Call, kinds: str, repo_id: str) -> Reply:
    repository, asked = call.repository(kinds, repo_id, write=True), call.json()
    if "visibility" in asked:
        repository.private = asked["visibility"] == "private"
    return answer({"private": repository.private})


def validate_yaml(call: Call) -> Reply:
    """Look at a card as far as its YAML block is one: what the real Hub checks beyond that is not known here."""
    lines = call.json()["content"].splitlines()
    if not lines or lines[0] != "---" or "---" not in lines[1:]:
        return answer({"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]})
    try:
        metadata = yaml.safe_load("\n".join(lines[1 : lines.index("---", 1)]))
    except yaml.YAMLError as error:
        return answer({"errors": [{"message": f"not valid YAML: {error}"}], "warnings": []}, 400)
    errors = [] if isinstance(metadata, dict) else [{"message": "the metadata is not a mapping"}]
    return answer({"errors": errors, "warnings": []}, 400 if errors else 200)


def info(call: Call, kinds: str, repo_id: str, revision: str = "main") -> Reply:
    repository = call.repository(kinds, repo_id)
    commit = repository.at(revision)
    siblings = [
        {"rfilename": path, "size": entry.size, "blobId": entry.oid}
        | ({"lfs": {"sha256": entry.sha256, "size": entry.size, "pointerSize": 130}} if entry.is_lfs else {})
        for path, entry in sorted(commit.files.items())
    ]
    if not call.flag("blobs"):
        siblings = [{"rfilename": sibling["rfilename"]} for sibling in siblings]
    return answer({
        "_id": commit.oid[:24], "id": repo_id, "author": repo_id.split("/")[0], "sha": commit.oid,
        "private": repository.private, "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": [],
        "createdAt": repository.history()[0].date, "lastModified": commit.date, "siblings": siblings,
    })  # fmt: skip


def refs(call: Call, kinds: str, repo_id: str) -> Reply:
    repository = call.repository(kinds, repo_id)
    found = {
        "branches": [(name, f"refs/heads/{name}", oid) for name, oid in repository.branches.items()],
        "tags": [(name, f"refs/tags/{name}", oid) for name, oid in repository.tags.items()],
        "converts": [],
    }
    if call.flag("include_prs"):
        found["pullRequests"] = [(ref.rsplit("/", 1)[1], ref, oid) for ref, oid in repository.pull_heads.items()]
    return answer({
        group: [{"name": name, "ref": ref, "targetCommit": oid} for name, ref, oid in names]
        for group, names in found.items()
    })  # fmt: skip


def commits(call: Call, kinds: str, repo_id: str, revision: str) -> Reply:
    return page(call, [
        {"id": commit.oid, "title": commit.title, "message": commit.message, "date": commit.date,
         "authors": [{"user": repo_id.split("/")[0]}]}
        for commit in reversed(call.repository(kinds, repo_id).history(revision))
    ])  # fmt: skip


def _name(names: dict[str, str], name: str, oid: str, call: Call) -> Reply:
    if name in names:
        raise Refused(409, f"{name} exists already")
    names[name] = oid
    return answer({"name": name, "targetCommit": oid})


def branch(call: Call, kinds: str, repo_id: str, name: str) -> Reply:
    repository = call.repository(kinds, repo_id, write=True)
    if call.method == "DELETE":
        repository.branches.pop(name)
        return answer({})
    return _name(repository.branches, name, repository.at(call.json().get("startingPoint", "main")).oid, call)


def tag(call: Call, kinds: str, repo_id: str, name: str) -> Reply:
    repository = call.repository(kinds, repo_id, write=True)
    if call.method == "DELETE":
        repository.tags.pop(name)
        return answer({})
    return _name(repository.tags, call.json()["tag"], repository.at(name).oid, call)
