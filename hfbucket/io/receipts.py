"""Receipts: what became of each shard, on disk, and so the truth about how far a build is.

A receipt is one Parquet file: the rows of the shard's samples, and in the footer what the shard is. Long
captions are written aside while the shard is, and it gets its name after the shard has its own: where there is a
receipt, the shard was complete.
"""

from __future__ import annotations

import errno
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from hfbucket.core.card.previews import Preview
from hfbucket.io.places import Place, in_order, made_here, scratch
from hfbucket.io.tables import GroupWriter, group_writer, read_groups
from hfbucket.schemas import SAMPLES

P = TypeVar("P", bound=Place)

_KEY: Final = b"hfbucket.receipt"
_GROUP_ROWS: Final = 1 << 20
"""Ordinary rows of a shard are one row group: heavy ones end it by their bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A planned image that could not be exported after all."""

    image_id: str
    outcome: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What a finished shard task came to."""

    task_sha256: str
    #: Below the export. A shard without samples has no file.
    file: str
    count: int
    size_bytes: int
    #: Of the whole file; empty for a shard without samples.
    sha256: str
    rejected: tuple[Rejected, ...] = ()
    #: How often a decoder did something worth counting: alpha_flattened, icc_converted, …
    notes: Mapping[str, int] = field(default_factory=dict)
    #: Some images of the bucket made small, for its contact sheet; the first shard has them.
    previews: tuple[Preview, ...] = ()


def receipt_file(folder: P, shard: str) -> P:
    """Return where the receipt of a shard, `buckets/<bucket_id>/shard-00000.tar`, lies."""
    bucket_id, name = shard.split("/")[1:]
    return cast("P", folder / bucket_id / f"{name.removesuffix('.tar')}.parquet")


class ReceiptWriter:
    """Writes a receipt: sample rows as they come, at the end what the shard is."""

    def __init__(self, writer: GroupWriter) -> None:
        self._writer = writer

    @property
    def count(self) -> int:
        """How many samples it has so far."""
        return self._writer.rows

    def add(self, samples: pa.Table) -> None:
        """Take the rows of some samples."""
        self._writer.add(samples)

    def end(self, receipt: Receipt) -> None:
        """Say what the shard is; no rows come after that."""
        values = asdict(receipt)
        for preview in values["previews"]:
            preview["jpeg"] = b64encode(preview["jpeg"]).decode("ascii")
        self._writer.end({_KEY.decode(): json.dumps(values, ensure_ascii=True, sort_keys=True)})


@contextmanager
def receipt_writer(
    folder: Place, shard: str, schema: pa.Schema = SAMPLES, *, flush: bool = True
) -> Iterator[ReceiptWriter]:
    """Yield a writer of the receipt of a shard, which appears, whole, on leaving, in the place of a former one.

    Args:
        schema: of the rows.
        flush: as in `replacing`.
    """
    with (
        made_here(receipt_file(folder, shard)) as here,
        group_writer(here, schema, _GROUP_ROWS, flush=flush, quick=True) as writer,
    ):
        yield ReceiptWriter(writer)


def read_receipt(place: Place) -> Receipt | None:
    """Return a receipt; None where there is none, or what is there is none.

    Raises:
        OSError: the disk or the store does not tell.
    """
    try:
        with place.open("rb") if isinstance(place, Path) else place.open() as file:
            values = json.loads((pq.read_metadata(file).metadata or {})[_KEY])
        rejected = tuple(Rejected(**entry) for entry in values.pop("rejected"))
        previews = tuple(
            Preview(jpeg=b64decode(entry["jpeg"]), box=tuple(entry["box"])) for entry in values.pop("previews")
        )
        return Receipt(**values, rejected=rejected, previews=previews)
    except (pa.ArrowException, KeyError, TypeError, ValueError):
        return None
    except OSError as error:  # pyarrow says by one without a number that a file is none of its own
        if error.errno not in (None, errno.ENOENT):
            raise
        return None


def samples_of(folder: Place, shards: Sequence[str], schema: pa.Schema = SAMPLES) -> Iterator[Iterator[pa.Table]]:
    """Yield for each shard the sample rows of its receipt, some at a time; those elsewhere are brought here ahead."""
    with nullcontext(Path()) if isinstance(folder, Path) else scratch() as aside:
        numbered = in_order(lambda entry: _here(folder, entry[1], aside / f"{entry[0]}"), enumerate(shards), at=folder)
        for path in numbered:
            yield (rows.replace_schema_metadata(None) for rows in read_groups(path, schema.names))
            if not isinstance(folder, Path):
                path.unlink()


def _here(folder: Place, shard: str, path: Path) -> Path:
    place = receipt_file(folder, shard)
    if isinstance(place, Path):
        return place
    place.get(path)
    return path


def read_samples(folder: Place, shard: str, schema: pa.Schema = SAMPLES) -> Iterator[pa.Table]:
    """Yield the sample rows of a shard's receipt, some at a time."""
    for tables in samples_of(folder, [shard], schema):
        yield from tables
