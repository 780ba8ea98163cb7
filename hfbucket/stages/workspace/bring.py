"""Import captions from a file into a caption workspace."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from hfbucket.core.events import OnEvent, Progress, ignore
from hfbucket.core.hashing import canonical_json, sha256_of
from hfbucket.core.workspace.brought import Counts, prepared
from hfbucket.errors import ConfigError, WorkspaceError
from hfbucket.io import store
from hfbucket.io.workspace.bring import Bringing, first_image, put_source, refuse_own
from hfbucket.io.workspace.caption_files import read_captions
from hfbucket.io.workspace.database import writing
from hfbucket.stages.rounds import disk_told

Match = Literal["image_id", "key", "source_sha256"]

_SAME: Final = ("status", "source_id", "created", "score", "language")
_TEXTS: Final = ("text", "caption")
_NAMES: Final = ("image_id", "key", "source_sha256")
_EXAMPLES: Final = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """How captions were made; a row of `caption_sources`. With nothing given there is none."""

    source_id: str | None = None
    model: str | None = None
    prompt: str | None = None
    #: JSON.
    parameters: str | None = None

    def row(self, variant: str) -> dict[str, Any] | None:
        """Return the row; without an id of its own it is called by the first 16 digits of its hash.

        Raises:
            ConfigError: the parameters are no JSON object.
        """
        if (self.source_id, self.model, self.prompt, self.parameters) == (None, None, None, None):
            return None
        prompt_sha256 = None if self.prompt is None else hashlib.sha256(self.prompt.encode("utf-8")).hexdigest()
        facts = {
            "variant": variant,
            "model": self.model,
            "prompt": self.prompt,
            "prompt_sha256": prompt_sha256,
            "parameters": None if self.parameters is None else canonical_json(_object(self.parameters)),
        }
        return {"id": self.source_id or sha256_of(facts)[:16], **facts}


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConfigError(f"parameters must be a JSON object, got {text!r}")
    return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What became of the rows of a file."""

    workspace: str
    variant: str
    source_id: str | None
    counts: Counts
    #: Some names that no image has, and the beginnings of some rows that could not be read.
    unmatched: tuple[str, ...]
    unreadable: tuple[str, ...]


@disk_told(WorkspaceError)
def bring(
    workspace: str | os.PathLike[str],
    variant: str,
    file: str,
    *,
    match: Match | None = None,
    id_column: str | None = None,
    text_column: str | None = None,
    made: Made | None = None,
    keep: bool = False,
    on_event: OnEvent = ignore,
) -> Imported:
    """Write the captions of a file into a workspace as one variant; return what became of its rows.

    A row names its image by `image_id`, `key` or `source_sha256` (then all images with these bytes get it) and has a
    `text` or `caption`; it may have `status`, `source_id`, `created`, `score` and `language`. Each is brought once: the
    first row of an image counts. After a kill, do the same again: what is there is left as it is.

    Args:
        file: JSON lines, CSV, TSV or Parquet, a folder of `.txt` files named after image_ids without extension or
            after keys, or `-` for JSON lines on stdin.
        match: what `id_column` is; without it the columns' names tell.
        id_column: the column that names the image.
        text_column: the column with the caption.
        made: how the captions were made, for rows that name no source themselves.
        keep: captions that are there stay; otherwise other ones take their place.

    Raises:
        WorkspaceError: the workspace or the file cannot be used, the variant is the source's own, or no row matches.
    """
    if not variant or variant != variant.strip():
        raise ConfigError(f"variant must be a name without spaces around it, got {variant!r}")
    columns = _columns(match, id_column, text_column)
    with writing(workspace) as connection:
        refuse_own(connection, workspace, variant)
        source = (made or Made()).row(variant)
        if source is not None:
            put_source(connection, workspace, source)
        source_id = None if source is None else source["id"]
        folder = file != "-" and store.kind_of(file) == "folder"
        bringing = Bringing(connection, variant, source_id=source_id, keep=keep, stems=folder)
        counts, unreadable = _bring_all(bringing, file, columns, on_event)
        if counts.rows and counts.unreadable == counts.rows:
            _refuse_unreadable(file, counts, unreadable, columns)
        if counts.rows and counts.unmatched + counts.unreadable == counts.rows:
            _refuse_unmatched(file, counts, bringing.unmatched, first_image(connection), columns)
    return Imported(
        workspace=os.fspath(workspace),
        variant=variant,
        source_id=source_id,
        counts=counts,
        unmatched=tuple(bringing.unmatched),
        unreadable=tuple(unreadable),
    )


def _bring_all(bringing: Bringing, file: str, columns: dict[str, str], on_event: OnEvent) -> tuple[Counts, list[str]]:
    """Return what became of the rows of a file, and the beginnings of some that cannot be read."""
    counts = Counts()
    unreadable: list[str] = []
    for rows in read_captions(file, columns):
        good, counted = prepared(rows.table)
        odd = len(rows.unreadable)
        counts += replace(counted, rows=counted.rows + odd, unreadable=counted.unreadable + odd)
        counts += bringing.put(good)
        unreadable += rows.unreadable[: _EXAMPLES - len(unreadable)]
        on_event(Progress(stage="import", done=counts.rows, total=None, unit="rows"))
    for part in bringing.finish():
        counts += part
        written = counts.written + counts.replaced + counts.unchanged + counts.kept
        on_event(Progress(stage="write", done=written, total=counts.rows, unit="captions"))
    return counts, unreadable


def _columns(match: Match | None, id_column: str | None, text_column: str | None) -> dict[str, str]:
    """Return the columns of a file to what they are."""
    if match is not None:
        names = {id_column or match: str(match)}
    elif id_column is not None:
        names = {id_column: "image_id"}
    else:
        names = {name: name for name in _NAMES}
    texts = [text_column] if text_column is not None else [name for name in _TEXTS if name not in names]
    found = {**names, **{name: "text" for name in texts}}
    return {**found, **{name: name for name in _SAME if name not in found}}


def _refuse_unreadable(file: str, counts: Counts, examples: list[str], columns: dict[str, str]) -> None:
    example = f", such as {examples[0]!r}" if examples else ""
    raise WorkspaceError(
        f"{file}: none of its {counts.rows} rows can be used{example}: each needs {_either(columns, _NAMES)}, and "
        f"{_either(columns, ('text',))} or a status; see --id-column and --text-column"
    )


def _refuse_unmatched(
    file: str, counts: Counts, examples: list[str], image_id: str | None, columns: dict[str, str]
) -> None:
    raise WorkspaceError(
        f"{file}: none of its {counts.rows} rows names an image of the workspace by {_either(columns, _NAMES)}, they "
        f"name {', '.join(map(repr, examples))}; the first image is {image_id!r}: see --match and --id-column"
    )


def _either(columns: dict[str, str], meanings: tuple[str, ...]) -> str:
    return " or ".join(name for name, meaning in columns.items() if meaning in meanings)


__all__ = ["Imported", "Made", "Match", "bring"]
