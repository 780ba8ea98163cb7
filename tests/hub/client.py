"""How tests use the loopback Hub: clients in processes of their own, and what to look at afterwards.

huggingface_hub and datasets read their settings when they are imported, and the tests' own process is told to stay
offline. So a client runs as `run_python(hub, code, home)`, or as any program with the variables of
`client_environment(hub, home)`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.hub.loopback import TOKEN, LoopbackHub
from tests.hub.store import Commit


def client_environment(hub: LoopbackHub, home: Path, *, token: str | None = TOKEN) -> dict[str, str]:
    """Return the variables of a process that imports what this one can, and uses this Hub."""
    every = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    modules = os.pathsep.join(path for path in sys.path if path)
    return {**every, "PYTHONPATH": modules, **hub.environment(home, token=token)}


def run_python(
    hub: LoopbackHub,
    code: str,
    home: Path,
    *arguments: str,
    token: str | None = TOKEN,
    check: bool = True,
    timeout_s: float = 100,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run code in a process that uses this Hub, with `arguments` in sys.argv[1:]; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**client_environment(hub, home, token=token), **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == 0 or not check, done.stderr
    return done


def at_every_commit(hub: LoopbackHub, repo_id: str, revision: str = "main") -> Iterator[tuple[Commit, dict[str, str]]]:
    """Yield every commit of a revision, the oldest first, and its files: path to sha256."""
    for commit in hub.repository(repo_id).history(revision):
        yield commit, {path: entry.sha256 for path, entry in commit.files.items()}
