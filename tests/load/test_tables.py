"""Samples from the sample tables are those of the shards, whatever parts and row groups the tables have."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pyarrow.parquet as pq
import pytest

from hfbucket.core.manifest.model import Manifest, SampleTable
from hfbucket.errors import FormatError
from hfbucket.io.manifest_file import read_manifest
from hfbucket.load.offsets import sample_starts
from hfbucket.load.plan import ShardRef, shard_refs, split_ref
from hfbucket.load.samples import COLUMNS, read_examples
from hfbucket.load.tables import SampleTables, TableRef, table_refs
from tests.factories import Sample, make_export

OTHERS = tuple(name for name in COLUMNS if name != "image")


def without_caption(sample: Sample) -> Sample:
    """Return every third sample without a caption: such a one has an empty text."""
    if int(sample.key, 16) % 3:
        return sample
    none = {"caption_variant": None, "caption_selector_index": None}
    return replace(sample, captions=(None, None), txt=b"\n", metadata=sample.metadata | none)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export whose manifest has base 96 before base 64, and whose sample tables have it after."""
    path = tmp_path_factory.mktemp("export")
    make_export(path, bases=(96, 64), per_shard=4, card=False, change=without_caption)
    return path


@pytest.fixture(scope="module")
def manifest(export: Path) -> Manifest:
    """The export's manifest, with its table cut into parts of 13 rows in row groups of 5."""
    found = read_manifest(export)
    table = pq.read_table(export / found.samples[0].file)
    parts = []
    for number, start in enumerate(range(0, table.num_rows, 13)):
        part = table.slice(start, 13)
        file = f"samples/small-{number}.parquet"
        pq.write_table(part, export / file, row_group_size=5)
        size = (export / file).stat().st_size
        parts.append(SampleTable(file=file, rows=part.num_rows, bytes=size, sha256=""))
    assert len(parts) == 3
    return replace(found, samples=tuple(parts))


def refs_of(manifest: Manifest, export: Path) -> list[ShardRef]:
    return shard_refs(manifest, "all", base_url=str(export), list_folder=lambda folder: [])


def no_remote(url: str, start: int) -> BinaryIO:
    raise AssertionError(url)


def opened(url: str, size_bytes: int) -> BinaryIO:
    assert Path(url).stat().st_size == size_bytes
    return open(url, "rb")


@pytest.mark.parametrize("columns", [OTHERS, OTHERS[::-1], ("caption",), ("width", "bucket_id"), ("meta", "key")])
def test_rows_are_the_samples(export: Path, manifest: Manifest, columns: tuple[str, ...]) -> None:
    tables = SampleTables(table_refs(manifest, str(export)), opened)
    seen = 0
    for ref in refs_of(manifest, export):
        rows = list(tables.read_examples(ref, columns))
        expected = list(read_examples(ref, no_remote, columns=columns))
        assert [list(row) for row in rows] == [list(row) for row in expected]  # the same columns in the same order
        assert [{**row, "meta": None} for row in rows] == [{**row, "meta": None} for row in expected]
        seen += len(rows)
    assert seen == 32


@pytest.mark.parametrize("crop", [False, True])
def test_images_of_local_shards_come_from_where_their_rows_say(export: Path, manifest: Manifest, crop: bool) -> None:
    tables = SampleTables(table_refs(manifest, str(export)), opened)
    starts = sample_starts((export / table.file).open("rb") for table in manifest.samples)
    for ref in refs_of(manifest, export):
        assert tables.serve(ref, COLUMNS)
        whole = list(read_examples(ref, no_remote, crop=crop))
        assert list(tables.read_examples(ref, COLUMNS, crop=crop)) == whole
        pieces = split_ref(ref, starts[ref.file], 3)
        assert [row for piece in pieces for row in tables.read_examples(piece, COLUMNS, crop=crop)] == whole


def test_a_shard_that_is_not_what_its_rows_say_is_named(export: Path, manifest: Manifest, tmp_path: Path) -> None:
    tables = SampleTables(table_refs(manifest, str(export)), opened)
    ref = refs_of(manifest, export)[0]
    data = Path(ref.url).read_bytes()
    shard = tmp_path / "shard.tar"
    here = replace(ref, url=str(shard))
    for damaged, message in (
        (data[:700], "the shard ends before its archive does"),
        (data[512:], "and it does not; run `hfbucket verify`"),
        (data[:124] + b"00000000000" + data[135:], "of [0-9]+ bytes lies at byte 512, and it does not"),
    ):
        shard.write_bytes(damaged)
        with pytest.raises(FormatError, match=message):
            list(tables.read_examples(here, COLUMNS))
    with pytest.raises(FormatError, match="the export is not complete"):
        list(tables.read_examples(replace(ref, url=str(tmp_path / "none.tar")), COLUMNS))


def test_tables_serve_what_they_are_best_at(export: Path, manifest: Manifest, tmp_path: Path) -> None:
    tables = SampleTables(table_refs(manifest, str(export)), opened)
    local = refs_of(manifest, export)[0]
    remote = replace(local, url="https://host/shard.tar")
    assert [tables.serve(ref, names) for ref in (local, remote) for names in (COLUMNS, OTHERS)] == [
        True,
        True,
        False,
        True,
    ]
    assert not tables.serve(replace(local, row=None), OTHERS)
    assert not SampleTables(table_refs(manifest, str(tmp_path)), opened).serve(local, COLUMNS)  # no table is there


def test_pieces_of_shards_have_their_own_rows(export: Path, manifest: Manifest) -> None:
    tables = SampleTables(table_refs(manifest, str(export)), opened)
    starts = sample_starts((export / table.file).open("rb") for table in manifest.samples)
    for ref in refs_of(manifest, export):
        pieces = split_ref(ref, starts[ref.file], 3)
        rows = [row["key"] for piece in pieces for row in tables.read_examples(piece, ("key",))]
        assert rows == [row["key"] for row in read_examples(ref, no_remote, columns=("key",))]
        assert pieces[0].row == ref.row


def test_each_row_group_is_read_once_for_shards_in_order(export: Path, manifest: Manifest) -> None:
    urls: Counter[str] = Counter()

    def counted(url: str, size_bytes: int) -> BinaryIO:
        urls[url] += 1
        return open(url, "rb")

    tables = SampleTables(table_refs(manifest, str(export)), counted)
    for ref in sorted(refs_of(manifest, export), key=lambda ref: ref.file):
        list(tables.read_examples(ref, ("key",)))
    assert [urls[f"{export}/{table.file}"] for table in manifest.samples] == [4, 4, 3]  # and its footer


def test_where_nothing_says_which_rows_there_is_no_row(export: Path, manifest: Manifest) -> None:
    assert {ref.row for ref in refs_of(replace(manifest, samples=()), export)} == {None}
    assert {ref.row for ref in refs_of(replace(manifest, samples=manifest.samples[:2]), export)} == {None}
    ref = replace(refs_of(manifest, export)[0], row=None)
    with pytest.raises(FormatError, match="the manifest does not say where its rows are"):
        list(SampleTables((), opened).read_examples(ref, ("key",)))


def table(export: Path, file: str) -> TableRef:
    size = (export / file).stat().st_size if (export / file).exists() else 1
    return TableRef(file=file, url=f"{export}/{file}", rows=13, size_bytes=size)


def test_tables_that_are_wrong_are_named(export: Path, manifest: Manifest) -> None:
    ref = next(ref for ref in refs_of(manifest, export) if ref.row == 0)
    (export / "samples" / "damaged.parquet").write_bytes((export / manifest.samples[0].file).read_bytes()[:-9])
    for file, words in (
        ("samples/none.parquet", r"cannot be read \(.*No such file"),
        ("samples/damaged.parquet", r"cannot be read \(.*; run `hfbucket verify`"),
        (manifest.samples[1].file, f"rows of {ref.file} must stand here, and do not"),
    ):
        with pytest.raises(FormatError, match=f"^{file}: {words}"):
            list(SampleTables([table(export, file)], opened).read_examples(ref, ("key",)))
    beyond = replace(ref, row=13 * 3)
    with pytest.raises(FormatError, match="has more samples than the sample tables"):
        list(SampleTables(table_refs(manifest, str(export))[:2], opened).read_examples(beyond, ("key",)))
