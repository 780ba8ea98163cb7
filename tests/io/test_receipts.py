"""Receipts: written whole, read back, and anything else is none."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket.core.card.previews import Preview
from hfbucket.io.places import Remote
from hfbucket.io.receipts import (
    Receipt,
    ReceiptWriter,
    Rejected,
    read_receipt,
    read_samples,
    receipt_file,
    receipt_writer,
)
from hfbucket.io.tables import write_table
from hfbucket.schemas import SAMPLES

SHARD = "buckets/r512_p1024x1024/shard-00012.tar"

RECEIPT = Receipt(
    task_sha256="ab",
    file=SHARD,
    count=0,
    size_bytes=0,
    sha256="",
    rejected=(Rejected(image_id="a/ü 猫.jpg", outcome="decode_errors", detail="broken"),),
    notes={"multi_frame": 2},
    previews=(Preview(jpeg=b"\xff\xd8\0", box=(0, 1, 2, 3)),),
)


def test_round_trip(tmp_path: Path) -> None:
    with receipt_writer(tmp_path, SHARD) as writer:
        writer.end(RECEIPT)
    path = receipt_file(tmp_path, SHARD)
    assert path == tmp_path / "r512_p1024x1024" / "shard-00012.parquet"
    assert read_receipt(path) == RECEIPT
    assert list(read_samples(tmp_path, SHARD)) == []


@pytest.mark.parametrize("content", [None, b"", b"no parquet", b"PAR1"])
def test_what_is_no_receipt(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "r.parquet"
    if content is not None:
        path.write_bytes(content)
    assert read_receipt(path) is None


def test_a_receipt_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_receipt(tmp_path)


def test_a_table_without_a_receipt(tmp_path: Path) -> None:
    write_table(tmp_path / "r.parquet", pa.table({"a": [1]}))
    assert read_receipt(tmp_path / "r.parquet") is None
    write_table(tmp_path / "r.parquet", pa.table({"a": [1]}), metadata={"hfbucket.receipt": '{"rejected": []}'})
    assert read_receipt(tmp_path / "r.parquet") is None


SCHEMA = pa.schema([SAMPLES.field("key"), SAMPLES.field("caption")])
ROWS = pa.table([[f"{n}" for n in range(7)], ["x" * 100] * 7], schema=SCHEMA)


@pytest.mark.parametrize(("heavy", "groups"), [(1 << 24, [7]), (250, [3, 3, 1])])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_long_captions_end_row_groups(
    heavy: int, groups: list[int], elsewhere: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hfbucket.io.tables.GROUP_BYTES", heavy)
    folder = Remote(f"memory://{tmp_path}") if elsewhere else tmp_path
    place = receipt_file(folder, SHARD)
    with receipt_writer(folder, SHARD, SCHEMA) as writer:
        writer.add(ROWS.slice(0, 1))
        writer.add(ROWS.slice(1))
        assert not place.exists()
        writer.end(replace(RECEIPT, count=writer.count))
        assert not place.exists()
    assert read_receipt(place) == replace(RECEIPT, count=7)
    metadata = pq.read_metadata(io.BytesIO(place.read_bytes()))
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == groups
    assert pa.concat_tables(read_samples(folder, SHARD, SCHEMA)).equals(ROWS)


def break_off(writer: ReceiptWriter) -> None:
    writer.add(ROWS)
    raise InterruptedError


@pytest.mark.parametrize("heavy", [1 << 24, 250])
def test_what_ends_with_an_error_leaves_the_former_receipt(
    heavy: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hfbucket.io.tables.GROUP_BYTES", heavy)
    with receipt_writer(tmp_path, SHARD) as writer:
        writer.end(RECEIPT)
    with pytest.raises(InterruptedError), receipt_writer(tmp_path, SHARD, SCHEMA) as writer:
        break_off(writer)
    place = receipt_file(tmp_path, SHARD)
    assert [*place.parent.iterdir()] == [place]
    assert read_receipt(place) == RECEIPT
