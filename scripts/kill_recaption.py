"""Kills recaption with SIGKILL at random moments, ends it, and holds the result against a build from scratch.

    python scripts/kill_recaption.py [PHOTOS] [--size 1GB] [--shard-size 100MB] [--kills 10] [--seed 1]

PHOTOS as in bench_recaption.py. After every kill the export must be the old one, the new one, or refused by its readers
until the same command has ended it. Prints what it was after each kill; fails where a byte is another.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hfbucket.config import Config
from hfbucket.config_values import read
from hfbucket.errors import FormatError
from hfbucket.io.manifest_file import read_manifest
from hfbucket.load.location import locate
from hfbucket.stages.verify.run import verify
from hfbucket.stages.write.build import build
from scripts.bench_recaption import make_photos, make_workspace

COMMAND = "from hfbucket.cli.main import console; console()"
_OWN_TIMES = ("manifest.json", "README.md", "croissant.json")


def start(export: Path, workspace: Path, priority: str, *more: str) -> subprocess.Popen[bytes]:
    """Start the command that gives an export another selection."""
    words = ["recaption", str(export), "--captions", str(workspace), "--priority", priority, *more]
    return subprocess.Popen([sys.executable, "-c", COMMAND, *words], stdout=subprocess.DEVNULL)


def bytes_of(export: Path) -> dict[str, str]:
    """Return the hash of every file but those that tell times and history; of these the manifest's content."""
    files = {path.relative_to(export).as_posix(): path for path in sorted(export.rglob("*")) if path.is_file()}
    found = {name: _sha256(path) for name, path in files.items() if name not in _OWN_TIMES}
    return found | {"content": read_manifest(export).content_sha256 or ""}


def _sha256(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def kill_and_continue(export: Path, workspace: Path, expected: dict[str, str], kills: int) -> list[str]:
    """Kill the change to `two` again and again, then let it end; return what the export was after each kill."""
    old = bytes_of(export)
    began = time.monotonic()
    run(start(export, workspace, "two"))
    whole_s = time.monotonic() - began
    assert bytes_of(export) == expected, "not the bytes of a build from scratch"
    seen: list[str] = []
    while len(seen) < kills:
        run(start(export, workspace, "one"))
        assert bytes_of(export) == old, "not the bytes that were there before"
        while len(seen) < kills and (state := after_kill(export, workspace, old, whole_s)) != "new":
            seen.append(state)
        run(start(export, workspace, "two"))
        assert bytes_of(export) == expected, "other bytes after a kill"
    return seen


def after_kill(export: Path, workspace: Path, old: dict[str, str], whole_s: float) -> str:
    """Kill one run; return whether the export is `old`, `refused`, or `new`, which may be the end before the kill."""
    process = start(export, workspace, "two")
    time.sleep(random.uniform(0.1, 1.0) * whole_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    try:
        locate(export)
    except FormatError:
        return "refused"
    return "old" if bytes_of(export) == old else "new"


def run(process: subprocess.Popen[bytes]) -> None:
    """Wait for a command that must do its work."""
    if process.wait() != 0:
        raise SystemExit(f"recaption ended with {process.returncode}")


def check(root: Path, photos: Path | None, size_bytes: int, shard_bytes: int, kills: int) -> list[str]:
    """Build an export with either selection, then change one into the other under kills."""
    os.environ["HFBUCKET_CACHE"] = str(root / "cache")
    names = make_photos(photos, root / "photos", size_bytes)
    workspace = root / "captions.sqlite"
    make_workspace(workspace, names)
    exports = {priority: root / priority / "export" for priority in ("one", "two")}
    for priority, export in exports.items():
        export.parent.mkdir()
        config = Config(base=(512, 256, 128), image_mode="passthrough_jpeg", max_shard_size=shard_bytes,
                        captions=str(workspace), priority=(priority,))  # fmt: skip
        build([str(root / "photos")], export, config)
    states = kill_and_continue(exports["one"], workspace, bytes_of(exports["two"]), kills)
    assert not verify(exports["one"], depth="quick").problems
    return states


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill, continue, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?")
    size = partial(read, "size", int, {"low": 1, "size_in_bytes": True})
    parser.add_argument("--size", type=size, default=size("1GB"))
    parser.add_argument("--shard-size", type=size, default=size("100MB"))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    random.seed(options.seed)
    with tempfile.TemporaryDirectory(prefix="kill-recaption-") as temporary:
        states = check(Path(temporary), options.photos, options.size, options.shard_size, options.kills)
    print(f"{len(states)} kills left: {', '.join(states)}; every time the same bytes as a build from scratch after it")


if __name__ == "__main__":
    main()
