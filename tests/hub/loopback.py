"""A small Hub on the loopback, for tests and for trying things out: no account, no network, nothing real.

    python -m tests.hub.loopback --port 8080 --root DIR

It speaks as much of the Hub's HTTP protocol as huggingface_hub and datasets use to create, push, list, open pull
requests, merge and read, so that the unmodified clients work against it with HF_ENDPOINT. Blobs lie in DIR, the
history of the repositories lives as long as the process. What it knows of the protocol was read from the clients: it is
no proof of what the real Hub does.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub.blobs import Entry, is_large
from tests.hub.faults import Faults, Log
from tests.hub.history import Commit, Repository
from tests.hub.server import Server
from tests.hub.store import Store

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
    xet: bool = False
    """Whether clients are to upload and download large files by Xet; Storage Buckets cannot be had without."""
    multipart_bytes: int | None = None
    """From which size on blobs are to be uploaded in parts of this size; None: never."""

    def environment(self, home: Path, *, token: str | None = TOKEN) -> dict[str, str]:
        """Return the variables that make a process use this Hub, with a cache and a home of its own."""
        found = {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "0" if self.xet else "1",
            "HF_XET_CACHE": str(home / "xet"),
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
        self,
        repo_id: str,
        files: Mapping[str, bytes | Path],
        *,
        kind: str = "dataset",
        ref: str = "main",
        title: str = "test",
    ) -> Commit:
        """Commit files past the protocol: a quick way to set a scene."""

        def entry(path: str, content: bytes | Path) -> Entry:
            sha256, size = self.store.blobs.add(content)
            with self.store.blobs.path(sha256).open("rb") as file:
                return self.store.blobs.entry(sha256, is_lfs=is_large(path, file.read(512), size))

        added = {path: entry(path, content) for path, content in files.items()}
        return self.repository(repo_id, kind).commit(ref, lambda kept: kept.update(added), title=title)

    def commit_folder(self, repo_id: str, folder: Path, *, kind: str = "dataset") -> Commit:
        """Commit all files of a folder past the protocol; the repository is made where it is missing."""
        if (kind, repo_id) not in self.store.repositories:
            self.create(repo_id, kind)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return self.commit(repo_id, {path.relative_to(folder).as_posix(): path for path in paths}, kind=kind)

    def read(self, commit: Commit, path: str) -> bytes:
        """Return a file of a commit."""
        return self.store.blobs.path(commit.files[path].sha256).read_bytes()


@contextmanager
def serving(root: Path, port: int = 0, *, xet: bool = False) -> Iterator[LoopbackHub]:
    """Run a loopback Hub that keeps its blobs in a folder."""
    server = Server(LoopbackHub(Store(root), xet=xet), port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert not server.hub.log.mistakes, server.hub.log.mistakes[0]


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A loopback Hub: nothing real, gone when it ends.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--root", type=Path, help="where blobs are kept (default: a new folder)")
    parser.add_argument("--xet", action="store_true", help="take large files by Xet, and have Storage Buckets")
    options = parser.parse_args()
    root = options.root or Path(tempfile.mkdtemp(prefix="loopback-hub-"))
    server = Server(LoopbackHub(Store(root), xet=options.xet), options.port)
    off = "" if options.xet else "HF_HUB_DISABLE_XET=1 "
    words = f"HF_ENDPOINT={server.hub.endpoint} HF_TOKEN={TOKEN} {off}HF_UPDATE_DOWNLOAD_COUNTS=0"
    print(f"A loopback Hub, blobs in {root}. To use it:\n  export {words}", flush=True)  # noqa: T201 - its output
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
