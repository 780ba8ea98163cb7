"""Shards written anew are those that would have been written at once."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket.core.events import Event, Progress, ignore
from hfbucket.errors import BuildError
from hfbucket.io.receipts import read_samples
from hfbucket.io.tables import table_writer
from hfbucket.stages.change.apply import open_export_for_change
from hfbucket.stages.change.shards import PLACED, REWRITTEN, ShardChange, moved, rewrite_shards
from tests.factories import Sample, make_export, sample_row, write_shard

FILE = "buckets/p1024x1024/shard-00000.tar"


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """The samples of the first shard of an export beside it."""
    drawn: list[Sample] = []

    def take(sample: Sample) -> Sample:
        drawn.append(sample)
        return sample

    make_export(tmp_path / "export", bases=(64,), divisible=8, per_shard=4, shards_per_bucket=1, change=take)
    return [sample for sample in drawn if sample.metadata["bucket_id"] == "p1024x1024"]


def rows(export: Path) -> list[dict[str, Any]]:
    table = pq.read_table(export / "samples/part-00000.parquet").to_pylist()
    return [row for row in table if row["shard"] == FILE]


def recaptioned(sample: Sample, text: str | None) -> Sample:
    """The sample as a build would have written it with another caption."""
    own = {"caption_variant": "other", "caption_selector_index": 1, "caption_source_id": "them"}
    return replace(sample, metadata={**sample.metadata, **own}, txt=f"{text or ''}\n".encode())


@pytest.mark.parametrize("workers", [0, 2])
def test_from_rows(tmp_path: Path, samples: list[Sample], workers: int) -> None:
    export = tmp_path / "export"
    old = rows(export)
    text = "neu: 写真\n" + "long " * 200
    wanted = [recaptioned(samples[0], text), samples[2], recaptioned(samples[3], None)]
    entry, places = write_shard(tmp_path / "expected", FILE, wanted)
    own = {"caption_variant": "other", "caption_selector_index": 1, "caption_source_id": "them", "changed": True}
    new = [{**old[0], **own, "caption": text}, {**old[2], "changed": False}, {**old[3], **own, "caption": None}]
    told: list[Event] = []
    with open_export_for_change(export, command="recaption") as opened:
        table = opened.scratch / "rows.parquet"
        with table_writer(table, REWRITTEN) as writer:
            writer.write_table(pa.Table.from_pylist(new, schema=REWRITTEN))
        shard = opened.manifest.buckets["p1024x1024"].shards[0]
        change = ShardChange(shard=shard, count=3, row_groups=range(1))
        done = rewrite_shards(opened, [change], rows=table, workers=workers, on_event=told.append)
        assert done == {FILE: entry}
        assert (opened.new / FILE).read_bytes() == (tmp_path / "expected" / FILE).read_bytes()
        now = pa.concat_tables(read_samples(opened.scratch, FILE, PLACED))
        written = moved(pa.Table.from_pylist(new, schema=REWRITTEN), now).to_pylist()
    expected = [
        {**sample_row(sample, FILE, place), **{name: row[name] for name in ("caption", "captions")}}
        for sample, place, row in zip(wanted, places, new, strict=True)
    ]
    assert written == expected
    assert told[-1] == Progress(stage="recaption", done=3, total=3, unit="images")


def test_from_parts(tmp_path: Path, samples: list[Sample]) -> None:
    entry, _ = write_shard(tmp_path / "expected", FILE, [samples[0], samples[3]])
    old = rows(tmp_path / "export")
    starts = [row["jpg_offset"] - 512 for row in old]
    with open_export_for_change(tmp_path / "export", command="remove") as opened:
        shard = opened.manifest.buckets["p1024x1024"].shards[0]
        parts = np.array([(0, starts[1]), (starts[3], (shard.bytes or 0) - 1024)])
        done = rewrite_shards(opened, [ShardChange(shard=shard, count=2, parts=parts)], workers=0, on_event=ignore)
        assert done == {FILE: entry}
        assert (opened.new / FILE).read_bytes() == (tmp_path / "expected" / FILE).read_bytes()


def test_a_damaged_shard(tmp_path: Path, samples: list[Sample]) -> None:
    path = tmp_path / "export" / FILE
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(data)
    with open_export_for_change(tmp_path / "export", command="remove") as opened:
        shard = opened.manifest.buckets["p1024x1024"].shards[0]
        change = ShardChange(shard=shard, count=1, parts=np.array([(0, 512)]))
        with pytest.raises(BuildError, match=f"{FILE}: .*sha256 must be {shard.sha256}.*the shard is damaged"):
            rewrite_shards(opened, [change], workers=0, on_event=ignore)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == hashlib.sha256(data).hexdigest()
