"""Where an export lies: a folder, a dataset repository or Storage Bucket of the Hub, or any fsspec URL."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import unquote

from hfbucket.core.keys import MANIFEST
from hfbucket.errors import ConfigError, FormatError, SourceError
from hfbucket.io.journal import refuse_unfinished

_HUB_DATASET = re.compile(
    r"hf://datasets/(?P<repo_id>[^/@]+/[^/@]+)(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+))?(?P<rest>/.*)?"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """The folder of an export, without a trailing slash; repository and commit where it is one of the Hub."""

    url: str
    repo_id: str | None = None
    commit: str | None = None


def locate(
    path_or_repo: str | os.PathLike[str], revision: str | None = None, token: str | bool | None = None
) -> Location:
    """Return where an export lies. A folder that exists wins over a repository of the same name, as in `datasets`.

    Args:
        path_or_repo: a folder (or its manifest.json), `user/name` (or `datasets/user/name`, as the Hub shows it) of a
            dataset on the Hub, `buckets/user/name/folder` of a Storage Bucket, or any fsspec URL
            (`hf://datasets/user/name@revision/folder`, `s3://...`).
        revision: branch, tag or commit of a dataset repository.

    Raises:
        ConfigError: `revision` is given for what has none.
        SourceError: nothing is found there.
        FormatError: a repository has no manifest, or a change of the folder was interrupted half-way.
    """
    path = os.fspath(path_or_repo).removesuffix(MANIFEST).rstrip("/") or "/"
    match = _HUB_DATASET.fullmatch(path)
    if match is None and "://" not in path:
        if os.path.isdir(path):
            return _without_revision(os.path.abspath(path), revision)
        if path.startswith("buckets/"):
            return _without_revision(f"hf://{path}", revision)
        named = path.partition("@")[0]
        name = path.removeprefix("datasets/") if named.count("/") == 2 else path
        match = _HUB_DATASET.fullmatch(f"hf://datasets/{name}") if name.partition("@")[0].count("/") == 1 else None
    if match is not None:
        pinned = _one(match["revision"] and unquote(match["revision"]), revision)
        return _repository(match["repo_id"], match["rest"] or "", pinned, token)
    if "://" in path:
        return _without_revision(path, revision)
    raise SourceError(f"{path}: no such folder, and not the name of a dataset on the Hub, which is user/name")


def _repository(repo_id: str, rest: str, revision: str | None, token: str | bool | None) -> Location:
    from hfbucket.io.hub import read as hub_read
    from hfbucket.io.hub.file import HubFile

    manifest = HubFile(repo_id=repo_id, path=f"{rest}/{MANIFEST}".lstrip("/"), revision=revision)
    try:
        commit = hub_read.commit_of(manifest, token)
    except FileNotFoundError as error:
        raise FormatError("no such file: this is no export, or not one that is whole", where=str(manifest)) from error
    return Location(url=f"hf://datasets/{repo_id}@{commit}{rest}", repo_id=repo_id, commit=commit)


def _one(in_path: str | None, given: str | None) -> str | None:
    if in_path and given and in_path != given:
        raise ConfigError(f"revision must be given once, got {in_path!r} in the path and {given!r}")
    return in_path or given


def _without_revision(url: str, revision: str | None) -> Location:
    if revision is not None:
        raise ConfigError(f"revision is for dataset repositories on the Hub, got {revision!r} for {url}")
    refuse_unfinished(url)
    return Location(url=url)
