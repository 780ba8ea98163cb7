"""A Hub on the loopback: a private dataset repository and a Storage Bucket, as far as reading asks for them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

REPO = "user/name"
BUCKET = "user/bucket"
TOKEN = "hf_secret"
COMMITS = {"main": "a" * 40, "old": "b" * 40}
"""Branch to commit."""


@dataclass
class Hub:
    """What is served, and what was asked."""

    #: Commit to the files at it; the bucket holds those of main.
    folders: dict[str, Path]
    #: Method, path and range.
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    endpoint: str = ""


class _Server(ThreadingHTTPServer):
    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        assert isinstance(self.server, _Server)
        return self.server.hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        self.answer(body)

    def do_GET(self) -> None:
        self.answer({})

    def answer(self, body: dict[str, object]) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range")))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.fail("RepoNotFound", 401)
        elif path.startswith(f"/api/datasets/{REPO}"):
            self.api(path.removeprefix(f"/api/datasets/{REPO}").strip("/").split("/", 2), body)
        elif path.startswith(f"/datasets/{REPO}/resolve/"):
            self.file(*path.removeprefix(f"/datasets/{REPO}/resolve/").split("/", 1))
        elif path.startswith(f"/api/buckets/{BUCKET}"):
            what, _, rest = path.removeprefix(f"/api/buckets/{BUCKET}").strip("/").partition("/")
            self.api([what, "main", rest], body)
        elif path.startswith(f"/buckets/{BUCKET}/resolve/"):
            self.file("main", path.removeprefix(f"/buckets/{BUCKET}/resolve/"))
        else:
            self.fail("RepoNotFound", 404)

    def api(self, parts: list[str], body: dict[str, object]) -> None:
        what, revision, rest = (*parts, "", "")[:3]
        commit = COMMITS.get(revision or "main", revision)
        if commit not in self.hub.folders:
            self.fail("RevisionNotFound", 404)
        elif what in ("", "revision"):
            repository = {"id": REPO, "sha": commit, "private": True, "siblings": [], "tags": [], "downloads": 0}
            self.send({**repository, "createdAt": "2026-01-01T00:00:00.000Z", "size": 0, "totalFiles": 0})
        elif what == "tree":
            deep = parse_qs(urlsplit(self.path).query).get("recursive", [""])[0].lower() == "true"
            found = sorted((self.hub.folders[commit] / rest).glob("**/*" if deep else "*"))
            self.send([self.entry(self.hub.folders[commit], path) for path in found])
        elif what == "paths-info":
            wanted = body["paths"]
            assert isinstance(wanted, list)
            paths = [self.hub.folders[commit] / path for path in wanted]
            self.send([self.entry(self.hub.folders[commit], path) for path in paths if path.exists()])
        else:
            self.fail("EntryNotFound", 404)

    def entry(self, root: Path, path: Path) -> dict[str, object]:
        kind, size = ("directory", 0) if path.is_dir() else ("file", path.stat().st_size)
        bucket_only = (
            {"xetHash": "0" * 64, "mtime": "2026-01-01T00:00:00.000Z"} if self.path.startswith("/api/buckets/") else {}
        )
        return {"type": kind, "path": path.relative_to(root).as_posix(), "size": size, "oid": "0" * 40, **bucket_only}

    def file(self, revision: str, name: str) -> None:
        commit = COMMITS.get(revision, revision)
        path = self.hub.folders[commit] / name
        if not path.is_file():
            self.fail("EntryNotFound", 404)
            return
        data = path.read_bytes()
        headers = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
        }
        asked = self.headers.get("Range")
        if asked is None:
            self.send(data, 200, headers)
            return
        start, _, stop = asked.removeprefix("bytes=").partition("-")
        end = min(int(stop), len(data) - 1) if stop else len(data) - 1
        headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        self.send(data[int(start) : end + 1], 206, headers)

    def fail(self, code: str, status: int) -> None:
        self.send({"error": code}, status, {"X-Error-Code": code, "X-Error-Message": code})

    def send(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def serving(folders: dict[str, Path]) -> Iterator[Hub]:
    """Serve the folders, each under its commit."""
    server = _Server(Hub(folders))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
