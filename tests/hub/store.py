"""All that a loopback Hub keeps in its folder and in memory."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.hub.blobs import GIT_ATTRIBUTES, Blobs
from tests.hub.history import Refused, Repository
from tests.hub.xet import Xet


class Store:
    """All repositories and blobs. Private repositories are shown to none but who has a token."""

    def __init__(self, root: Path) -> None:
        self.blobs = Blobs(root / "blobs")
        self.xet = Xet(root / "xet", self.blobs)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.lock = threading.RLock()

    def create(self, kind: str, repo_id: str, *, private: bool = False) -> Repository:
        """Return a new repository with the one commit that the Hub gives it."""
        with self.lock:
            if (kind, repo_id) in self.repositories:
                raise Refused(409, f"You already created this {kind} repo: {repo_id}")
            repository = Repository(kind=kind, repo_id=repo_id, private=private)
            sha256, _ = self.blobs.add(GIT_ATTRIBUTES.encode())
            first = {} if kind == "bucket" else {".gitattributes": self.blobs.entry(sha256, is_lfs=False)}
            repository.commit("main", lambda files: files.update(first), title="initial commit")
            self.repositories[kind, repo_id] = repository
            return repository
