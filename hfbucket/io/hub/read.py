"""Files of the Hub as loading reads them: shards once and forward, or at any place; through the client's cache what is
small and needed again, such as the manifest.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import BinaryIO, Final, cast

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
)

from hfbucket import __version__
from hfbucket.errors import SourceError
from hfbucket.io import waits
from hfbucket.io.hub.file import LOST, TRYING, HubFile, Token, hub_file, hub_host, not_here, refused, wait_longer
from hfbucket.io.hub.ranges import Answer, HubRanges
from hfbucket.io.seekable import Seekable

__all__ = ["HubFile", "cached", "commit_of", "download", "hub_file", "open_hub_file"]

_COMMIT: Final = re.compile("[0-9a-f]{40}")
_HASH: Final = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_BUFFER_BYTES: Final = 256 << 10


def download(file: HubFile, token: Token = None) -> Path:
    """Return a file of a dataset repository on this machine: the client's cache has it, or gets it.

    Raises:
        FileNotFoundError: the repository has no such file.
        SourceError: there is no such repository or revision, or the Hub cannot be reached and the cache has no copy.
    """
    api = HfApi(library_name="hfbucket", library_version=__version__, token=token)
    at = f"{file.repo_id}@{file.revision}" if file.revision else file.repo_id
    try:
        return _downloaded(api, file)
    except HFValidationError as error:
        raise SourceError(f"{at}: neither a folder here nor the name of a dataset on the Hub ({error})") from error
    except RemoteEntryNotFoundError as error:
        raise FileNotFoundError(f"{at} has no {file.path}") from error
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        answer = error if isinstance(error, HfHubHTTPError) else error.__cause__
        if not isinstance(answer, HfHubHTTPError):  # switched off, or out of reach
            raise SourceError(f"{at}: {not_here(file)}") from error
        raise SourceError(f"{at}: {refused(answer, token)}") from None


def _downloaded(api: HfApi, file: HubFile) -> Path:
    tries, is_damaged = 0, False
    while True:
        try:
            with waits.watched(hub_host, TRYING, after_s=waits.LISTED_AFTER_S):
                found = api.hf_hub_download(
                    file.repo_id, file.path, repo_type="dataset", revision=file.revision, force_download=is_damaged
                )
        except LOST as error:
            if isinstance(error, HfHubHTTPError):  # an answer; the client has waited where that helps
                raise
            tries += 1
            wait_longer(tries, file, error, api.token, hub_host())
            continue
        if _is_whole(Path(found)):
            return Path(found)
        if is_damaged:
            raise SourceError(f"{file}: arrived twice with other bytes than the Hub's hash of it says; try again later")
        is_damaged = True


def _is_whole(place: Path) -> bool:
    """Return whether a file of the client's cache is what its name there says; the client looks at its size alone.

    The name is its hash: sha256 of what lies in large file storage, git's of all else. Where a system has no links the
    file stands there under its own name, and nothing can be said against it.
    """
    name = place.resolve().name
    if not _HASH.fullmatch(name):
        return True
    data = place.read_bytes()
    if len(name) == 64:
        return hashlib.sha256(data).hexdigest() == name
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() == name


def commit_of(file: HubFile, token: Token = None) -> str:
    """Return the commit that a file's revision (default: the main branch) stands for; brings the file into the cache.

    Raises:
        FileNotFoundError, SourceError: as `download`.
    """
    place = download(file, token)
    return place.parents[file.path.count("/")].name


def open_hub_file(
    file: HubFile, token: Token = None, *, start: int = 0, size_bytes: int | None = None, use_cache: bool = True
) -> BinaryIO:
    """Return a file opened for reading: from the client's cache if it is there, else from the Hub.

    Args:
        use_cache: without it what counts is what the Hub has; nobody looked at hashes when the cache was filled.
        start: read forward from this byte, in one response.
        size_bytes: of the file. If given, it is read at any place instead, with a request for each read.
    """
    place = cached(file) if use_cache else None
    if place is not None:
        local = open(place, "rb")  # noqa: SIM115 (the caller closes it)
        local.seek(start)
        return local
    if size_bytes is not None:
        return cast("BinaryIO", _AtAnyPlace(HubRanges(file, token), size_bytes))
    return io.BufferedReader(Answer(HubRanges(file, token), start), _BUFFER_BYTES)


def cached(file: HubFile) -> str | None:
    """Return where the client's cache has a file; only a commit says for good what is in it."""
    if file.is_bucket or not _COMMIT.fullmatch(file.revision or ""):
        return None
    found = try_to_load_from_cache(file.repo_id, file.path, revision=file.revision, repo_type="dataset")
    return found if isinstance(found, str) else None


class _AtAnyPlace(Seekable):
    """A file of known size read at any place, with a request for each read."""

    def __init__(self, file: HubRanges, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._file = file

    def pread(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on."""
        return self._file.read(offset, offset + size)
