"""A request to the loopback Hub as its routes see it, and the answer that they give."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tests.hub.blobs import CHUNK_BYTES
from tests.hub.history import Refused, Repository

if TYPE_CHECKING:
    from tests.hub.loopback import LoopbackHub


class CutOff(Exception):
    """The request's body ended too early."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An answer: its body is `content`, or `size` bytes of a file from `start` on."""

    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None
    start: int = 0
    size: int = 0

    @property
    def length(self) -> int:
        return self.size if self.file else len(self.content)

    def pieces(self) -> Iterator[bytes]:
        """Read the body piece by piece."""
        if self.file is None:
            yield self.content
            return
        with self.file.open("rb") as file:
            file.seek(self.start)
            left = self.size
            while left and (piece := file.read(min(CHUNK_BYTES, left))):
                left -= len(piece)
                yield piece


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a value as JSON."""
    return Reply(status=status, content=json.dumps(value).encode(), headers=headers or {})


@dataclass(kw_only=True)
class Call:
    """One request. `user`: whose token came along, if any. `headers`: names in lower case. Its body is read once."""

    hub: LoopbackHub
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    stream: BufferedIOBase
    user: str | None
    has_token: bool = False
    wrong: bool = False
    """The fault of that name is to happen to what is uploaded."""
    drained: bool = False

    @staticmethod
    def parse_query(text: str) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("1", "true")

    def pieces(self) -> Iterator[bytes]:
        """Read the body as it comes, with a length or in chunks."""
        self.drained = True
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self._line().split(b";")[0], 16):
                yield from self._exactly(size)
                self._line()
            while self._line().strip():
                pass
        else:
            yield from self._exactly(int(self.headers.get("content-length") or 0))

    def _line(self) -> bytes:
        line = self.stream.readline()
        if not line.endswith(b"\n"):
            raise CutOff("a body in chunks did not come to its end")
        return line

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.stream.read(min(size, CHUNK_BYTES))
            if not piece:
                raise CutOff(f"{size} bytes of a body did not come")
            size -= len(piece)
            yield piece

    def body(self) -> bytes:
        return b"".join(self.pieces())

    def json(self) -> Any:
        return json.loads(self.body() or b"{}")

    def repository(self, kinds: str, repo_id: str, *, write: bool = False) -> Repository:
        """Return the repository that a path names, where the caller may see it, or write to it."""
        found = self.hub.store.repositories.get((kinds.removesuffix("s"), repo_id))
        if found is None or (found.private and self.user is None):
            raise Refused(401 if self.user is None else 404, "Repository not found", "RepoNotFound")
        if write:
            self.may_write(repo_id)
        return found

    def xet_token(self) -> Reply:
        """Return where the Xet store is: said twice, as hf_xet reads the body and huggingface_hub the head."""
        if not self.hub.xet:
            raise Refused(404, "This Hub has no Xet")
        told = {"accessToken": "xet", "exp": int(time.time()) + 3600, "casUrl": self.hub.store.xet.url}
        names = ("X-Xet-Access-Token", "X-Xet-Token-Expiration", "X-Xet-Cas-Url")
        return answer(told, headers=dict(zip(names, map(str, told.values()), strict=True)))

    def may_write(self, repo_id: str) -> str:
        """Return who writes."""
        if self.user is None:
            raise Refused(401, "Invalid username or password.")
        if repo_id.split("/")[0] not in self.hub.namespaces:
            raise Refused(403, f"You don't have the rights to write in the namespace of {repo_id}")
        return self.user
