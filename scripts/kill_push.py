"""Push an export of many shards to a loopback Hub, killed at random moments and continued; check what that leaves.

    python scripts/kill_push.py --shards 200 --kills 10          one commit
    python scripts/kill_push.py --shards 1200 --kills 10         parts to a pull request

Checked: the end state is equal byte for byte, no shard whose upload had completed was sent twice, at every commit of
main every shard's hash is what that commit's manifest says and the card's globs match exactly its shards, and a last
push sends nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from huggingface_hub import DatasetCard

from hfbucket.core.card.facts import glob_matches
from tests.factories import make_export
from tests.hub.client import at_every_commit, client_environment
from tests.hub.history import Commit
from tests.hub.loopback import LoopbackHub, serving

REPO = "me/killed"
PUSH = "import sys; from hfbucket.cli.main import console; sys.argv[1:] = ['push', *sys.argv[1:], '--yes']; console()"


def start(hub: LoopbackHub, export: Path, home: Path, code: str, target: str) -> subprocess.Popen[str]:
    """Start a push in a process of its own."""
    command = [sys.executable, "-c", code, str(export), target]
    environment = client_environment(hub, home)
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def push(
    hub: LoopbackHub, export: Path, home: Path, code: str = PUSH, target: str = REPO, kill_at: int | None = None
) -> bool:
    """Push once and return whether it came to its end; it is killed when the Hub has got `kill_at` more requests."""
    before = hub.log.count()
    process = start(hub, export, home, code, target)
    while kill_at is not None and process.poll() is None and hub.log.count() - before < kill_at:
        time.sleep(0.001)
    if kill_at is not None and process.poll() is None:
        process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"the push failed: {errors}")
    return process.returncode == 0


def kill_and_continue(
    hub: LoopbackHub,
    export: Path,
    home: Path,
    *,
    kills: int,
    requests: int,
    seed: int,
    code: str = PUSH,
    target: str = REPO,
) -> int:
    """Push, killed up to `kills` times, then to the end; return how often it was killed before it was done.

    Args:
        requests: about how many a whole push makes; the kills are spread over them at random.
    """
    chance, most = random.Random(seed), 3 * requests // (2 * kills)
    met = sum(not push(hub, export, home, code, target, kill_at=chance.randint(1, most)) for _ in range(kills))
    if not push(hub, export, home, code, target):
        raise SystemExit("the last push did not end")
    return met


def check(hub: LoopbackHub, export: Path, home: Path, code: str = PUSH) -> None:
    """Hold what is on the Hub against the export and the log."""
    *_, (_, there) = at_every_commit(hub, REPO)
    here = {
        path.relative_to(export).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in export.rglob("*")
        if path.is_file() and path.parent.name != "ledger"
    }
    there.pop(".gitattributes", None)
    if there != here:
        raise SystemExit(f"the end state differs in {sorted(there.items() ^ here.items())[:4]}")
    sent = [put.oid for put in hub.log.puts if put.kept]
    if len(sent) != len(set(sent)):
        raise SystemExit(f"{len(sent) - len(set(sent))} files were sent twice")
    for commit, files in at_every_commit(hub, REPO):
        check_commit(hub, commit, files)
    puts, commits = len(hub.log.puts), len(hub.log.commits)
    push(hub, export, home, code)
    if (len(hub.log.puts), len(hub.log.commits)) != (puts, commits):
        raise SystemExit("an unchanged push has sent something")


def check_commit(hub: LoopbackHub, commit: Commit, files: dict[str, str]) -> None:
    """Hold one commit's shards against its manifest and its card."""
    shards = {name: sha256 for name, sha256 in files.items() if name.startswith("buckets/")}
    named: dict[str, str] = {}
    if "manifest.json" in files:
        manifest = json.loads(hub.read(commit, "manifest.json"))
        named = {shard["file"]: shard["sha256"] for e in manifest["buckets"].values() for shard in e["shards"]}
        configs = DatasetCard(hub.read(commit, "README.md").decode()).data.get("configs")
        paths = [entry["path"] for entry in configs[0]["data_files"]]
        globs = [glob for path in paths for glob in ([path] if isinstance(path, str) else path)]
        if set().union(*(glob_matches(glob, files) for glob in globs)) != set(named):
            raise SystemExit(f"commit {commit.oid}: the card's globs match other files than the manifest's shards")
    if shards != named:
        raise SystemExit(f"commit {commit.oid}: {len(shards.items() ^ named.items())} shards differ from the manifest")


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder, "hub")) as hub:
        export, home = Path(folder, "export"), Path(folder, "home")
        make_export(export, bases=(64,), divisible=8, per_shard=1, shards_per_bucket=options.shards // 2)
        started = time.monotonic()
        met = kill_and_continue(hub, export, home, kills=options.kills, requests=2 * options.shards, seed=options.seed)
        check(hub, export, home)
        refs = sorted({committed.ref for committed in hub.log.commits})
        print(
            f"{options.shards} shards, killed {met} times in {options.kills} runs, {time.monotonic() - started:.0f} s: "
            f"equal; {len(hub.log.puts)} uploads, {sum(put.kept for put in hub.log.puts)} of them whole, none twice; "
            f"{len(hub.log.commits)} commits to {', '.join(refs)}; main agrees at each of its "
            f"{len(hub.repository(REPO).history())} commits"
        )


if __name__ == "__main__":
    main()
