"""New words for a finished export: its manifest, card and Croissant metadata are rewritten, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from hfbucket.core.card_words import Words, changed_words, with_words
from hfbucket.core.croissant import croissant_bytes
from hfbucket.core.keys import CARD, CROISSANT, MANIFEST
from hfbucket.core.manifest import HistoryEntry, Manifest
from hfbucket.core.manifest_json import is_ours
from hfbucket.errors import ConfigError, FormatError
from hfbucket.io.atomic import TEMPORARY, replacing
from hfbucket.io.cards import has_own_templates, render_card
from hfbucket.io.clock import created
from hfbucket.io.manifest_file import manifest_bytes, read_manifest
from hfbucket.io.store import is_local, local_path

__all__ = ["update_card"]


def update_card(
    export: str | os.PathLike[str], words: Words, templates: Mapping[str, str] | None = None
) -> tuple[Manifest, tuple[str, ...]]:
    """Put words into a finished export on this machine and render its card anew.

    All files are written aside before any is replaced, the manifest last. What stands there already is not written
    again; after a kill in between, the same call brings them together.

    Args:
        templates: text by file name, in the place of the packaged ones. An empty mapping means these; without any,
            a card that was made with templates of its own is refused.

    Returns:
        The manifest as it is now, and the names of the words that changed.

    Raises:
        FormatError: there is no finished export, it is not on this machine, or another tool's.
        ConfigError: the words cannot stand in a card, or its own templates are not given.
    """
    if not is_local(os.fspath(export)):
        raise FormatError(
            "must be on this machine; copy it here, change the card, and push it", where=os.fspath(export)
        )
    folder = Path(local_path(os.fspath(export)))
    old = read_manifest(folder)
    if not is_ours(old):
        raise FormatError("was written by another tool; change the card with that one", where=str(folder / MANIFEST))
    new = with_words(old, words)
    changed = changed_words(old, new)
    if changed:
        entry = HistoryEntry(export_id=old.export_id or "", created=created(), what=f"words: {', '.join(changed)}")
        new = replace(new, history=(*old.history, entry))
    if templates is None and has_own_templates(_text(folder / CARD)):
        raise ConfigError("the card was made with templates of its own; give them again with --template DIR")
    card = render_card(new, templates or {}).encode("utf-8")
    # In the order they are to be replaced in.
    files = {CROISSANT: croissant_bytes(new), CARD: card, MANIFEST: manifest_bytes(new) if changed else None}
    for left_over in (path for name in files for path in folder.glob(f".{name}.*{TEMPORARY}")):
        left_over.unlink(missing_ok=True)  # of a call that was killed
    with ExitStack() as stack:
        for name, data in reversed(files.items()):  # what is entered last is replaced first
            path = folder / name
            if data is not None and not (path.is_file() and path.read_bytes() == data):
                _write_aside(stack.enter_context(replacing(path)), data)
    return new, changed


def _write_aside(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())  # a full disk shows now, before anything is replaced


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
