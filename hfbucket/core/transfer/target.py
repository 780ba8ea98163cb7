"""What a user names as the target of a push: a dataset repository, a Storage Bucket, or a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from hfbucket.errors import ConfigError

__all__ = ["TargetName", "parse_target"]

_NAME: Final = r"[\w.-]+"
_REPO: Final = re.compile(rf"(?:hf://)?(?:datasets/)?(?P<repo>{_NAME}/{_NAME})(?:@(?P<revision>\S+))?/?")
_BUCKET: Final = re.compile(rf"(?:hf://)?buckets/(?P<bucket>{_NAME}/{_NAME})(?:/(?P<prefix>.+?))?/?")


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetName:
    """A target by kind and name."""

    kind: Literal["repository", "bucket", "folder"]
    #: `user/name`, or the url of a folder.
    name: str
    #: Folder inside a Storage Bucket, without slashes at its ends.
    prefix: str = ""
    revision: str | None = None


def parse_target(text: str) -> TargetName:
    """Return what a target's name means.

    `user/name`, `datasets/user/name` and `hf://datasets/user/name[@revision]` are a repository of the Hub,
    `hf://buckets/user/name/folder` is a Storage Bucket; a folder here starts with `/`, `.` or `~`, so that it cannot be
    taken for a repository; any other URL goes to fsspec.

    Raises:
        ConfigError: it is none of these.
    """
    if bucket := _BUCKET.fullmatch(text):
        prefix = bucket["prefix"] or ""
        if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
            raise ConfigError(f"{text}: the folder in the bucket must be a plain path, got {prefix!r}")
        return TargetName(kind="bucket", name=bucket["bucket"], prefix=prefix)
    if text.startswith(("/", ".", "~")) or ("://" in text and not text.startswith("hf://")):
        return TargetName(kind="folder", name=text)
    if repo := _REPO.fullmatch(text):
        return TargetName(kind="repository", name=repo["repo"], revision=repo["revision"])
    raise ConfigError(
        f"target must be a dataset repository (user/name), hf://buckets/user/name/folder, a folder "
        f"(./{text.strip('/')}) or a URL (s3://…), got {text!r}"
    )
