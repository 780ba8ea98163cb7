"""Which function answers which path of the loopback Hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from tests.hub import discussions, files, repositories, storage_buckets
from tests.hub.history import Refused
from tests.hub.messages import Call, Reply

KINDS, NAME, PART, REST = "(datasets|models|spaces)", "([^/]+/[^/]+)", "([^/]+)", "(.+)"
REPO, BUCKET = f"/api/{KINDS}/{NAME}", f"/api/buckets/{NAME}"


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: faults and the log know it by its name."""

    name: str
    methods: str
    path: str
    answer: Callable[..., Reply]


def _nothing(call: Call) -> Reply:
    raise Refused(404, f"The loopback Hub does not know {call.method} {call.path}")


UNKNOWN = Route("unknown", "", "", _nothing)

ROUTES = (
    Route("whoami", "GET", "/api/whoami-v2", repositories.whoami),
    Route("create", "POST", "/api/repos/create", repositories.create),
    Route("delete", "DELETE", "/api/repos/delete", repositories.delete),
    Route("validate-yaml", "POST", "/api/validate-yaml", repositories.validate_yaml),
    Route("info", "GET", REPO, repositories.info),
    Route("revision", "GET", f"{REPO}/revision/{PART}", repositories.info),
    Route("settings", "PUT", f"{REPO}/settings", repositories.settings),
    Route("refs", "GET", f"{REPO}/refs", repositories.refs),
    Route("commits", "GET", f"{REPO}/commits/{PART}", repositories.commits),
    Route("branch", "POST DELETE", f"{REPO}/branch/{PART}", repositories.branch),
    Route("tag", "POST DELETE", f"{REPO}/tag/{PART}", repositories.tag),
    Route("tree", "GET", f"{REPO}/tree/{PART}(?:/{REST})?", files.tree),
    Route("paths-info", "POST", f"{REPO}/paths-info/{PART}", files.paths_info),
    Route("preupload", "POST", f"{REPO}/preupload/{PART}", files.preupload),
    Route("commit", "POST", f"{REPO}/commit/{PART}", files.commit),
    Route("discussions", "GET", f"{REPO}/discussions", discussions.listing),
    Route("discuss", "POST", f"{REPO}/discussions", discussions.create),
    Route("discussion", "GET", f"{REPO}/discussions/([0-9]+)", discussions.details),
    Route("merge", "POST", f"{REPO}/discussions/([0-9]+)/merge", discussions.merge),
    Route("status", "POST", f"{REPO}/discussions/([0-9]+)/status", discussions.status),
    Route("comment", "POST", f"{REPO}/discussions/([0-9]+)/comment", discussions.comment),
    Route("resolve", "GET HEAD", f"/(?:(datasets|spaces)/)?{NAME}/resolve/{PART}/{REST}", files.resolve),
    Route("lfs-batch", "POST", f"/(?:(datasets|spaces)/)?{NAME}[.]git/info/lfs/objects/batch", files.lfs_batch),
    Route("put", "PUT", "/lfs/([0-9a-f]{64})", files.put),
    Route("put-part", "PUT", "/lfs/([0-9a-f]{64})/([0-9]+)", files.put_part),
    Route("put-parts", "POST", "/lfs/([0-9a-f]{64})/parts", files.join_parts),
    Route("xet-token", "GET", f"{REPO}/xet-(read|write)-token/{PART}", files.xet_token),
    Route("verify", "POST", "/lfs/([0-9a-f]{64})/verify", files.verify),
    Route("bucket-create", "POST", BUCKET, storage_buckets.create),
    Route("bucket-delete", "DELETE", BUCKET, storage_buckets.delete),
    Route("bucket-info", "GET", BUCKET, storage_buckets.info),
    Route("bucket-tree", "GET", f"{BUCKET}/tree(?:/{REST})?", storage_buckets.tree),
    Route("bucket-paths-info", "POST", f"{BUCKET}/paths-info", storage_buckets.paths_info),
    Route("bucket-batch", "POST", f"{BUCKET}/batch", storage_buckets.batch),
    Route("bucket-xet-token", "GET", f"{BUCKET}/xet-(read|write)-token", storage_buckets.xet_token),
    Route("bucket-resolve", "GET HEAD", f"/buckets/{NAME}/resolve/{REST}", storage_buckets.resolve),
    Route("cdn", "GET HEAD", "/cdn/([0-9a-f]{64})", files.cdn),
)
_PATTERNS = [(route, re.compile(route.path)) for route in ROUTES]


def find_route(method: str, path: str) -> tuple[Route, list[str]]:
    """Return the endpoint that a path names, and what stands in the path's open places."""
    for route, pattern in _PATTERNS:
        if method in route.methods.split() and (found := pattern.fullmatch(path)):
            return route, [unquote(text or "") for text in found.groups()]
    return UNKNOWN, []
