"""What a push is about to do, and all that must be right before a byte leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hfbucket.core.checks.problems import Problem, problem
from hfbucket.core.events import OnEvent
from hfbucket.core.keys import CARD
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.transfer.push import (
    Changes,
    PushFile,
    Remote,
    changes,
    check_companion,
    check_limits,
    check_place,
    summary_of,
)
from hfbucket.io.hub.git_hash import git_oid
from hfbucket.stages.push.checks import card_findings, personal_rows, shard_findings, small_findings
from hfbucket.stages.push.target import Target
from hfbucket.stages.verify.run import verify

__all__ = ["PushOptions", "PushPlan", "listed", "make_plan"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PushOptions:
    """How to push, as the caller asked."""

    private: bool | None
    create_pr: bool
    token: str | bool | None
    allow_location: bool
    workers: int | None
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Companion:
    """The repository of the sample tables, and what is to be done there."""

    place: Target
    remote: Remote
    changes: Changes


@dataclass(frozen=True, kw_only=True, slots=True)
class PushPlan:
    """What a push is about to do, before anything is sent."""

    export_id: str
    target: str
    #: `public`, `private`, or None where there is no such notion.
    visibility: str | None
    is_new: bool
    changes: Changes
    #: In words: one commit, or parts.
    way: str
    problems: tuple[Problem, ...]
    #: Repository of the sample tables, and what changes there.
    samples_repo: str | None = None
    samples_changes: Changes | None = None

    @property
    def files(self) -> int:
        """How many files change, here and in the repository of the sample tables."""
        return self.changes.files + (self.samples_changes.files if self.samples_changes else 0)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON data."""
        names = ("export_id", "target", "visibility", "is_new", "way", "samples_repo")
        plain = {name: getattr(self, name) for name in names}
        problems = [asdict(found) for found in self.problems]
        return {**plain, **self.changes.to_dict(), "kinds": summary_of(self.changes), "problems": problems}


def make_plan(
    folder: Path,
    manifest: Manifest,
    wanted: tuple[PushFile, ...],
    place: Target,
    remote: Remote,
    companion: Companion | None,
    options: PushOptions,
    on_event: OnEvent,
) -> PushPlan:
    """Return what is to be done, with all that falls short."""
    found = changes(wanted, remote.files, git_oid)
    private = options.private if remote.private is None else remote.private
    visibility = ("private" if private else "public") if place.on_hub else None
    problems = [
        *verify(folder, depth="structure", on_event=on_event).problems,
        *check_place(found, remote.files, is_part=manifest.part_of is not None),
        *_place_findings(place, remote, wanted, options),
    ]
    if companion is not None:
        problems += _companion_findings(companion, place, private)
    if found.files:
        public = visibility == "public" and not options.allow_location
        broken = {one.file for one in problems}  # nothing more to say about files that are not there
        readable = replace(found, send=tuple(file for file in found.send if file.path not in broken))
        problems += _content_findings(folder, manifest, readable, place, public, options, on_event)
    return PushPlan(
        export_id=manifest.export_id or "",
        target=place.name,
        visibility=visibility,
        is_new=not remote.exists,
        changes=found,
        way=place.way(found) if found.files else "nothing to do",
        problems=tuple(problems),
        samples_repo=companion.place.name if companion else None,
        samples_changes=companion.changes if companion else None,
    )


def _place_findings(
    place: Target, remote: Remote, wanted: tuple[PushFile, ...], options: PushOptions
) -> Iterator[Problem]:
    if options.private is not None and remote.private not in (None, options.private):
        now, asked = ("private", "public") if remote.private else ("public", "private")
        yield problem("visibility", f"{place.name} exists and is {now}, asked for is {asked}", file=place.name)
    if place.on_hub:
        yield from check_limits(wanted, remote.files)


def _companion_findings(companion: Companion, place: Target, private: bool | None) -> Iterator[Problem]:
    name = companion.place.name
    yield from check_companion(companion.remote.files, name)
    if private and companion.remote.private is False:
        message = f"{name} is public, but {place.name} is private: its captions would be seen"
        yield problem("visibility", message, file=name)


def _content_findings(
    folder: Path,
    manifest: Manifest,
    found: Changes,
    place: Target,
    public: bool,
    options: PushOptions,
    on_event: OnEvent,
) -> Iterator[Problem]:
    """Yield what is wrong with the bytes that travel, and with the card."""
    if any(file.path == CARD for file in (*found.send, *found.keep)):
        yield from card_findings(folder, manifest, place, travels=any(file.path == CARD for file in found.send))
    broken = list(small_findings(folder, manifest, found))
    yield from broken
    yield from shard_findings(folder, manifest, found, public=public, workers=options.workers, on_event=on_event)
    if public and not broken:
        yield from personal_rows(folder, [file.path for file in found.send if file.path.startswith("samples/")])


def listed(plan: PushPlan) -> str:
    """Return in words all that falls short."""
    lines = [f"{one.file}: {one.message}\n    {one.remedy}" for one in plan.problems]
    return "\n".join([f"nothing was sent to {plan.target}; first put right:", *lines])
