"""Receipts: written whole, read back, and anything else is none."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from hfbucket.core.card.previews import Preview
from hfbucket.io.receipts import Receipt, Rejected, read_receipt, read_samples, receipt_file, write_receipt
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
    write_receipt(tmp_path, RECEIPT, SAMPLES.empty_table())
    path = receipt_file(tmp_path, SHARD)
    assert path == tmp_path / "r512_p1024x1024" / "shard-00012.parquet"
    assert read_receipt(path) == RECEIPT
    samples = read_samples(tmp_path, SHARD)
    assert samples.schema.equals(SAMPLES, check_metadata=False)
    assert samples.schema.metadata is None


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
