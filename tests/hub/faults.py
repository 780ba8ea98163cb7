"""Faults that a test switches on, and the log of what was asked of the loopback Hub."""

from __future__ import annotations

import threading
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["status", "drop", "lost", "cut", "slow", "late", "wrong"]
"""What happens.

status: nothing is done, an error is answered. drop: nothing is done and nothing answered; of an upload, half is read.
lost: it is done, but the answer never comes. late: all of the answer comes after a pause. slow: its body comes in eight
pieces with pauses. cut: its body breaks off in the middle. wrong: one byte of its body is changed; an upload counts as
broken on its way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault: at which calls of an endpoint (1 is the first after it was set) it happens, and how."""

    endpoint: str
    kind: Kind
    status: int = 500
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    calls: Container[int] = frozenset({1})
    match: str = ""
    pause_s: float = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request, which connection it came by, and what was answered. `token`: whether one came along, never which."""

    endpoint: str
    method: str
    path: str
    query: str
    range: str | None
    token: bool
    status: int | None
    answer_bytes: int
    fault: Kind | None
    connection: int = 0
    #: It came as it comes to a proxy.
    is_proxied: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Put:
    """One upload of a blob; `kept` is false where it broke off or was not what its oid says."""

    oid: str
    size: int
    kept: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Committed:
    """One commit that a client made: what it changed."""

    repo_id: str
    ref: str
    oid: str
    added: int
    deleted: int


@dataclass
class Log:
    """All that happened, in order."""

    requests: list[Request] = field(default_factory=list)
    puts: list[Put] = field(default_factory=list)
    commits: list[Committed] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    """Tracebacks of the Hub itself; there are to be none."""

    def count(self, endpoint: str | None = None) -> int:
        """Return how many requests came, in all or to one endpoint."""
        return sum(endpoint in (None, request.endpoint) for request in self.requests)

    def clear(self) -> None:
        for entries in (self.requests, self.puts, self.commits):
            entries.clear()


class Faults:
    """The faults that are set."""

    def __init__(self) -> None:
        self._set: list[tuple[Fault, list[int]]] = []
        self._lock = threading.Lock()

    def add(
        self,
        endpoint: str,
        kind: Kind,
        *,
        status: int = 500,
        retry_after: str | None = None,
        headers: Mapping[str, str] | None = None,
        calls: Container[int] = frozenset({1}),
        match: str = "",
        pause_s: float = 0.05,
    ) -> None:
        """Let calls of an endpoint ("*": of any) fail, counted from now; `match`: those with this in their path."""
        fault = Fault(
            endpoint=endpoint, kind=kind, status=status, retry_after=retry_after, headers=headers or {}, calls=calls,
            match=match, pause_s=pause_s,
        )  # fmt: skip
        with self._lock:
            self._set.append((fault, [0]))

    def clear(self) -> None:
        with self._lock:
            self._set.clear()

    def at(self, endpoint: str, path: str) -> Fault | None:
        """Count a call and return the fault that it meets."""
        met = None
        with self._lock:
            for fault, count in self._set:
                if fault.endpoint in ("*", endpoint) and fault.match in path:
                    count[0] += 1
                    if met is None and count[0] in fault.calls:
                        met = fault
        return met
