"""The loopback Hub's endpoints about files: listing, reading, uploading, committing."""

from __future__ import annotations

import base64
import binascii
import functools
import json
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlencode

from tests.hub.blobs import Entry, is_large
from tests.hub.faults import Committed, Put
from tests.hub.history import Commit, PullRequest, Refused, Repository
from tests.hub.messages import Call, CutOff, Reply, answer
from tests.hub.repositories import page

SIGNATURE = "SignatureThatMustNeverBeShown"
"""What lets anyone read a file of the CDN, for some time."""


def _about(path: str, entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return {"type": "directory", "path": path, "size": 0, "oid": "0" * 40}
    about = {"type": "file", "path": path, "size": entry.size, "oid": entry.oid}
    lfs = {"oid": entry.sha256, "size": entry.size, "pointerSize": 130}
    if entry.xet_hash:
        about["xetHash"] = entry.xet_hash
    return {**about, "lfs": lfs} if entry.is_lfs else about


@functools.lru_cache(maxsize=4)  # a long listing comes in many pages
def below(commit: Commit, folder: str, *, must_exist: bool = True) -> dict[str, Entry | None]:
    """Return the files below a folder, and between them the folders that they are in."""
    prefix = f"{folder}/" if folder else ""
    found: dict[str, Entry | None] = {}
    for path, entry in commit.files.items():
        if path.startswith(prefix):
            found[path] = entry
            found.update({str(up): None for up in PurePosixPath(path).parents if len(str(up)) > len(prefix)})
    if not found and folder and must_exist:
        raise Refused(404, f"{folder} does not exist", "EntryNotFound", {"X-Repo-Commit": commit.oid})
    found.pop(".", None)
    return dict(sorted(found.items()))


def tree(call: Call, kinds: str, repo_id: str, revision: str, folder: str) -> Reply:
    found = below(call.repository(kinds, repo_id).at(revision), folder.strip("/"))
    depth = folder.strip("/").count("/") + 1 if folder else 0
    deep = call.flag("recursive")
    return page(call, [_about(path, entry) for path, entry in found.items() if deep or path.count("/") == depth])


def paths_info(call: Call, kinds: str, repo_id: str, revision: str) -> Reply:
    found = below(call.repository(kinds, repo_id).at(revision), "")
    body = call.body().decode()
    is_json = "json" in call.headers.get("content-type", "")
    wanted = json.loads(body)["paths"] if is_json else parse_qs(body).get("paths", [])
    return answer([_about(path, found[path]) for path in wanted if path in found])


def preupload(call: Call, kinds: str, repo_id: str, revision: str) -> Reply:
    commit = call.repository(kinds, repo_id, write=True).at(revision)
    files, ignored = [], _ignored(call, commit)
    for file in call.json()["files"]:
        is_lfs = is_large(file["path"], base64.b64decode(file["sample"]), file["size"])
        kept = commit.files.get(file["path"])
        about = {
            "path": file["path"],
            "uploadMode": "lfs" if is_lfs else "regular",
        }
        about["shouldIgnore"] = any(fnmatch(file["path"].rpartition("/")[2], pattern) for pattern in ignored)
        files.append(about | ({"oid": kept.sha256 if kept.is_lfs else kept.oid} if kept else {}))
    return answer({"files": files})


def _ignored(call: Call, commit: Commit) -> list[str]:
    """Return the patterns of names in a commit's .gitignore, the simplest of what git knows."""
    entry = commit.files.get(".gitignore")
    return call.hub.store.blobs.path(entry.sha256).read_text().split() if entry else []


def lfs_batch(call: Call, kinds: str, repo_id: str) -> Reply:
    call.repository(kinds or "models", repo_id, write=True)
    objects = []
    for asked in call.json()["objects"]:
        oid, size = asked["oid"], asked["size"]
        about: dict[str, Any] = {"oid": oid, "size": size}
        if not call.hub.store.blobs.has(oid):
            url, part = f"{call.hub.endpoint}/lfs/{oid}", call.hub.multipart_bytes
            upload: dict[str, Any] = {"href": url}
            if part is not None and size >= part:
                parts = {str(number): f"{url}/{number}" for number in range(1, -(-size // part) + 1)}
                upload = {"href": f"{url}/parts", "header": {"chunk_size": str(part), **parts}}
            about["actions"] = {"upload": upload, "verify": {"href": f"{url}/verify"}}
        objects.append(about)
    return answer({"transfer": "basic", "objects": objects})


def _keep(call: Call, oid: str) -> Reply:
    """Take a blob in, if it is what it says: the path names its sha256."""
    blobs = call.hub.store.blobs
    try:
        path, sha256, size = blobs.receive(call.pieces())
    except CutOff:
        call.hub.log.puts.append(Put(oid=oid, size=0, kept=False))
        raise
    is_kept = sha256 == oid and not call.wrong
    call.hub.log.puts.append(Put(oid=oid, size=size, kept=is_kept))
    if not is_kept:
        path.unlink()
        raise Refused(400, f"What came is not what {oid} names")
    path.replace(blobs.path(oid))
    return Reply(headers={"ETag": f'"{oid}"'})


def put(call: Call, oid: str) -> Reply:
    return _keep(call, oid)


def put_part(call: Call, oid: str, number: str) -> Reply:
    blobs = call.hub.store.blobs
    path, sha256, _ = blobs.receive(call.pieces())
    path.replace(blobs.path(f"{oid}-part-{number}"))
    return Reply(headers={"ETag": f'"{sha256}"'})


def join_parts(call: Call, oid: str) -> Reply:
    blobs = call.hub.store.blobs
    parts = [blobs.path(f"{oid}-part-{part['partNumber']}") for part in call.json()["parts"]]
    path, sha256, size = blobs.receive(part.read_bytes() for part in parts)
    call.hub.log.puts.append(Put(oid=oid, size=size, kept=sha256 == oid))
    path.replace(blobs.path(sha256))
    for part in parts:
        part.unlink()
    return answer({})


def verify(call: Call, oid: str) -> Reply:
    blobs, size = call.hub.store.blobs, call.json()["size"]
    if not blobs.has(oid) or blobs.path(oid).stat().st_size != size:
        raise Refused(404, f"There is no object {oid} of {size} bytes")
    return answer({})


def _entry(call: Call, value: dict[str, Any], *, is_lfs: bool) -> Entry:
    blobs = call.hub.store.blobs
    if not is_lfs:
        try:
            return blobs.entry(blobs.add(base64.b64decode(value["content"], validate=True))[0], is_lfs=False)
        except binascii.Error as error:
            raise Refused(400, f"{value['path']}: {error}") from error
    if found := call.hub.store.xet.find(value["oid"]):
        return blobs.entry(call.hub.store.xet.taken[found.xet_hash], is_lfs=True, xet_hash=found.xet_hash)
    if not blobs.has(value["oid"]):
        raise Refused(400, f"Your push was rejected: the LFS object {value['oid']} of {value['path']} does not exist")
    return blobs.entry(value["oid"], is_lfs=True)


def commit(call: Call, kinds: str, repo_id: str, revision: str) -> Reply:
    repository = call.repository(kinds, repo_id, write=True)
    lines = [json.loads(line) for line in call.body().splitlines()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    xet = call.hub.store.xet
    xet.take(filter(None, [xet.find(line["value"]["oid"]) for line in lines if line["key"] == "lfsFile"]))
    added = {
        line["value"]["path"]: _entry(call, line["value"], is_lfs=line["key"] == "lfsFile")
        for line in lines
        if line["key"] in ("file", "lfsFile")
    }
    gone = [line["value"]["path"] for line in lines if line["key"] == "deletedFile"]
    folders = tuple(line["value"]["path"].rstrip("/") + "/" for line in lines if line["key"] == "deletedFolder")

    def edit(files: dict[str, Entry]) -> None:
        if missing := [path for path in gone if path not in files]:
            raise Refused(404, f"{missing[0]} does not exist", "EntryNotFound")
        for path in [path for path in files if path in gone or (folders and path.startswith(folders))]:
            del files[path]
        files.update(added)

    ref, pull = revision, None
    if call.flag("create_pr"):
        pull = repository.open_pull(header["summary"], header.get("description", ""), status="open", base=revision)
        ref = pull.ref
    made = repository.commit(
        ref, edit, title=header["summary"], message=header.get("description", ""), parent=header.get("parentCommit")
    )
    done = Committed(repo_id=repo_id, ref=ref, oid=made.oid, added=len(added), deleted=len(gone) + len(folders))
    call.hub.log.commits.append(done)
    return answer(_links(call, repository, made, pull))


def _links(call: Call, repository: Repository, made: Commit, pull: PullRequest | None) -> dict[str, Any]:
    prefix = "" if repository.kind == "model" else f"{repository.kind}s/"
    url = f"{call.hub.endpoint}/{prefix}{repository.repo_id}"
    links = {"success": True, "commitOid": made.oid, "commitUrl": f"{url}/commit/{made.oid}"}
    return links | ({"pullRequestUrl": f"{url}/discussions/{pull.number}"} if pull else {})


def resolve(call: Call, kinds: str, repo_id: str, revision: str, path: str) -> Reply:
    """Give a file: its size and hash are in the head, so that it can be told without its body."""
    at = call.repository(kinds or "models", repo_id).at(revision)
    entry = at.files.get(path)
    if entry is None:
        raise Refused(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": at.oid})
    headers = {"X-Repo-Commit": at.oid, "ETag": f'"{entry.sha256 if entry.is_lfs else entry.oid}"'}
    if not entry.is_lfs:
        return content(call, entry.sha256, headers)
    headers |= {"X-Linked-ETag": headers["ETag"]}
    headers |= xet_headers(entry, f"{call.hub.endpoint}/api/{kinds or 'models'}/{repo_id}/xet-read-token/{at.oid}")
    return large(call, entry, path, headers)


def large(call: Call, entry: Entry, path: str, headers: dict[str, str]) -> Reply:
    """Give a large file, or say where it is to be had: by an address that is a key, too."""
    if not call.hub.redirects:
        return content(call, entry.sha256, headers)
    port = call.hub.endpoint.rsplit(":", 1)[1]
    query = urlencode({"response-content-disposition": f'inline; filename="{path}"', "Signature": SIGNATURE})
    return Reply(status=302, headers={**headers, "Location": f"http://localhost:{port}/cdn/{entry.sha256}?{query}"})


def xet_headers(entry: Entry, route: str) -> dict[str, str]:
    """Return what tells a client that it can have a file by Xet, too: and its size, which is not that of a redirect."""
    xet = {"X-Xet-Hash": entry.xet_hash, "X-Xet-Refresh-Route": route} if entry.xet_hash else {}
    return {"X-Linked-Size": str(entry.size), **xet}


def xet_token(call: Call, kinds: str, repo_id: str, what: str, revision: str) -> Reply:
    """Let a client into the store: who asks for a pull request to come knows no revision yet and writes None."""
    repository = call.repository(kinds, repo_id, write=what == "write")
    if revision != "None":
        repository.at(revision)
    return call.xet_token()


def cdn(call: Call, sha256: str) -> Reply:
    if call.has_token:
        raise Refused(400, "A token was sent to where it does not belong")
    if call.query.get("Signature") != SIGNATURE:
        raise Refused(403, "Not signed")
    return content(call, sha256, {"ETag": f'"{sha256}"'})


def content(call: Call, sha256: str, headers: dict[str, str]) -> Reply:
    file = call.hub.store.blobs.path(sha256)
    size = file.stat().st_size
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
    asked = call.headers.get("range", "")
    if not asked.startswith("bytes="):
        return Reply(file=file, size=size, headers=headers)
    first, _, last = asked.removeprefix("bytes=").partition("-")
    start = int(first) if first else max(0, size - int(last))
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        raise Refused(416, "The range is not satisfiable", headers={"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Reply(status=206, file=file, start=start, size=stop - start, headers=headers)
