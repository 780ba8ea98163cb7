"""A command and its faults, one after another: what each leaves, and whether the same command mends it."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hfbucket.core.transfer.push import JOURNAL
from hfbucket.errors import HfBucketError
from hfbucket.io.manifest_file import read_manifest
from hfbucket.load.location import locate
from tests.faults.commands import COMMANDS, REPO
from tests.faults.disk import KINDS, Disk, Fault, Step
from tests.hub.client import at_every_commit, client_here
from tests.hub.loopback import TOKEN, LoopbackHub, serving

LIMIT_S = 60

_KEPT = re.compile(r"\.work/tasks/|^other\.work/")
"""What a build may use again; and what lies beside an export that is complete, so that no second run looks there."""

_SLOW = ("hfbucket.", "datasets.", "pandas", "PIL.", "fsspec.implementations.", "huggingface_hub.", "pyarrow.")
"""What is imported late, and takes time."""

REQUEST_KINDS = {"status": 503, "drop": 0, "lost": 0, "cut": 0, "slow": 0}
"""Faults of single requests to the Hub; a status is the one that is answered."""


class Broken(Exception):
    """A fault was not survived."""


def in_child(work: Callable[[], object], answer: Path) -> dict[str, object]:
    """Do work in a child and return what came of it: `end` is ok, error, crash, or hang."""
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT_S)
        try:
            found = work()
            answer.write_text(json.dumps(found))
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status != 0:
        return {"end": "hang" if os.WTERMSIG(status) == signal.SIGALRM else "crash", "words": f"status {status}"}
    return json.loads(answer.read_text()) if answer.exists() else {"end": "crash", "words": "no answer"}


class Trial:
    """One command, tried in one folder again and again."""

    def __init__(self, root: Path, name: str) -> None:
        self.name, self.command = name, COMMANDS[name]
        self.root, self.made, self.here = root, root / "made", root / "here"
        os.environ["HFBUCKET_CACHE"] = str(self.here / "cache")
        self._fresh(prepare=True)
        self.before = seen(self.here)
        self.old = self._result()
        with self._hub() as hub:
            answer = self._run(hub)
            if answer["end"] != "ok":
                raise Broken(f"{name}: fails undisturbed: {answer['words']}")
            self.steps = [Step(*step) for step in answer["steps"]]  # type: ignore[attr-defined]
            for module in answer["modules"]:  # type: ignore[attr-defined]
                importlib.import_module(module)  # here, once, not in every child
            self.requests = 0 if hub is None else hub.log.count()
            self.files, self.new, self.on_hub = seen(self.here), self._result(), _standing(hub)

    def _fresh(self, *, prepare: bool = False) -> None:
        """Let the folder be as it was before."""
        shutil.rmtree(self.here, ignore_errors=True)
        if prepare:
            self.here.mkdir(parents=True)
            found = in_child(lambda: self._told(lambda: self.command.prepare(self.here)), self.root / "answer")
            if found["end"] != "ok":
                raise Broken(f"{self.name}: cannot be prepared: {found['words']}")
            shutil.copytree(self.here, self.made)
        else:
            shutil.copytree(self.made, self.here)

    @contextmanager
    def _hub(self) -> Iterator[LoopbackHub | None]:
        if not self.command.hub:
            yield None
            return
        shutil.rmtree(self.root / "hub", ignore_errors=True)
        with serving(self.root / "hub") as hub:
            if self.command.result == "here":
                hub.create(REPO, private=True)
                hub.commit_folder(REPO, self.here / "export")
            yield hub

    def _told(self, work: Callable[[], object]) -> dict[str, object]:
        """Work and return how that ended, in words."""
        try:
            work()
        except HfBucketError as error:
            chain = f"{error!r} {error.__cause__!r} {error.__context__!r}"
            words = str(error)
            end = "error" if words.strip() and TOKEN not in chain and "Traceback" not in words else "unclear error"
            return {"end": end, "words": words.replace(TOKEN, "***")}
        except BaseException:  # noqa: BLE001 - reported as a finding
            return {"end": "crash", "words": traceback.format_exc().replace(TOKEN, "***")}
        return {"end": "ok", "words": ""}

    def _run(self, hub: LoopbackHub | None, fault: Fault | None = None) -> dict[str, object]:
        """Run the command in a child; return how it ended, its steps, and whether it met the fault."""

        def work() -> dict[str, object]:
            time.sleep = lambda seconds: None
            with ExitStack() as stack:
                if hub is not None:
                    stack.enter_context(client_here(hub, self.root / "home"))
                with Disk(self.here, fault) as disk:
                    told = self._told(lambda: self.command.run(self.here))
            modules = [name for name in sys.modules if name.startswith(_SLOW)]
            return {**told, "met": disk.met, "steps": disk.steps if fault is None else [], "modules": modules}

        return in_child(work, self.root / "answer")

    def _result(self) -> dict[str, str] | None:
        """Return the files of the export that the command makes, None where readers refuse it."""
        export = self.here / self.command.result
        try:
            locate(export)
            read_manifest(export)
        except (HfBucketError, FileNotFoundError):
            return None
        return {path: sha256 for path, sha256 in seen(export).items() if not path.startswith((".", JOURNAL))}

    def fail(self, fault: Fault) -> str:
        """Let the disk fail once; return how the command ended, `not met` where it never came to that step."""
        self._fresh()
        with self._hub() as hub:
            answer = self._run(hub, fault)
            return self._judged(answer, hub) if answer.get("met", True) else "not met"

    def fail_request(self, kind: str, number: int) -> str:
        """Let one request to the Hub fail."""
        self._fresh()
        with self._hub() as hub:
            if hub is None:
                return "not met"
            hub.faults.add("*", kind, status=REQUEST_KINDS[kind], calls={number}, pause_s=0.01)  # type: ignore[arg-type]
            answer = self._run(hub)
            hub.faults.clear()
            return self._judged(answer, hub)

    def _judged(self, answer: dict[str, object], hub: LoopbackHub | None) -> str:
        end = str(answer["end"])
        if end not in ("ok", "error"):
            raise Broken(f"ended with {end}: {answer['words']}")
        self._check_state(end)
        unread = end == "ok" and self._result() != self.new
        check_commits(hub)
        again = self._run(hub)
        if again["end"] != "ok":
            raise Broken(f"cannot be run again after {end} ({answer['words']}): {again['words']}")
        if unread and self.name == "update":
            return end  # what can be read only later comes into shards of its own
        if self._result() != self.new:
            raise Broken(f"other bytes after {end} ({answer['words']}): {_difference(self.new, self._result())}")
        if leftovers := sorted(path for path in set(seen(self.here)) ^ set(self.files) if not _KEPT.search(path)):
            raise Broken(f"leftovers after {end} ({answer['words']}): {leftovers}")
        if _standing(hub) != self.on_hub:
            raise Broken(f"the Hub holds something else after {end} ({answer['words']})")
        return end

    def _check_state(self, end: str) -> None:
        """Check what a fault left."""
        sources = {path: sha256 for path, sha256 in self.before.items() if path.startswith("source")}
        if sources.items() - seen(self.here).items():
            raise Broken("a source was changed")
        now = self._result()
        if now == self.new or (end == "ok" and self._tells_unread(now)):
            return
        if end == "ok":
            raise Broken(f"says that it is done, and is not: {_difference(self.new, now)}")
        if now is None:
            journal = self.here / f"{self.command.result}.work/journal.json"
            if self.command.changes and not journal.exists():
                raise Broken("what was a whole export is gone")
        elif now != self.old:
            raise Broken(f"loads, but is neither the old export nor the new one: {_difference(self.new, now)}")

    def _tells_unread(self, now: dict[str, str] | None) -> bool:
        """Return whether an export says itself that images could not be read; they are looked at anew next time."""
        return now is not None and "source_errors" in json.dumps(read_manifest(self.here / "export").summary)


def check_commits(hub: LoopbackHub | None) -> None:
    """Check that every commit holds an export whole, or nothing of it."""
    if hub is None or ("dataset", REPO) not in hub.store.repositories:
        return
    for commit, files in at_every_commit(hub, REPO):
        shards = {path: sha256 for path, sha256 in files.items() if path.startswith("buckets/")}
        named: dict[str, str] = {}
        if "manifest.json" in files:
            buckets = json.loads(hub.read(commit, "manifest.json"))["buckets"].values()
            named = {shard["file"]: shard["sha256"] for bucket in buckets for shard in bucket["shards"]}
        if shards != named:
            raise Broken(f"a commit holds half an export: {sorted(shards)}")


def _standing(hub: LoopbackHub | None) -> dict[str, str]:
    """Return the files of the last commit."""
    if hub is None or ("dataset", REPO) not in hub.store.repositories:
        return {}
    *_, (_, files) = at_every_commit(hub, REPO)
    return files


def seen(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _difference(new: dict[str, str] | None, now: dict[str, str] | None) -> str:
    both = (new or {}, now or {})
    return ", ".join(sorted({path for path, _ in both[0].items() ^ both[1].items()})) or "nothing is there"


def faults_of(steps: Sequence[Step], per_site: int, chance: random.Random) -> list[Fault]:
    """Return the faults to inject: every kind at up to so many steps of every site."""
    faults = []
    for kind, does in KINDS.items():
        sites = defaultdict(list)
        for step in steps:
            if step.does in does and not (kind == "stale listing" and step.file.startswith("source")):
                sites[step.does, re.sub(r"[0-9a-f]{16,}|\d+", "#", step.file)].append(step)
        for site in sites.values():
            faults += [Fault(kind=kind, step=step) for step in chance.sample(site, min(per_site, len(site)))]
    return faults
