"""Pull: an export, or a part of it, from the Hub or any store into a folder here."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hfbucket.core.checks.manifest import check_manifest
from hfbucket.core.events import OnEvent, ignore
from hfbucket.core.keys import CARD, CROISSANT, MANIFEST
from hfbucket.core.manifest.model import Manifest, Shard
from hfbucket.core.manifest.plain import is_ours, with_listed_shards
from hfbucket.core.transfer.selection import Selection, check_names, part_of, select, table_rows
from hfbucket.errors import FormatError, PullError
from hfbucket.io.atomic import remove_temporaries, write_bytes
from hfbucket.io.export_files import ExportFile, file_url, list_files
from hfbucket.io.fetch import Wanted, is_there
from hfbucket.io.journal import refuse_unfinished
from hfbucket.io.locks import locked
from hfbucket.io.manifest_file import manifest_bytes, parse_manifest, read_manifest, read_manifest_bytes
from hfbucket.io.patterns import matching
from hfbucket.io.store import is_local, local_path
from hfbucket.io.waits import waits_told
from hfbucket.load.location import Location, locate
from hfbucket.stages.pull.files import Fetching
from hfbucket.stages.pull.part import write_part
from hfbucket.stages.rounds import disk_told
from hfbucket.stages.verify.structure import check_structure, named_files

__all__ = ["Pulled", "pull"]

ASIDE: Final = ".pull"
"""Folder in the output for what is not whole yet; while it is there, the pull has not finished."""

_COMPANION: Final = re.compile(rf"(?:assets|ledger)/[^/.][^/]*|{re.escape(CROISSANT)}")
"""What a whole copy has beside what the manifest names."""

_OURS: Final = ("buckets/*/*.tar", "samples/*.parquet", "ledger/*.parquet", "assets/*", CROISSANT)
"""What of an older copy goes away where the new one does not have it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """What stands in the folder now."""

    folder: Path
    manifest: Manifest
    #: Of the repository; None where it came from somewhere else.
    commit: str | None
    shards: int
    #: Of these, those of which nothing tells the hash, so that only their size was checked.
    unhashed_shards: int
    #: Of all files of the selection, and of those that were not here before.
    size_bytes: int
    fetched_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Remote:
    """An export somewhere else, as its manifest and one listing tell it."""

    location: Location
    data: bytes
    manifest: Manifest
    files: Mapping[str, ExportFile]
    token: str | bool | None

    def wanted(self, file: str, size_bytes: int | None = None, sha256: str | None = None) -> Wanted:
        """Return a file of it, with what the listing knows where the manifest says nothing."""
        listed = self.files[file]
        size = listed.size_bytes if size_bytes is None else size_bytes
        return Wanted(file=file, url=file_url(self.location.url, file), size_bytes=size, sha256=sha256 or listed.sha256)


@waits_told
@disk_told(PullError)
def pull(
    repo: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    configs: Sequence[str] = (),
    buckets: Sequence[str] = (),
    max_bytes: int | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    overwrite: bool = False,
    workers: int = 4,
    on_event: OnEvent = ignore,
) -> Pulled:
    """Bring an export, or a part of it, into a folder here. Killed or failed, the same call continues.

    Args:
        repo: `user/name` of a dataset on the Hub, a folder of a Storage Bucket, a local folder, or any fsspec URL.
        output: the folder; by default the repository's name, here.
        configs: loader configs such as `r512`; none is all.
        buckets: bucket ids, within the configs; none is all.
        max_bytes: of all shards together; every bucket then gives about the same share.
        revision: branch, tag or commit of a dataset repository.
        overwrite: another export in the folder may be replaced.
        workers: files that come at the same time.

    Raises:
        ConfigError: there is no such config or bucket, or nothing is left of the selection.
        FormatError: the manifest is missing, breaks the format, or is not about the files that are there.
        PullError: the folder holds something else, the disk is too small, or bytes are not what the manifest says.
    """
    selection = Selection(configs=tuple(configs), buckets=tuple(buckets), max_bytes=max_bytes)
    remote = _look(repo, revision, token)
    chosen = select(remote.manifest, selection)
    everything = {name: entry.shards for name, entry in remote.manifest.buckets.items() if entry.shards}
    part = None if chosen == everything else part_of(remote.manifest, chosen, selection)
    folder = Path(os.path.abspath(output or _name(remote.location)))
    _check_place(folder, remote, overwrite)
    with _aside(folder) as aside:
        fetching = Fetching(folder, aside, token=token, workers=workers, on_event=on_event)
        held = _whole(fetching, remote) if part is None else _part(fetching, remote, part, chosen)
    shards = [shard for of_bucket in chosen.values() for shard in of_bucket]
    return Pulled(
        folder=folder,
        manifest=held,
        commit=remote.location.commit,
        shards=len(shards),
        unhashed_shards=sum(not (shard.sha256 or remote.files[shard.file].sha256) for shard in shards),
        size_bytes=fetching.size_bytes,
        fetched_bytes=fetching.fetched_bytes,
    )


def _look(repo: str | os.PathLike[str], revision: str | None, token: str | bool | None) -> _Remote:
    """Return what is to be pulled, refused where its manifest is not about the files that are there."""
    location = locate(repo, revision, token)
    data = read_manifest_bytes(location.url, token)
    given = parse_manifest(data, where=file_url(location.url, MANIFEST))
    check_names(given)
    files = list_files(location.url, token)
    ours = is_ours(given)
    manifest = given if ours else with_listed_shards(given, files)
    check_names(manifest)
    broken = [*check_manifest(given, ours=ours), *check_structure(manifest, files, ours=ours)]
    broken = [found for found in broken if found.code not in ("stray", "card")]
    if broken:
        first = "; ".join(f"{found.file}: {found.message}" for found in broken[:3])
        more = f"; and {len(broken) - 3:,} more" if len(broken) > 3 else ""
        raise FormatError(
            f"manifest and files disagree: {first}{more}. Nothing was fetched; `hfbucket verify` lists all of it",
            where=location.url,
        )
    return _Remote(location=location, data=data, manifest=manifest, files=files, token=token)


def _name(location: Location) -> str:
    """Return what the folder of an export is called here where nobody says it."""
    last = (location.repo_id or location.url).rstrip("/").rpartition("/")[2]
    return last or "export"


def _check_place(folder: Path, remote: _Remote, overwrite: bool) -> None:
    """Refuse a folder that holds something else.

    Raises:
        PullError: says what is there.
        FormatError: a change of what is there was interrupted half-way.
    """
    refuse_unfinished(folder)
    if is_local(remote.location.url):
        source = Path(os.path.realpath(local_path(remote.location.url)))
        here = Path(os.path.realpath(folder))
        if here.is_relative_to(source) or source.is_relative_to(here):
            raise PullError(f"{folder} and what is to be pulled lie inside one another; choose another --output")
    if (folder / MANIFEST).exists():
        if not overwrite and not _is_of(folder, remote):
            raise PullError(
                f"{folder} holds another export; choose another --output, or --overwrite to replace it: shards that "
                "are equal stay"
            )
    elif folder.exists() and not (folder / ASIDE).is_dir() and (not folder.is_dir() or any(folder.iterdir())):
        raise PullError(f"{folder} exists and is no export; choose another --output, or an empty folder")


def _is_of(folder: Path, remote: _Remote) -> bool:
    """Return whether the export in a folder is the one that is pulled, or a part of it."""
    if (folder / MANIFEST).read_bytes() == remote.data:
        return True
    there = _there(folder)
    if there is None:
        return False
    wanted = remote.manifest.export_id
    return wanted is not None and wanted in (there.export_id, (there.part_of or {}).get("export_id"))


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """Give a folder for what is not whole yet, to one process at a time; it goes away when all is done."""
    aside = folder / ASIDE
    aside.mkdir(parents=True, exist_ok=True)
    with locked(aside / "lock", wait_s=2) as held:
        if not held:
            raise PullError(f"another process is pulling into {folder}; wait for it to end")
        remove_temporaries(folder, folder / "samples")  # of a pull that was killed
        yield aside
        shutil.rmtree(aside)


def _whole(fetching: Fetching, remote: _Remote) -> Manifest:
    """Bring every file of an export here; the card and the manifest come last, the latter as it is."""
    files = [remote.wanted(file, *facts) for file, facts in named_files(remote.manifest).items()]
    known = {wanted.file for wanted in files}
    beside = [file for file in remote.files if _COMPANION.fullmatch(file) and file not in known]
    files += [remote.wanted(file) for file in beside]
    card = [remote.wanted(CARD)] if CARD in remote.files else []
    manifest = fetching.folder / MANIFEST
    if not manifest.is_file() or manifest.read_bytes() != remote.data:
        _retire(fetching.folder)
    fetching.bring([*files, *card], last=CARD)
    _tidy(fetching.folder, {wanted.file for wanted in files})
    write_bytes(manifest, remote.data)
    return remote.manifest


def _part(fetching: Fetching, remote: _Remote, part: Manifest, chosen: Mapping[str, tuple[Shard, ...]]) -> Manifest:
    """Bring the shards of a part here, and sample tables, card and manifest that are cut to it."""
    folder = fetching.folder
    shards = [remote.wanted(file, *facts) for file, facts in named_files(part).items()]
    there = _there(folder)
    if (
        there is not None
        and (there.part_of, there.buckets) == (part.part_of, part.buckets)
        and _has_tables(folder, there)
    ):
        fetching.bring(shards)
        return there
    _retire(folder)
    tables = {table.file: table for table in remote.manifest.samples}
    needed = [tables[file] for file in table_rows(remote.manifest, chosen)] if is_ours(part) else []
    fetching.bring(
        [*shards, *(remote.wanted(table.file, table.bytes, table.sha256) for table in needed)],
        into={table.file: fetching.aside / table.file for table in needed},
    )
    manifest = write_part(folder, part, [fetching.aside / table.file for table in needed])
    _tidy(folder, {CROISSANT, *named_files(manifest)})
    write_bytes(folder / MANIFEST, manifest_bytes(manifest))
    return manifest


def _there(folder: Path) -> Manifest | None:
    """Return the manifest of what is in a folder, None where none can be read."""
    try:
        return read_manifest(folder)
    except FormatError:
        return None


def _has_tables(folder: Path, manifest: Manifest) -> bool:
    return all((folder / name).is_file() for name in (CARD, CROISSANT)) and all(
        is_there(folder / t.file, t.bytes, t.sha256) for t in manifest.samples
    )


def _retire(folder: Path) -> None:
    """Take away what says that the folder holds an export, before the first change; the manifest goes first."""
    for name in (MANIFEST, CARD, CROISSANT):
        (folder / name).unlink(missing_ok=True)


def _tidy(folder: Path, named: set[str]) -> None:
    """Delete what an older copy had and this one has not."""
    for path in [path for pattern in _OURS for path in matching(folder, pattern)]:
        if path.relative_to(folder).as_posix() not in named and not path.is_dir():
            path.unlink()
