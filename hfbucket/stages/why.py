"""Why: what became of one input of an export, or which inputs had one outcome; from ledger and sample tables."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from hfbucket.core.keys import digest_of, key_of
from hfbucket.core.manifest.model import Manifest
from hfbucket.core.outcomes import CODE, OUTCOMES
from hfbucket.errors import ConfigError, FormatError
from hfbucket.io import store
from hfbucket.io.export_files import list_files, open_file
from hfbucket.io.manifest_file import read_manifest
from hfbucket.io.table_search import read_where
from hfbucket.io.tables import parquet_of
from hfbucket.load.location import locate

__all__ = ["MEANINGS", "Answer", "LeftOut", "Placed", "left_out", "why"]

MEANINGS: Final = {
    "images_exported": "it is in the export",
    "source_errors": "its bytes could not be read from the source",
    "unsupported_format": "no installed decoder reads this format",
    "decode_errors": "it could not be decoded",
    "skipped_too_large": "it has more pixels than --max-pixels allows",
    "skipped_not_jpeg": "it is no JPEG and --not-jpeg skip was given",
    "filtered": "a filter left it out",
    "skipped_no_caption": "it has no caption; --missing-caption empty would keep it",
    "skipped_too_small": "it is smaller than every bucket, and nothing is upsampled; a lower --base may take it",
    "skipped_too_cropped": "every bucket it fits would crop away more than --max-crop",
    "duplicates_removed": "an earlier input is the same, or nearly so",
    "skipped_rare_bucket": "its bucket had fewer than --min-bucket images",
    "encode_errors": "it could not be encoded",
    "removed": "it was removed from the finished export",
}
"""What each outcome means for one image."""

_SUGGESTIONS: Final = 3
_BY_SIZE: Final = ("skipped_too_small", "skipped_too_cropped")


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """Where an exported sample stands and how its image came there; pixels and bytes."""

    bucket_id: str
    base_resolution: int
    shard: str
    #: Of the members' data in the shard.
    jpg_offset: int
    jpg_size: int
    txt_offset: int
    txt_size: int
    json_offset: int
    json_size: int
    source_w: int
    source_h: int
    resized_w: int
    resized_h: int
    crop_left: int
    crop_top: int
    #: The bucket's size.
    w: int
    h: int
    image_mode: str
    caption: str | None
    caption_variant: str | None
    #: Of the captions of a workspace: which of the manifest's caption_sources wrote it; None where that is not known.
    caption_source_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What became of one input."""

    image_id: str
    key: str
    outcome: str
    #: The decoder's words, or a size; None where the outcome says it all.
    detail: str | None
    #: Of exported images.
    placed: Placed | None = None
    #: A command that shows more: every bucket's score for the size of an image that none took.
    explain: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """Inputs of one outcome: the first of them, and how many there are."""

    reason: str
    total: int
    answers: tuple[Answer, ...]


def why(export: str | os.PathLike[str], name: str) -> tuple[Answer, ...]:
    """Return what became of an input; several answers where several inputs had this image_id.

    Args:
        export: its folder, `user/name` (or `user/name@revision`) of a dataset on the Hub, or any fsspec URL.
        name: an image_id, or the key of a sample, also with its extension.

    Raises:
        ConfigError: there is no such input; the message names some that are like it.
        FormatError: the export has neither ledger nor sample tables.
    """
    tables = _Tables(export)
    # Of what was removed the ledger has the key alone.
    answers = tables.answers("image_id", name) or tables.answers("image_id", key_of(digest_of(name)))
    key = re.fullmatch(r"([0-9a-f]{32})(\.\w+)?", name)
    if not answers and key:
        image_id = tables.id_of_key(key[1])
        answers = tables.answers("image_id", image_id) if image_id is not None else ()
    if not answers:
        raise ConfigError(f"no input has the image_id or key {name!r}. {tables.hint(name)}")
    return answers


def left_out(export: str | os.PathLike[str], reason: str, *, limit: int | None = 20) -> LeftOut:
    """Return the inputs with an outcome, in source order.

    Args:
        reason: one of `core.outcomes.OUTCOMES`.
        limit: at most so many; None for all.

    Raises:
        ConfigError: no such outcome.
        FormatError: the export has no ledger.
    """
    if reason not in CODE:
        near = difflib.get_close_matches(reason, OUTCOMES, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; one of {', '.join(OUTCOMES)}"
        raise ConfigError(f"no outcome is called {reason!r}{hint}")
    tables = _Tables(export)
    total, answers = 0, list[Answer]()
    for rows in tables.ledger("outcome", reason):
        total += rows.num_rows
        wanted = rows if limit is None else rows.slice(0, max(0, limit - len(answers)))
        answers += [tables.answer(row) for row in wanted.to_pylist()]
    return LeftOut(reason=reason, total=total, answers=tuple(answers))


def _explain(manifest: Manifest, detail: str | None) -> str | None:
    """Return the command that explains a size with the export's settings; None where the detail is no size.

    A proto table from a file has no name in the manifest: then the user has to add it.
    """
    if detail is None or not re.fullmatch(r"[1-9]\d*x[1-9]\d*", detail):
        return None
    flags = [f"--base {base}" for base in manifest.base_resolutions]
    stated = {"divisible": manifest.divisible, **manifest.bucket_rule}
    for name, default in (("divisible", 32), ("metric", "min-crop"), ("max_crop", "1")):
        if stated[name] not in (None, default):
            flags.append(f"--{name.replace('_', '-')} {stated[name]}")
    return " ".join(["hfbucket explain", detail, *flags])


class _Tables:
    """Ledger and sample tables of one export; only the rows that are asked for are read."""

    def __init__(self, export: str | os.PathLike[str]) -> None:
        self._url = store.absolute(locate(export).url)
        self._manifest: Manifest = read_manifest(self._url)
        files = list_files(self._url)
        self._samples = [table.file for table in self._manifest.samples if table.file in files]
        self._ledger = [name for name in files if name.startswith("ledger/") and name.endswith(".parquet")]
        if not self._samples and not self._ledger:
            message = "has neither ledger nor sample tables, so nothing tells about its inputs"
            raise FormatError(message, where=self._url)

    def ledger(self, column: str, value: str) -> Iterator[pa.Table]:
        """Yield the rows of each part of the ledger whose column has this value."""
        if not self._ledger:
            raise FormatError(
                "has no ledger: it is not pushed unless asked; ask where the export was built", where=self._url
            )
        for file in self._ledger:
            yield self._read(file, ["image_id", "outcome", "detail"], column, value)

    def answers(self, column: str, value: str) -> tuple[Answer, ...]:
        """Return what ledger and samples say of an image_id."""
        placed = self._placed(column, value)
        if not self._ledger:
            exported = {"image_id": value, "outcome": OUTCOMES[0], "detail": None}
            return () if placed is None else (self.answer(exported, placed),)
        rows = [row for table in self.ledger(column, value) for row in table.to_pylist()]
        return tuple(self.answer(row, placed if row["outcome"] == OUTCOMES[0] else None) for row in rows)

    def answer(self, row: dict[str, Any], placed: Placed | None = None) -> Answer:
        """Return the answer that a row of the ledger gives."""
        explain = _explain(self._manifest, row["detail"]) if row["outcome"] in _BY_SIZE else None
        removed = row["outcome"] == OUTCOMES[CODE["removed"]]
        key = row["image_id"] if removed else key_of(digest_of(row["image_id"]))
        return Answer(**row, key=key, placed=placed, explain=explain)

    def id_of_key(self, key: str) -> str | None:
        """Return the image_id that has a key: from the samples, else by hashing every id of the ledger."""
        for file in self._samples:
            found = self._read(file, ["image_id"], "key", key)
            if found.num_rows:
                return str(found.column("image_id")[0].as_py())
        return next((image_id for image_id in self._ids() if key_of(digest_of(image_id)) == key), None)

    def hint(self, name: str) -> str:
        """Return what to try instead of a name that is not there."""
        if not self._ledger:
            return "This copy has no ledger, so only exported images can be found; ask where it was built."
        last = name.rstrip("/").rpartition("/")[2]
        like: list[str] = []
        for file in self._ledger if last else ():
            ids = self._column(file)
            like += pc.unique(ids.filter(pc.match_substring(ids, last, ignore_case=True))).slice(0, 3).to_pylist()
        if not like:
            return "Ids are paths below the source as given, parts joined by '/'; a source name=PATH puts name/ before."
        return "Did you mean " + " or ".join(repr(image_id) for image_id in like[:_SUGGESTIONS]) + "?"

    def _ids(self) -> Iterator[str]:
        for file in self._ledger:
            yield from (image_id.as_py() for image_id in self._column(file))

    def _column(self, file: str) -> pa.ChunkedArray:
        with open_file(self._url, file) as opened:
            return parquet_of(opened).read(columns=["image_id"], use_threads=False).column("image_id")

    def _placed(self, column: str, value: str) -> Placed | None:
        names = list(Placed.__dataclass_fields__)
        for file in self._samples:
            found = self._read(file, names, column, value).to_pylist()
            if found:
                return Placed(**found[0])
        return None

    def _read(self, file: str, columns: list[str], column: str, value: str) -> pa.Table:
        try:
            with open_file(self._url, file) as opened:
                return read_where(opened, column, value, columns)
        except (pa.ArrowException, OSError) as error:
            raise FormatError(f"cannot be read: {error}; `hfbucket verify` tells more", where=file) from error
