"""New words for a finished export: its manifest, card and Croissant metadata are rewritten, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from hfbucket.core.card.croissant import croissant_bytes
from hfbucket.core.card.words import Words, changed_words, with_words
from hfbucket.core.keys import CARD, CROISSANT, MANIFEST
from hfbucket.core.manifest.model import HistoryEntry, Manifest
from hfbucket.core.manifest.plain import is_ours
from hfbucket.core.transfer.push import Part, PushFile
from hfbucket.errors import ChangeError, ConfigError, FormatError
from hfbucket.io.atomic import TEMPORARY, replacing
from hfbucket.io.cards import has_own_templates, render_card
from hfbucket.io.clock import created
from hfbucket.io.export_files import file_url
from hfbucket.io.manifest_file import manifest_bytes, read_manifest
from hfbucket.io.patterns import matching
from hfbucket.io.store import is_local, local_path, read_bytes
from hfbucket.load.location import Location, locate
from hfbucket.stages.rounds import disk_told

__all__ = ["update_card"]


@disk_told(ChangeError)
def update_card(
    export: str | os.PathLike[str], words: Words, templates: Mapping[str, str] | None = None
) -> tuple[Manifest, tuple[str, ...]]:
    """Put words into a finished export, here or in a dataset on the Hub, and render its card anew.

    Here all files are written aside before any is replaced, the manifest last; after a kill in between, the same call
    brings them together. On the Hub they change in one commit of the main branch. What stands there already is not
    written again.

    Args:
        export: its folder, or `user/name` of a dataset on the Hub.
        templates: text by file name, in the place of the packaged ones. An empty mapping means these; without any,
            a card that was made with templates of its own is refused.

    Returns:
        The manifest as it is now, and the names of the words that changed.

    Raises:
        FormatError: there is no finished export, it is at another place, or another tool's.
        ConfigError: the words cannot stand in a card, or its own templates are not given.
        ChangeError: the disk is full, or a file cannot be read.
        PushError: the Hub does not take it, or the branch has changed in the meantime.
    """
    location = locate(export)
    here = is_local(location.url)
    if not here and location.repo_id is None:
        raise FormatError("must be on this machine or in a dataset on the Hub; copy it here first", where=location.url)
    old = read_manifest(location.url)
    if not is_ours(old):
        raise FormatError("was written by another tool; change the card with that one", where=location.url)
    new = with_words(old, words)
    changed = changed_words(old, new)
    if changed:
        entry = HistoryEntry(export_id=old.export_id or "", created=created(), what=f"words: {', '.join(changed)}")
        new = replace(new, history=(*old.history, entry))
    if templates is None and has_own_templates(_read(location.url, CARD).decode("utf-8", "replace")):
        raise ConfigError("the card was made with templates of its own; give them again with --template DIR")
    card = render_card(new, templates or {}).encode("utf-8")
    # In the order they are to be replaced in.
    files = {CROISSANT: croissant_bytes(new), CARD: card} | ({MANIFEST: manifest_bytes(new)} if changed else {})
    if here:
        _replace(Path(local_path(location.url)), files)
    else:
        _commit(location, files, f"Card: {', '.join(changed)}" if changed else "Card rendered anew")
    return new, changed


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    for left_over in (path for name in (*files, MANIFEST) for path in matching(folder, f".{name}.*{TEMPORARY}")):
        left_over.unlink(missing_ok=True)  # of a call that was killed
    with ExitStack() as stack:
        for name, data in reversed(list(files.items())):  # what is entered last is replaced first
            path = folder / name
            if not (path.is_file() and path.read_bytes() == data):
                _write_aside(stack.enter_context(replacing(path)), data)


def _commit(location: Location, files: Mapping[str, bytes], message: str) -> None:
    """Change files of a dataset on the Hub in one commit on top of the one they were read at."""
    from hfbucket.io.hub.repo import HubRepo

    repo = HubRepo(location.repo_id or "", token=None)
    folder = location.url.partition(f"@{location.commit}")[2].strip("/")
    sent = [
        PushFile(
            path=f"{folder}/{name}".lstrip("/"), size_bytes=len(data), sha256=sha256(data).hexdigest(), source=data
        )
        for name, data in files.items()
        if _read(location.url, name) != data
    ]
    if not sent:
        return

    def is_done(head: str) -> bool:
        url = location.url.replace(f"@{location.commit}", f"@{head}")
        return all(_read(url, name) == data for name, data in files.items())

    repo.commit(
        repo.upload(sent, "main", lambda more: None),
        Part(send=tuple(sent), delete=()),
        revision="main",
        parent=location.commit or "",
        message=message,
        is_done=is_done,
    )


def _read(url: str, file: str) -> bytes:
    """Return a small file of an export; nothing where there is none."""
    try:
        return read_bytes(file_url(url, file))
    except FileNotFoundError:
        return b""


def _write_aside(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # a full disk shows now, before anything is replaced
