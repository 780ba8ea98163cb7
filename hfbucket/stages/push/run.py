"""Push: an export to the Hub, a Storage Bucket or a folder; checked first, complete or invisible, opened after."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hfbucket.core.events import OnEvent, Progress, ignore
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.transfer.push import Changes, Remote, changes
from hfbucket.core.transfer.target import TargetName, parse_target
from hfbucket.errors import ConfigError, PushError
from hfbucket.io.hub.git_hash import git_oid
from hfbucket.io.hub.repo import HubRepo
from hfbucket.io.push_stores import BucketStore, FolderStore
from hfbucket.stages.push.after import check_after
from hfbucket.stages.push.files import check_folder, files_of, local_export, samples_files
from hfbucket.stages.push.plan import Companion, PushOptions, PushPlan, listed, make_plan
from hfbucket.stages.push.repo import RepoTarget
from hfbucket.stages.push.store import StoreTarget
from hfbucket.stages.push.target import OnBytes, Published, Target
from hfbucket.stages.rounds import disk_told

__all__ = ["PushPlan", "PushReport", "push"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PushReport:
    """What a push has done; `published` is None after a dry run."""

    plan: PushPlan
    published: Published | None = None
    #: Configs that stock `datasets` has opened and whose first samples are those here.
    checked: tuple[str, ...] = ()
    #: Where the sample tables went.
    samples: Published | None = None

    @property
    def snippet(self) -> str | None:
        """Python that loads what was published, at the commit it has now."""
        if self.published is None or not self.checked:
            return None
        at = f', revision="{self.published.commit}"' if self.published.commit else ""
        name = self.checked[-1]
        return f'load_dataset("{self.published.loads_as}", "{name}", split="train", streaming=True{at})'

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON data."""
        places = {"published": self.published, "samples": self.samples}
        told = {name: None if place is None else asdict(place) for name, place in places.items()}
        return {**self.plan.to_dict(), **told, "checked": list(self.checked), "snippet": self.snippet}


@disk_told(PushError)
def push(
    export: str | os.PathLike[str],
    target: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    token: str | bool | None = None,
    publish_ledger: bool = False,
    samples_repo: str | None = None,
    allow_location: bool = False,
    dry_run: bool = False,
    workers: int | None = None,
    confirm: Callable[[PushPlan], bool] = lambda plan: True,
    on_event: OnEvent = ignore,
) -> PushReport:
    """Push an export and return what was done. Killed at any point, the same call continues.

    Args:
        export: its folder on this machine.
        target: `user/name` on the Hub, `hf://buckets/user/name/folder`, a folder (`./name`) or any fsspec URL.
        private: visibility of a repository that is made; None leaves it to the Hub, which makes it public.
        revision: branch of the repository; `main` without it.
        create_pr: leave the changes in a pull request.
        commit_message: first line of the commit.
        token: access token of the Hub; without it the one you logged in with.
        publish_ledger: also send the ledger: the name of every input and what became of it.
        samples_repo: `user/name` of a companion repository for the sample tables, where the Hub's viewer shows them.
        allow_location: publish images or metadata that say where or with whose camera they were taken.
        dry_run: check and compare only.
        workers: processes that check shards; None for one per core.
        confirm: asked before anything is sent; False ends the push.

    Raises:
        PushError: something must be right first (all of it is listed), the push was declined, or the target failed.
        FormatError: there is no finished export.
        ConfigError: the target or an option makes no sense.
    """
    folder, manifest = local_export(export)
    name = _checked_name(parse_target(target), private, revision, create_pr, samples_repo)
    options = PushOptions(
        private=private, create_pr=create_pr, token=token, allow_location=allow_location, workers=workers,
        message=commit_message or f"Push export {manifest.export_id} with hfbucket",
    )  # fmt: skip
    place = _target(name, options, manifest, on_event)
    check_folder(folder, name)
    wanted = files_of(folder, manifest, ledger=publish_ledger)
    remote = place.look()
    companion = None if samples_repo is None else _companion(samples_repo, folder, manifest, place, remote, options)
    plan = make_plan(folder, manifest, wanted, place, remote, companion, options, on_event)
    if dry_run:
        return PushReport(plan=plan)
    if plan.problems or not confirm(plan):
        raise PushError(listed(plan) if plan.problems else "nothing was sent")
    published = _publish(place, plan.changes, remote, on_event)
    checked = check_after(folder, manifest, published, token=token, sent=plan.changes.files > 0, on_event=on_event)
    samples = None if companion is None else _publish(companion.place, companion.changes, companion.remote, on_event)
    return PushReport(plan=plan, published=published, checked=checked, samples=samples)


def _checked_name(
    name: TargetName, private: bool | None, revision: str | None, create_pr: bool, samples_repo: str | None
) -> TargetName:
    """Return the target with its revision.

    Raises:
        ConfigError: options that this kind of target does not have, or that exclude each other.
    """
    if name.kind == "folder" and private is not None:
        raise ConfigError(f"--private is for places of the Hub, got the target {name.name}")
    if name.kind != "repository":
        given = {"--revision": revision, "--create-pr": create_pr or None, "--samples-repo": samples_repo}
        for flag, value in given.items():
            if value is not None:
                raise ConfigError(f"{flag} is for dataset repositories of the Hub, got the target {name.name}")
    if samples_repo is not None and parse_target(samples_repo).name == name.name:
        raise ConfigError(f"--samples-repo must be another repository than {name.name}")
    if samples_repo is not None and parse_target(samples_repo).kind != "repository":
        raise ConfigError(f"--samples-repo must be a dataset repository (user/name), got {samples_repo!r}")
    if name.revision and revision and name.revision != revision:
        raise ConfigError(f"revision must be given once, got {name.revision!r} in the target and {revision!r}")
    chosen = revision or name.revision
    if create_pr and chosen not in (None, "main"):
        raise ConfigError(f"--create-pr is always against main, got --revision {chosen}")
    return TargetName(kind=name.kind, name=name.name, prefix=name.prefix, revision=chosen)


def _target(name: TargetName, options: PushOptions, manifest: Manifest, on_event: OnEvent) -> Target:
    if name.kind == "repository":
        return RepoTarget(
            repo=HubRepo(name.name, token=options.token, on_event=on_event),
            revision=name.revision or "main",
            create_pr=options.create_pr,
            private=options.private,
            message=options.message,
            export_id=manifest.export_id or "",
        )
    if name.kind == "bucket":
        bucket = BucketStore(name.name, name.prefix, token=options.token, on_event=on_event)
        return StoreTarget(store=bucket, private=options.private, on_hub=True)
    return StoreTarget(store=FolderStore(name.name), private=None, on_hub=False)


def _publish(place: Target, found: Changes, remote: Remote, on_event: OnEvent) -> Published:
    if not found.files:
        return place.standing(remote)
    return place.publish(found, remote, _told_bytes(found.send_bytes, on_event))


def _told_bytes(total: int, on_event: OnEvent) -> OnBytes:
    sent = 0

    def on_bytes(more: int) -> None:
        nonlocal sent
        sent += more
        on_event(Progress(stage="push", done=min(sent, total), total=total, unit="B"))

    on_bytes(0)
    return on_bytes


def _companion(
    samples_repo: str, folder: Path, manifest: Manifest, place: Target, remote: Remote, options: PushOptions
) -> Companion:
    """Return what is to be done in the repository of the sample tables; it is made as private as the export's."""
    own = options if remote.private is None else replace(options, private=remote.private)
    companion = _target(parse_target(samples_repo), own, manifest, ignore)
    there = companion.look()
    wanted = samples_files(folder, manifest, place.name.partition("@")[0])
    return Companion(place=companion, remote=there, changes=changes(wanted, there.files, git_oid))
