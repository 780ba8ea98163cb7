"""The loopback Hub's Storage Buckets: files without revisions, changed in batches, their contents in Xet.

For the tests every batch is kept as a commit all the same: so they can look at what stood there at every moment.
"""

from __future__ import annotations

import json
from typing import Any

from tests.hub.blobs import Entry
from tests.hub.faults import Committed
from tests.hub.files import below, large, xet_headers
from tests.hub.history import Refused
from tests.hub.messages import Call, Reply, answer
from tests.hub.repositories import page


def create(call: Call, bucket_id: str) -> Reply:
    call.may_write(bucket_id)
    url = f"{call.hub.endpoint}/buckets/{bucket_id}"
    try:
        call.hub.store.create("bucket", bucket_id, private=call.json().get("visibility") == "private")
    except Refused as no:
        return answer({"error": no.message, "url": url}, no.status)
    return answer({"url": url, "id": bucket_id})


def info(call: Call, bucket_id: str) -> Reply:
    bucket = call.repository("buckets", bucket_id)
    files = bucket.at("main").files.values()
    return answer({
        "id": bucket_id, "private": bucket.private, "createdAt": bucket.history()[0].date,
        "size": sum(file.size for file in files), "totalFiles": len(files),
    })  # fmt: skip


def delete(call: Call, bucket_id: str) -> Reply:
    call.repository("buckets", bucket_id, write=True)
    del call.hub.store.repositories["bucket", bucket_id]
    return answer({})


def _about(path: str, entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return {"type": "directory", "path": path}
    about = {"type": "file", "path": path, "size": entry.size, "xetHash": entry.xet_hash}
    return about | {"mtime": entry.changed, "uploadedAt": entry.changed}


def tree(call: Call, bucket_id: str, prefix: str) -> Reply:
    """List what is below a prefix; folders are no entries of their own, but shown where the listing stops at them."""
    prefix, deep = prefix.strip("/"), call.flag("recursive")
    depth = prefix.count("/") + 1 if prefix else 0
    found = below(call.repository("buckets", bucket_id).at("main"), prefix, must_exist=False)
    shown = {path: entry for path, entry in found.items() if (entry if deep else path.count("/") == depth)}
    return page(call, [_about(path, entry) for path, entry in shown.items()])


def paths_info(call: Call, bucket_id: str) -> Reply:
    files = call.repository("buckets", bucket_id).at("main").files
    return answer([_about(path, files[path]) for path in call.json()["paths"] if path in files])


def batch(call: Call, bucket_id: str) -> Reply:
    """Add and delete files in one step; a name that cannot be served fails alone, as the client expects."""
    bucket, xet, blobs = call.repository("buckets", bucket_id, write=True), call.hub.store.xet, call.hub.store.blobs
    added: dict[str, Entry] = {}
    gone: set[str] = set()
    failed = []
    lines = [json.loads(line) for line in call.body().splitlines()]
    found = {line["path"]: xet.find(line["xetHash"]) for line in lines if line["type"] != "deleteFile"}
    xet.take(filter(None, found.values()))
    for asked in lines:
        path = asked["path"]
        if asked["type"] == "deleteFile":
            gone.add(path)
        elif file := found[path]:
            sha256, when = xet.taken[file.xet_hash], asked["mtime"]
            added[path] = blobs.entry(sha256, is_lfs=True, xet_hash=file.xet_hash, changed_ms=when)
        else:
            failed.append({"path": path, "error": f"There is no content {asked['xetHash']}"})

    def edit(files: dict[str, Entry]) -> None:
        for path in gone:
            files.pop(path, None)
        files.update(added)

    made = bucket.commit("main", edit, title="batch")
    done = Committed(repo_id=bucket_id, ref="main", oid=made.oid, added=len(added), deleted=len(gone))
    call.hub.log.commits.append(done)
    return answer({"success": not failed, "processed": len(added) + len(gone), "failed": failed})


def resolve(call: Call, bucket_id: str, path: str) -> Reply:
    entry = call.repository("buckets", bucket_id).at("main").files.get(path)
    if entry is None:
        raise Refused(404, "Entry not found", "EntryNotFound")
    route = f"{call.hub.endpoint}/api/buckets/{bucket_id}/xet-read-token"
    return large(call, entry, path, {"ETag": f'"{entry.sha256}"', **xet_headers(entry, route)})


def xet_token(call: Call, bucket_id: str, what: str) -> Reply:
    call.repository("buckets", bucket_id, write=what == "write")
    return call.xet_token()
