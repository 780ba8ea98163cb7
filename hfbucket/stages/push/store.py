"""Push to a place without commits: made invisible first where shards change, then filled, card and manifest last.

While shards are on their way there is no manifest, and a card whose configs name no file, so that neither our loaders
nor the stock ones see half an export. `pushing.json` keeps what has arrived, for the push that continues.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hfbucket.core.keys import CARD, MANIFEST
from hfbucket.core.transfer.push import BATCH_BYTES, JOURNAL, Changes, PushFile, Remote, RemoteFile, order_of
from hfbucket.errors import FormatError
from hfbucket.io.hashes import sha256_of
from hfbucket.io.manifest_file import parse_manifest
from hfbucket.io.push_stores import PushStore
from hfbucket.stages.push.target import OnBytes, Published

__all__ = ["StoreTarget"]

_STEP_FILES: Final = 16
"""Files that are sent between two notes of what has arrived."""

_SHA256: Final = re.compile("[0-9a-f]{64}")

_UNDER_WAY: Final = b"""---
configs:
- config_name: all
  data_files:
  - split: train
    path: a-push-is-under-way
---
A push is under way: shards first, then the card and the manifest. Look again later.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreTarget:
    """A folder somewhere, or in a Storage Bucket."""

    store: PushStore
    private: bool | None
    on_hub: bool

    @property
    def name(self) -> str:
        """Its url."""
        return self.store.url

    def look(self) -> Remote:
        """Return what stands there, with the hashes that its manifest or an unfinished push tell."""
        exists, private = self.store.visibility()
        if not exists:
            return Remote(exists=False, private=None, files={})
        sizes = self.store.files()
        known = self._known(sizes)
        files = {path: self._remote_file(path, size, known) for path, size in sizes.items()}
        return Remote(exists=True, private=private, files=files)

    def _remote_file(self, path: str, size_bytes: int, known: Mapping[str, str]) -> RemoteFile:
        sha256 = known.get(path)
        if sha256 is None and not path.startswith(("buckets/", "samples/")):
            with self.store.open(path) as file:
                sha256 = sha256_of(file)
        return RemoteFile(path=path, size_bytes=size_bytes, sha256=sha256)

    def _known(self, sizes: Mapping[str, int]) -> dict[str, str]:
        """Return the hashes of what an earlier push has brought there completely."""
        if JOURNAL in sizes:
            with self.store.open(JOURNAL) as file:
                return _journal(file.read())
        if MANIFEST not in sizes:
            return {}
        with self.store.open(MANIFEST) as file:
            try:
                manifest = parse_manifest(file.read())
            except FormatError:  # whatever stands there is replaced
                return {}
        shards = [shard for entry in manifest.buckets.values() for shard in entry.shards]
        known = [(shard.file, shard.bytes, shard.sha256) for shard in shards]
        known += [(small.file, small.bytes, small.sha256) for small in manifest.small_files]
        return {file: sha256 for file, size_bytes, sha256 in known if sha256 and size_bytes == sizes.get(file)}

    def objection(self, card: str) -> str | None:
        """Return None: no rules hold here."""
        return None

    def way(self, found: Changes) -> str:
        """Return in words how these changes get there."""
        return "card and manifest last" if _touches_shards(found) else "file by file, the manifest last"

    def standing(self, remote: Remote) -> Published:
        """Return where the unchanged export stands."""
        return Published(url=self.store.url, loads_as=self.store.url.removeprefix("hf://"))

    def publish(self, found: Changes, remote: Remote, on_bytes: OnBytes) -> Published:
        """Send what is missing, then the card, then the manifest; after a kill, the same call continues."""
        self.store.create(private=self.private)
        words = [file for file in found.send if file.path in (CARD, MANIFEST)]
        content = [file for file in found.send if file not in words]
        if _touches_shards(found):
            words = self._hide(found, remote)
        arrived = {file.path: file.sha256 for file in found.keep if file not in words}
        if content:
            self._note(arrived)
        self.store.delete([path for path in found.delete if path != JOURNAL])
        for step in _steps(content):
            self.store.put(step)
            arrived |= {file.path: file.sha256 for file in step}
            self._note(arrived)
            on_bytes(sum(file.size_bytes for file in step))
        for file in words:
            self.store.put([file])
            on_bytes(file.size_bytes)
        self.store.delete([JOURNAL])
        return self.standing(remote)

    def _hide(self, found: Changes, remote: Remote) -> list[PushFile]:
        """Take manifest and card away; return both, to be put back at the end."""
        note = {file.path: file.sha256 for file in found.keep if file.path not in (CARD, MANIFEST)}
        self._note(note)
        self.store.delete([MANIFEST])
        self.store.put([PushFile(path=CARD, size_bytes=len(_UNDER_WAY), sha256="", source=_UNDER_WAY)])
        words = [file for file in (*found.keep, *found.send) if file.path in (CARD, MANIFEST)]
        return sorted(words, key=lambda file: order_of(file.path))

    def _note(self, arrived: Mapping[str, str]) -> None:
        data = json.dumps(arrived, indent=0, sort_keys=True).encode("utf-8")
        self.store.put([PushFile(path=JOURNAL, size_bytes=len(data), sha256="", source=data)])


def _touches_shards(found: Changes) -> bool:
    return any(path.startswith("buckets/") for path in (*(file.path for file in found.send), *found.delete))


def _steps(files: list[PushFile]) -> list[list[PushFile]]:
    """Return the files in runs, between two of which is noted what has arrived."""
    steps: list[list[PushFile]] = []
    size_bytes = 0
    for file in files:
        if not steps or len(steps[-1]) >= _STEP_FILES or size_bytes >= BATCH_BYTES:
            steps.append([])
            size_bytes = 0
        steps[-1].append(file)
        size_bytes += file.size_bytes
    return steps


def _journal(data: bytes) -> dict[str, str]:
    try:
        noted = json.loads(data)
    except ValueError:  # cut short by a kill where the store cannot replace a file at once
        return {}
    if not isinstance(noted, dict):
        return {}
    return {file: sha256 for file, sha256 in noted.items() if isinstance(sha256, str) and _SHA256.fullmatch(sha256)}
