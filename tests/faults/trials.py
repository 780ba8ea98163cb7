"""A command and its faults, one after another: what each leaves, and whether the same command mends it."""

from __future__ import annotations

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hfbucket.errors import HfBucketError
from hfbucket.io.cards import render_card
from hfbucket.io.manifest_file import read_manifest
from tests.faults.commands import COMMANDS, REPO
from tests.faults.disk import KINDS, SIZE, Disk, Fault, Step
from tests.faults.results import Result, missing_in, samples, seen, unread_in
from tests.hub.client import at_every_commit, client_here
from tests.hub.loopback import TOKEN, LoopbackHub, serving

LIMIT_S = 60

_SLOW = ("hfbucket.", "datasets.", "pandas", "PIL.", "fsspec.implementations.", "huggingface_hub.", "pyarrow.",
         "scipy", "numpy.")  # fmt: skip
"""What is imported late, and takes time."""

_TASKS = re.compile(r"\.work/tasks/")
"""What the last build here planned: written anew by each before anything else, and a second one may plan nothing."""

_NOT_AGAIN = re.compile(r"^cache/index/.*-once\.parquet$")
"""Rows of a folder of which something could not be read; nobody looks at them a second time."""

_IN_CACHE = re.compile(r"^cache/.*\.tmp$")
"""What a killed process leaves in the index cache stays: other processes may be writing there."""

_AS_LISTED = re.compile(r"^cache/index/")
"""The index of a folder is kept by what it held; of one that was listed short it stays beside the right one."""

_LIMITS = 8
"""Sizes that are tried for one step of every site."""

REQUEST_KINDS = {"status": 503, "drop": 0, "lost": 0, "cut": 0, "slow": 0}
"""Faults of single requests to the Hub; a status is the one that is answered."""


class Broken(Exception):
    """A fault was not survived."""


def in_child(work: Callable[[], object], answer: Path) -> dict[str, object]:
    """Do work in a child and return what came of it: `end` is ok, error, crash, killed, or hang."""
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
        ends = {signal.SIGALRM: "hang", signal.SIGKILL: "killed"}
        return {"end": ends.get(os.WTERMSIG(status), "crash"), "words": f"status {status}"}  # type: ignore[call-overload]
    return json.loads(answer.read_text()) if answer.exists() else {"end": "crash", "words": "no answer"}


class Trial:
    """One command, tried in one folder again and again."""

    def __init__(self, root: Path, name: str) -> None:
        self.name, self.command = name, COMMANDS[name]
        self.root, self.made, self.here = root, root / "made", root / "here"
        os.environ["HFBUCKET_CACHE"] = str(self.here / "cache")
        #: What was left by faults, and mended by the same command.
        self.mended: set[object] = set()
        self._fresh(prepare=True)
        self.before, self.old = seen(self.here), self._result()
        with self._hub() as hub:
            answer = self._run(hub)
            if answer["end"] != "ok":
                raise Broken(f"{name}: fails undisturbed: {answer['words']}")
            self.steps = [Step(*step) for step in answer["steps"]]  # type: ignore[attr-defined]
            for module in answer["modules"]:  # type: ignore[attr-defined]
                importlib.import_module(module)  # here, once, not in every child
            self.requests = 0 if hub is None else hub.log.count()
            self.sizes = [path.stat().st_size for path in self.here.rglob("*") if path.is_file()]
            self.files, self.new, self.on_hub = seen(self.here), self._result(), _standing(hub)
            self.samples = samples(self.here / self.command.result)
            if self.samples:
                render_card(read_manifest(self.here / self.command.result))  # compiles what every child needs

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
            if self.command.hub == "with the export":
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

    def _result(self) -> Result | None:
        """Return what the command makes, None where readers refuse it."""
        return self.command.reads(self.here / self.command.result)

    def fail(self, fault: Fault) -> str:
        """Let the disk fail once; return how the command ended, `not met` where it never came to that step."""
        self._fresh()
        with self._hub() as hub:
            answer = self._run(hub, fault)
            return self._judged(answer, hub, fault) if answer.get("met", True) else "not met"

    def fail_request(self, kind: str, number: int) -> str:
        """Let one request to the Hub fail."""
        self._fresh()
        with self._hub() as hub:
            if hub is None:
                return "not met"
            hub.faults.add("*", kind, status=REQUEST_KINDS[kind], calls={number}, pause_s=0.01)  # type: ignore[arg-type]
            answer = self._run(hub)
            hub.faults.clear()
            return self._judged(answer, hub, None)

    def _judged(self, answer: dict[str, object], hub: LoopbackHub | None, fault: Fault | None) -> str:
        """Check what a fault left, run the command again, and check what that leaves; return how the first ended."""
        end = str(answer["end"])
        if end not in ("ok", "error", "killed"):
            raise Broken(f"ended with {end}: {answer['words']}")
        told = f"{end} ({answer['words']})"
        self._check_left(end, told, fault)
        check_commits(hub)
        left = self._result()
        state = (end, frozenset(seen(self.here, folders=True).items()))
        if hub is None and state in self.mended:
            return end
        again = self._run(hub)
        if again["end"] != "ok":
            raise Broken(f"cannot be run again after {told}: {again['words']}")
        if end == "ok" and not self._is_same(left) and not self._is_as_listed(left, fault) and self.samples:
            self._check_made_up(told)
        else:
            self._check_mended(told, end, fault, done=self._is_same(left))
        if _standing(hub) != self.on_hub:
            raise Broken(f"the Hub holds something else after {told}")
        self.mended.add(state)
        return end

    def _is_same(self, now: Result | None) -> bool:
        return now is not None and self.new is not None and now.files == self.new.files

    def _check_left(self, end: str, told: str, fault: Fault | None) -> None:
        """Check what a fault left: what was acknowledged, and that nothing is between old and new."""
        if _files_below("source", self.before).items() - seen(self.here).items():
            raise Broken("a source was changed")
        now, old, new = self._result(), self.old, self.new
        if new is None:
            raise Broken("the undisturbed command made nothing")
        if end == "ok":
            if now is None or (now.files, now.marks) != (new.files, new.marks):
                if not self._is_as_listed(now, fault):
                    self._check_unread(now, told, fault)
            elif self.command.must_tell and fault is not None and fault.kind == "unreadable":
                raise Broken(f"found nothing wrong without having read {fault.step.file}")
        elif now is None:
            journal = self.here / f"{self.command.result}.work/journal.json"
            if self.command.changes and old is not None and not journal.exists():
                raise Broken(f"what was whole is gone after {told}")
        elif not self.command.sameness(old, now, new):
            raise Broken(f"neither the old nor the new after {told}: {_difference(new, now)}")

    def _check_unread(self, now: Result | None, told: str, fault: Fault | None) -> None:
        """Check a command that is done but has not made what it makes undisturbed.

        It may only have left out images that it could not read, and counts them in the export, or that a listing of
        the source did not name, which it cannot know, nor can a workspace; and only if the fault was there.
        """
        lacks = None if now is None else missing_in(now.place, self.samples)
        of_source = fault is not None and fault.step.file.startswith("source")
        unlisted = fault is not None and fault.kind == "stale listing"
        less = now is not None and self.new is not None and now.files.items() <= self.new.files.items()
        if of_source and unlisted and less and not self.samples:
            return
        if now is None or lacks is None or not of_source or not (unlisted or unread_in(now.place) >= lacks):
            raise Broken(f"says that it is done, and is not, {told}: {_difference(self.new, now)}")

    def _is_as_listed(self, now: Result | None, fault: Fault | None) -> bool:
        """Return whether a command has done all that it could after a listing that lacked a file.

        What is not listed cannot be deleted; and which parts a ledger has is told by nothing but a listing. Nothing
        else of the export is looked for in listings.
        """
        if now is None or self.new is None or fault is None or fault.kind != "stale listing":
            return False
        more, less = now.files.items() - self.new.files.items(), self.new.files.items() - now.files.items()
        old = {} if self.old is None else self.old.files
        return more <= old.items() and all(path.startswith("ledger/") for path, _ in less)

    def _check_made_up(self, told: str) -> None:
        """Check that a second run brought the images that the first could not read.

        The first made an export that counts: it stands in the history, and an update puts what came later into shards
        of their own. So the bytes are others, but the samples are the same.
        """
        now = self._result()
        if now is None or missing_in(now.place, self.samples) != 0:
            raise Broken(f"what could be read later did not come after {told}: {_difference(self.new, now)}")

    def _check_mended(self, told: str, end: str, fault: Fault | None, *, done: bool) -> None:
        """Check that a second run ended in the bytes, and beside the export the files, of an undisturbed one."""
        if not self._is_same(now := self._result()):
            raise Broken(f"other bytes after {told}: {_difference(self.new, now)}")
        loose = [_TASKS, _NOT_AGAIN, *self.command.loose]
        if end == "killed":
            loose.append(_IN_CACHE)
        if fault is not None and fault.kind == "stale listing":
            loose.append(_AS_LISTED)
        scratch = f"{self.command.result}.work/"
        # An export made aside is complete before its scratch is deleted, and no second run looks there.
        if self.command.once and done and fault is not None and fault.step.file.startswith(scratch):
            loose.append(re.compile(f"^{scratch}"))
        found = {path for path, _ in seen(self.here).items() ^ self.files.items()}
        if wrong := sorted(path for path in found if not any(pattern.search(path) for pattern in loose)):
            raise Broken(f"other files after {told}: {wrong}")


def _files_below(start: str, files: Mapping[str, str]) -> dict[str, str]:
    return {path: sha256 for path, sha256 in files.items() if path.startswith(start)}


def check_commits(hub: LoopbackHub | None) -> None:
    """Check that every commit holds an export whole, or nothing of it."""
    if hub is None or ("dataset", REPO) not in hub.store.repositories:
        return
    for commit, files in at_every_commit(hub, REPO):
        shards = _files_below("buckets/", files)
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


def _difference(new: Result | None, now: Result | None) -> str:
    if new is None or now is None:
        return "nothing is there"
    files = {**new.files, **new.marks}.items() ^ {**now.files, **now.marks}.items()
    return ", ".join(sorted({path for path, _ in files}))


def faults_of(steps: Sequence[Step], sizes: Sequence[int], per_site: int, chance: random.Random) -> list[Fault]:
    """Return the faults to inject: every kind at up to so many steps of every site.

    Args:
        sizes: of the files that the command leaves, to draw limits below them.
    """
    faults = []
    for kind, does in KINDS.items():
        sites: dict[tuple[str, str], list[Step]] = defaultdict(list)
        for step in steps:
            if step.does in does:
                sites[step.does, re.sub(r"[0-9a-f]{16,}|\d+", "#", step.file)].append(step)
        if kind == "slow":  # all calls of a kind at once: one after another they would change as little
            sites = {(does, ""): [found[0]] for (does, _), found in sites.items()}
        for site in sites.values():
            faults += [Fault(kind=kind, step=step) for step in chance.sample(site, min(per_site, len(site)))]
    limits = {chance.randrange(max(1, chance.choice(sizes))) for _ in range(_LIMITS * per_site)}
    return faults + [Fault(kind="file size limit", step=Step(SIZE, "", limit)) for limit in sorted(limits)]
