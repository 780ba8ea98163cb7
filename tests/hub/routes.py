"""Which function answers which path of the loopback Hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from tests.hub import discussions, files, repositories
from tests.hub.messages import Call, Reply
from tests.hub.store import Refused

KINDS, NAME, PART, REST = "(datasets|models|spaces)", "([^/]+/[^/]+)", "([^/]+)", "(.+)"
REPO = f"/api/{KINDS}/{NAME}"


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
    Route("verify", "POST", "/lfs/([0-9a-f]{64})/verify", files.verify),
    Route("cdn", "GET HEAD", "/cdn/([0-9a-f]{64})", files.cdn),
)
_PATTERNS = [(route, re.compile(route.path)) for route in ROUTES]


def find_route(method: str, path: str) -> tuple[Route, list[str]]:
    """Return the endpoint that a path names, and what stands in the path's open places."""
    for route, pattern in _PATTERNS:
        if method in route.methods.split() and (found := pattern.fullmatch(path)):
            return route, [unquote(text or "") for text in found.groups()]
    return UNKNOWN, []
