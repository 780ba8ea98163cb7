"""Receipts: what became of each shard, on disk, and so the truth about how far a build is.

A receipt is one Parquet file: the rows of the shard's samples, and beside the schema what the shard is. It is written
after the shard has its name, so where there is a receipt, the shard was complete.
"""

from __future__ import annotations

import errno
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from hfbucket.core.card.previews import Preview
from hfbucket.io.places import Place
from hfbucket.io.tables import read_table, write_table

P = TypeVar("P", bound=Place)

_KEY: Final = b"hfbucket.receipt"


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


def write_receipt(folder: Place, receipt: Receipt, samples: pa.Table, *, flush: bool = True) -> None:
    """Write a receipt with its sample rows, atomically; replaces the shard's former one; `flush` as in `replacing`."""
    values = asdict(receipt)
    for preview in values["previews"]:
        preview["jpeg"] = b64encode(preview["jpeg"]).decode("ascii")
    words = json.dumps(values, ensure_ascii=True, sort_keys=True)
    write_table(receipt_file(folder, receipt.file), samples, metadata={_KEY.decode(): words}, flush=flush, quick=True)


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


def read_samples(folder: Place, shard: str) -> pa.Table:
    """Return the sample rows of a shard's receipt, schema SAMPLES without the receipt's own words."""
    return read_table(receipt_file(folder, shard)).replace_schema_metadata(None)
