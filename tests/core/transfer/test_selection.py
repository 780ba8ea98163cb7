"""Which shards a part holds, and what its manifest says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hfbucket.core.checks.manifest import check_manifest
from hfbucket.core.manifest.model import BucketEntry, Manifest, SampleTable, Shard, Size
from hfbucket.core.transfer.selection import Selection, check_names, part_of, select, table_rows
from hfbucket.errors import ConfigError, FormatError
from tests.factories import make_export


def entry(base: int, *sizes: int, name: str = "") -> BucketEntry:
    shards = tuple(Shard(file=f"buckets/{name}/shard-{i:05d}.tar", count=2, bytes=s) for i, s in enumerate(sizes))
    size = Size(w=base, h=base)
    return BucketEntry(
        base_resolution=base, proto=size, scaled=size, count=2 * len(sizes), bytes=sum(sizes), shards=shards
    )


BUCKETS = {"r512_a": entry(512, 100, 100, 100, 100, name="r512_a"), "r512_b": entry(512, 40, name="r512_b"),
           "r256_a": entry(256, 10, 10, name="r256_a"), "r256_b": entry(256, name="r256_b")}  # fmt: skip
MANIFEST = Manifest(format="bucketed_shards_v2", buckets=BUCKETS)


def held(**selection: object) -> dict[str, list[int]]:
    chosen = select(MANIFEST, Selection(**selection))  # type: ignore[arg-type]
    return {name: [int(shard.file[-9:-4]) for shard in shards] for name, shards in chosen.items()}


def test_by_config_and_bucket() -> None:
    everything = {"r512_a": [0, 1, 2, 3], "r512_b": [0], "r256_a": [0, 1]}
    assert held() == held(configs=("all",)) == held(configs=("all", "r512")) == everything
    assert held(configs=("r256",)) == {"r256_a": [0, 1]}
    assert held(configs=("r256", "r512")) == everything
    assert held(buckets=("r512_b", "r256_a")) == {"r512_b": [0], "r256_a": [0, 1]}
    assert held(configs=("r256",), buckets=("r512_b", "r256_a")) == {"r256_a": [0, 1]}


@pytest.mark.parametrize(
    ("max_bytes", "expected"),
    [
        (10, {"r256_a": [0]}),
        (250, {"r512_a": [0, 1], "r512_b": [0], "r256_a": [0]}),
        (310, {"r512_a": [0, 1], "r512_b": [0], "r256_a": [0, 1]}),
        (460, {"r512_a": [0, 1, 2, 3], "r512_b": [0], "r256_a": [0, 1]}),
    ],
)
def test_by_bytes_every_bucket_gives_a_like_share(max_bytes: int, expected: dict[str, list[int]]) -> None:
    assert held(max_bytes=max_bytes) == expected


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"configs": ("r521",)}, "no config is called 'r521'; did you mean r512?"),
        ({"buckets": ("square",)}, "no bucket is called 'square'; one of r256_a, r256_b, r512_a, r512_b"),
        (
            {"buckets": ("r256_b",)},
            r"no shard is in the selection \{'buckets': \['r256_b'\]\}: those buckets are empty",
        ),
        ({"max_bytes": 9}, "max_bytes must be at least 10, the smallest shard, got 9"),
    ],
)
def test_what_cannot_be_selected(selection: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        held(**selection)


def test_which_tables_hold_the_rows() -> None:
    tables = tuple(
        SampleTable(file=f"samples/part-0000{i}.parquet", rows=5, bytes=1, sha256="0" * 64) for i in range(3)
    )
    manifest = replace(MANIFEST, samples=tables)  # rows by shard: r256_a 4, r512_a 8, r512_b 2
    rows = {name: table_rows(manifest, select(manifest, Selection(buckets=(name,)))) for name in ("r256_a", "r512_b")}
    assert rows == {"r256_a": {tables[0].file: 4}, "r512_b": {tables[2].file: 2}}
    assert [*table_rows(manifest, select(manifest, Selection(buckets=("r512_a",)))).values()] == [1, 5, 2]
    with pytest.raises(FormatError, match="fewer rows"):
        table_rows(replace(manifest, samples=tables[:2]), select(manifest, Selection()))


def test_the_manifest_of_a_part_adds_up(tmp_path: Path) -> None:
    whole = make_export(tmp_path, bases=(64,))
    selection = Selection(buckets=("p1024x1024",))
    part = part_of(whole, select(whole, selection), selection)
    assert part.part_of == {
        "export_id": whole.export_id, "selection": {"buckets": ["p1024x1024"]}, "summary": whole.summary,
    }  # fmt: skip
    assert part.buckets.keys() == whole.buckets.keys()
    assert part.summary["images_seen"] == part.summary["images_exported"] == 6
    assert {found.code for found in check_manifest(part, ours=True)} == {"manifest_changed", "sums", "statistics"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["buckets/a/.git.tar"], "not hidden"),
        ([".git/hooks/a.tar"], "not hidden"),
        (["README.md"], "must name shards, tables and pictures"),
        (["buckets/a/x.tar", "buckets/A/x.tar"], "in capitals and in small letters"),
        ([f"buckets/a/{i}.tar" for i in range(100_001)], "names 100,001 shards"),
    ],
)
def test_names_that_no_disk_should_get(names: list[str], message: str) -> None:
    shards = tuple(Shard(file=name) for name in names)
    with pytest.raises(FormatError, match=message):
        check_names(replace(MANIFEST, buckets={"r256_a": replace(entry(256), shards=shards)}))
