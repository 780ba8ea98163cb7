"""How tests use the loopback Hub: clients in processes of their own, and what to look at afterwards.

huggingface_hub and datasets read their settings when they are imported, and the tests' own process is told to stay
offline. So a client runs as `run_python(hub, code, home)`, or as any program with the variables of
`client_environment(hub, home)`. Within `with client_here(hub, home):` the tests' own process does, which is quicker,
but changes settings that the clients do not expect to change: what a user sees is shown by processes.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import datasets
import datasets.config
import huggingface_hub
import huggingface_hub.constants
import pytest

from tests.hub.history import Commit
from tests.hub.loopback import TOKEN, LoopbackHub, serving


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
    """Run code in a process that uses this Hub, with `arguments` in sys.argv[1:]; return what it printed.

    At its end the process goes at once: pyarrow's threads may abort it while the interpreter is taken apart.
    """
    code += "\nimport os, sys\nsys.stdout.flush()\nos._exit(0)\n"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**client_environment(hub, home, token=token), **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == 0 or not check, done.stderr
    return done


@contextmanager
def client_here(hub: LoopbackHub, home: Path, *, token: str | None = TOKEN) -> Iterator[None]:
    """Let huggingface_hub and datasets in this process use this Hub, with caches of their own, for a while."""
    of_datasets = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_OFFLINE": False,
        "HF_DATASETS_OFFLINE": False,
        "HF_DATASETS_CACHE": home / "datasets",
        "DOWNLOADED_DATASETS_PATH": home / "datasets" / "downloads",
    }
    of_hub = {
        "ENDPOINT": hub.endpoint,
        "HUGGINGFACE_CO_URL_HOME": f"{hub.endpoint}/",
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": not hub.xet,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": token is None,
    }
    try:
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            # huggingface_hub uploads by a word that its HTTP library has given up.
            warnings.filterwarnings("ignore", message="Use 'content=", category=DeprecationWarning)
            for module, settings in ((huggingface_hub.constants, of_hub), (datasets.config, of_datasets)):
                for name, value in settings.items():
                    patch.setattr(module, name, value)
            for name in ("NO_PROXY", "no_proxy"):
                patch.setenv(name, "127.0.0.1,localhost")
            patch.setenv("HF_TOKEN", token or "")
            _forget_connections()
            yield
    finally:
        _forget_connections()


def _forget_connections() -> None:
    """Drop what the clients keep of the Hub they talked to: what comes next looks at its settings anew."""
    huggingface_hub.close_session()
    huggingface_hub.HfFileSystem.clear_instance_cache()


def at_every_commit(
    hub: LoopbackHub, repo_id: str, revision: str = "main", kind: str = "dataset"
) -> Iterator[tuple[Commit, dict[str, str]]]:
    """Yield every commit of a revision, the oldest first, and its files: path to sha256.

    For a Storage Bucket (`kind="bucket"`) every batch counts as one.
    """
    for commit in hub.repository(repo_id, kind).history(revision):
        yield commit, {path: entry.sha256 for path, entry in commit.files.items()}


def assert_copied(source: Path, copy: Path) -> None:
    """Hold a folder's files against a copy, which may have more."""
    for path in source.rglob("*"):
        if path.is_file():
            assert (copy / path.relative_to(source)).read_bytes() == path.read_bytes(), path


@functools.cache
def xet_works() -> bool:
    """Return whether the installed hf_xet can still talk to a folder, which is promised nowhere."""
    upload = """
from huggingface_hub import HfApi
HfApi().create_repo("me/probe")
HfApi().upload_file(path_or_fileobj=bytes([255, 0]) * 500, path_in_repo="probe.tar", repo_id="me/probe")
"""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder, "hub"), xet=True) as hub:
        run_python(hub, upload, Path(folder, "home"), check=False)
        commits = hub.repository("me/probe", "model").history()
        return [entry.xet_hash is not None for entry in commits[-1].files.values()] == [False, True]
