"""A small Hub on the loopback, for tests and for trying things out: no account, no network, nothing real.

    python -m tests.hub.loopback --port 8080 --root DIR

It speaks as much of the Hub's HTTP protocol as huggingface_hub and datasets use to create, push, list, open pull
requests, merge and read, so that the unmodified clients work against it with HF_ENDPOINT. Blobs lie in DIR, the
history of the repositories lives as long as the process. What it knows of the protocol was read from the clients: it is
no proof of what the real Hub does.
"""

from __future__ import annotations

import argparse
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.hub.faults import Fault, Faults, Log, Request
from tests.hub.messages import Call, CutOff, Reply, answer
from tests.hub.routes import find_route
from tests.hub.store import Commit, Entry, Refused, Repository, Store, is_large

TOKEN = "hf_LoopbackTokenThatMustNeverBeShown"
USER = "me"


@dataclass
class LoopbackHub:
    """A running loopback Hub, from inside: what it keeps, what it was asked, and switches."""

    store: Store
    endpoint: str = ""
    faults: Faults = field(default_factory=Faults)
    log: Log = field(default_factory=Log)
    users: dict[str, str] = field(default_factory=lambda: {TOKEN: USER})
    """Token to user; any other token is refused."""
    namespaces: set[str] = field(default_factory=lambda: {USER, "team"})
    """Where users may write."""
    page_size: int = 1000
    """Entries per page of a listing."""
    redirects: bool = False
    """Whether large files are answered with a redirect to another host name, as by the Hub's CDN."""
    multipart_bytes: int | None = None
    """From which size on blobs are to be uploaded in parts of this size; None: never."""

    def environment(self, home: Path, *, token: str | None = TOKEN) -> dict[str, str]:
        """Return the variables that make a process use this Hub, with a cache and a home of its own."""
        found = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        return found | ({"HF_TOKEN": token} if token else {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"})

    def repository(self, repo_id: str, kind: str = "dataset") -> Repository:
        return self.store.repositories[kind, repo_id]

    def create(self, repo_id: str, kind: str = "dataset", *, private: bool = False) -> Repository:
        return self.store.create(kind, repo_id, private=private)

    def commit(
        self, repo_id: str, files: Mapping[str, bytes | Path], *, ref: str = "main", title: str = "test"
    ) -> Commit:
        """Commit files past the protocol: a quick way to set a scene."""

        def entry(path: str, content: bytes | Path) -> Entry:
            sha256, size = self.store.blobs.add(content)
            with self.store.blobs.path(sha256).open("rb") as file:
                return self.store.blobs.entry(sha256, is_lfs=is_large(path, file.read(512), size))

        added = {path: entry(path, content) for path, content in files.items()}
        return self.repository(repo_id).commit(ref, lambda kept: kept.update(added), title=title)

    def commit_folder(self, repo_id: str, folder: Path) -> Commit:
        """Commit all files of a folder past the protocol; the repository is made where it is missing."""
        if ("dataset", repo_id) not in self.store.repositories:
            self.create(repo_id)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return self.commit(repo_id, {path.relative_to(folder).as_posix(): path for path in paths})

    def read(self, commit: Commit, path: str) -> bytes:
        """Return a file of a commit."""
        return self.store.blobs.path(commit.files[path].sha256).read_bytes()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, hub: LoopbackHub, port: int, *, verbose: bool = False) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.hub, self.verbose = hub, verbose
        hub.endpoint = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that go away: they are killed on purpose here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.respond()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def respond(self) -> None:
        assert isinstance(self.server, _Server)
        hub, parts = self.server.hub, urlsplit(self.path)
        route, groups = find_route(self.command, parts.path)
        fault = hub.faults.at(route.name, unquote(self.path))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        call = Call(
            hub=hub, method=self.command, path=parts.path, query=Call.parse_query(parts.query),
            headers={name.lower(): value for name, value in self.headers.items()}, stream=self.rfile,
            user=hub.users.get(token), wrong=fault is not None and fault.kind == "wrong",
        )  # fmt: skip
        reply: Reply | None = None
        try:
            if fault and fault.kind in ("drop", "status"):
                reply = self.fail(call, fault)
            elif token and call.user is None:
                raise Refused(401, "Invalid credentials in Authorization header")
            else:
                reply = route.answer(call, *groups)
        except Refused as no:
            headers = {"X-Error-Message": no.message} | ({"X-Error-Code": no.code} if no.code else {}) | no.headers
            reply = answer({"error": no.message}, no.status, headers)
        except CutOff:
            reply = None
        if fault and fault.kind == "lost":
            reply = None
        request = Request(
            endpoint=route.name, method=self.command, path=unquote(parts.path), query=parts.query,
            range=self.headers.get("Range"), token=bool(token), status=reply.status if reply else None,
            answer_bytes=reply.length if reply and self.command != "HEAD" else 0, fault=fault.kind if fault else None,
        )  # fmt: skip
        hub.log.requests.append(request)
        if self.server.verbose:
            print(f"{request.method} {self.path} {request.status}", flush=True)  # noqa: T201 - asked for by --verbose
        if reply is None:
            self.hang_up()
        else:
            self.send(call, reply, fault)

    def fail(self, call: Call, fault: Fault) -> Reply | None:
        if fault.kind == "drop":
            half = int(self.headers.get("Content-Length") or 0) // 2
            self.rfile.read(min(half, 1 << 20))
            call.drained = True
            return None
        headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
        return answer({"error": "a fault of the loopback Hub"}, fault.status, headers)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def send(self, call: Call, reply: Reply, fault: Fault | None) -> None:
        if not call.drained:
            for _ in call.pieces():
                pass
        kind = fault.kind if fault else None
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(reply.length), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        pieces = reply.pieces()
        if kind == "wrong" and call.method == "GET":
            pieces = _one_byte_changed(pieces)
        if kind == "cut":
            self.send_part(pieces, reply.length // 2)
            return
        for piece in _slowly(pieces, fault.pause_s) if fault and kind == "slow" else pieces:
            self.wfile.write(piece)
            if kind == "slow":
                self.wfile.flush()

    def send_part(self, pieces: Iterator[bytes], size: int) -> None:
        for piece in pieces:
            self.wfile.write(piece[:size])
            size -= len(piece[:size])
            if not size:
                break
        self.wfile.flush()
        self.hang_up()


def _one_byte_changed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for number, piece in enumerate(pieces):
        yield piece[:-1] + bytes([piece[-1] ^ 1]) if number == 0 and piece else piece


def _slowly(pieces: Iterator[bytes], pause_s: float) -> Iterator[bytes]:
    for piece in pieces:
        step = max(1, len(piece) // 8)
        for start in range(0, len(piece), step):
            time.sleep(pause_s)
            yield piece[start : start + step]


@contextmanager
def serving(root: Path, port: int = 0) -> Iterator[LoopbackHub]:
    """Run a loopback Hub that keeps its blobs in a folder."""
    server = _Server(LoopbackHub(Store(root)), port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A loopback Hub: nothing real, gone when it ends.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--root", type=Path, help="where blobs are kept (default: a new folder)")
    parser.add_argument("--verbose", action="store_true", help="print every request")
    options = parser.parse_args()
    root = options.root or Path(tempfile.mkdtemp(prefix="loopback-hub-"))
    server = _Server(LoopbackHub(Store(root)), options.port, verbose=options.verbose)
    words = f"HF_ENDPOINT={server.hub.endpoint} HF_TOKEN={TOKEN} HF_HUB_DISABLE_XET=1 HF_UPDATE_DOWNLOAD_COUNTS=0"
    print(f"A loopback Hub, blobs in {root}. To use it:\n  export {words}", flush=True)  # noqa: T201 - its output
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
