"""verify: each promise of sample tables, ledger and card, broken alone with all hashes fitting, is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket import schemas
from hfbucket.io.manifest_file import write_manifest
from hfbucket.stages.verify.run import verify
from tests.factories import reseal, write_card
from tests.mutations import (
    CARD,
    FIRST,
    KEY,
    LEDGER,
    SQUARE,
    SQUARE_2,
    TABLE,
    WIDE,
    WIDE_2,
    Change,
    Found,
    append,
    edited,
    flip,
    found,
    key_of,
    members,
    small,
)  # fmt: skip

TABLE_MUTATIONS: dict[str, tuple[Callable[[pa.Table], pa.Table], Found]] = {
    "offset": (lambda t: edited(t, "txt_offset", 1, 7), {("samples", SQUARE, KEY)}),
    "size": (lambda t: edited(t, "jpg_size", 1, 7), {("samples", SQUARE, KEY)}),
    "crop": (lambda t: edited(t, "crop_left", 1, 63), {("samples", SQUARE, KEY)}),
    "meta": (lambda t: edited(t, "meta", 1, "{}"), {("samples", SQUARE, KEY)}),
    "split": (lambda t: edited(t, "source_split", 1, "train"), {("samples", SQUARE, KEY)}),
    "captions": (
        lambda t: edited(t, "captions", 1, []),
        {("samples", SQUARE, KEY), ("sums", "manifest.json", None), ("statistics", "manifest.json", None)},
    ),
    "jpeg": (lambda t: edited(t, "jpeg", 1, None), {("samples", SQUARE, KEY)}),
    "key": (
        lambda t: edited(t, "key", 1, "0" * 32),
        {("samples", SQUARE, KEY), ("ledger", "ledger", KEY), ("ledger", "ledger", "0" * 32)},
    ),
    "a row missing": (
        lambda t: t.slice(0, t.num_rows - 1),
        {
            ("samples", TABLE, None),
            ("samples", WIDE_2, None),
            ("statistics", "manifest.json", None),
            ("sums", "manifest.json", None),
            ("ledger", "ledger", key_of("drawn/p1152x832/picture 005.jpg")),
        },
    ),
    "unsorted": (
        lambda t: t.take([1, 0, *range(2, t.num_rows)]),
        {("samples", TABLE, None), ("samples", SQUARE, FIRST), ("order", SQUARE, FIRST)},
    ),
    "another schema": (lambda t: t.drop_columns(["meta"]), {("samples", TABLE, None)}),
    "an unknown shard": (
        lambda t: edited(t, "shard", 11, "buckets/p1152x832/shard-00002.tar"),
        {("samples", TABLE, None), ("samples", WIDE_2, None)},
    ),
    "a variant that does not exist": (
        lambda t: edited(t, "caption_variant", 1, "poem"),
        {("samples", SQUARE, KEY), ("sums", "manifest.json", None)},
    ),
}


@pytest.mark.parametrize("name", TABLE_MUTATIONS)
def test_sample_tables(tmp_path: Path, name: str) -> None:
    change, expected = TABLE_MUTATIONS[name]
    small(tmp_path)
    pq.write_table(change(pq.read_table(tmp_path / TABLE)), tmp_path / TABLE)
    reseal(tmp_path)
    report = found(verify(tmp_path))
    assert report == expected


@pytest.mark.parametrize("group_rows", [1, 2, 3, 1000])
@pytest.mark.parametrize("row", [1, 2, 3])
def test_order_over_row_groups(tmp_path: Path, group_rows: int, row: int) -> None:
    small(tmp_path)
    whole = pq.read_table(tmp_path / TABLE)
    order = [*range(whole.num_rows)]
    order[row - 1], order[row] = order[row], order[row - 1]
    for rows, expected in ((whole, []), (whole.take(order), [f"must be sorted by shard and offset, row {row} is not"])):
        pq.write_table(rows, tmp_path / TABLE, row_group_size=group_rows)
        reseal(tmp_path)
        told = [problem.message for problem in verify(tmp_path).problems]
        assert [message for message in told if "sorted" in message] == expected


def ledger_rows(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Change:
    def edit(path: Path) -> None:
        rows = change(pq.read_table(path / LEDGER).to_pylist())
        pq.write_table(pa.Table.from_pylist(rows, schema=schemas.LEDGER), path / LEDGER)

    return edit


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (ledger_rows(lambda rows: rows[1:]), {"has 11 rows of images_exported", "does not name an exported sample"}),
        (ledger_rows(lambda rows: rows[:-1]), {"has 0 rows of skipped_no_caption"}),
        (ledger_rows(lambda rows: [{**rows[0], "outcome": "skipped_ugly"}, *rows[1:]]),
         {"outcomes that do not exist: skipped_ugly", "has 11 rows", "does not name an exported sample"}),
        (ledger_rows(lambda rows: [rows[1], *rows[1:]]), {"names 1 exported images twice", "does not name"}),
        (ledger_rows(lambda rows: [{**rows[0], "image_id": "a.jpg"}, *rows[1:]]),
         {"does not name an exported sample", "names an image as exported that is no sample"}),
        (lambda path: (path / LEDGER).write_bytes(b"PAR1"), {"cannot be read as ledger"}),
        (lambda path: pq.write_table(pa.table({"image_id": ["a"]}), path / LEDGER), {"cannot be read as ledger"}),
    ],
)  # fmt: skip
def test_ledger(tmp_path: Path, change: Change, words: set[str]) -> None:
    small(tmp_path)
    change(tmp_path)
    report = verify(tmp_path)
    assert {item.code for item in report.problems} == {"ledger"}
    assert len(report.problems) == len(words)
    for text in words:
        assert any(text in item.message for item in report.problems), text


def test_source_order_is_the_ledger_s(tmp_path: Path) -> None:
    small(tmp_path)
    ledger_rows(lambda rows: [rows[1], rows[0], *rows[2:]])(tmp_path)
    assert found(verify(tmp_path)) == {("order", SQUARE, KEY)}


@pytest.mark.parametrize("seed", [0, 7, -1])
def test_shuffled_order_is_the_seed_s(tmp_path: Path, seed: int) -> None:
    """The sort key of the format's law, made here with Python's own integers."""
    small(tmp_path)
    reseal(tmp_path, order={"kind": "shuffle", "seed": seed})
    expected = set()
    for file in (SQUARE, SQUARE_2, WIDE, WIDE_2):
        keys = [name[:32] for name, _ in members(tmp_path, file)[::3]]
        ranks = [mixed(int(key[:16], 16) ^ mixed(seed % 2**64)) for key in keys]
        falls = [keys[i] for i in (1, 2) if ranks[i] < ranks[i - 1]]
        expected |= {("order", file, key) for key in falls[:1]}
    assert expected
    assert found(verify(tmp_path)) == expected


def mixed(word: int) -> int:
    word = (word + 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
    return word ^ word >> 31


@pytest.mark.parametrize(
    ("image_mode", "limit", "files"),
    [
        ("reencode_jpeg", 3 * (4096 + 2458), set()),  # 64 x 64 pixels at 600 bytes for 1000
        ("reencode_jpeg", 3 * (4096 + 2458) - 1, {SQUARE, SQUARE_2}),
        ("reencode_jpeg", 3 * (4096 + 1229) - 1, {SQUARE, SQUARE_2, WIDE, WIDE_2}),
        ("passthrough_jpeg", 3 * 4096, {SQUARE, SQUARE_2, WIDE, WIDE_2}),
        ("passthrough_jpeg", 100_000, set()),
    ],
)
def test_shards_are_cut_by_planned_bytes(tmp_path: Path, image_mode: str, limit: int, files: set[str]) -> None:
    small(tmp_path, image_mode=image_mode)
    reseal(tmp_path, settings={"source_hash": True, "max_shard_size": limit})
    assert found(verify(tmp_path)) == {("sums", file, None) for file in files}


def test_a_single_larger_sample_stands_alone(tmp_path: Path) -> None:
    small(tmp_path, per_shard=1)
    reseal(tmp_path, settings={"source_hash": True, "max_shard_size": 1})
    assert verify(tmp_path).ok


def test_captions_that_are_there_are_counted(tmp_path: Path) -> None:
    manifest = small(tmp_path)
    one, two = manifest.captions.variants
    variants = (one, replace(two, images_with_ok_caption=11))
    reseal(tmp_path, captions=replace(manifest.captions, variants=variants))
    report = verify(tmp_path)
    assert found(report) == {("sums", "manifest.json", None)}
    assert "images_with_ok_caption of variant 'text' is 11, of samples 12" in report.problems[0].message


def test_limits_in_the_ledger_s_footer(tmp_path: Path) -> None:
    """Readers skip rows by them, so `why` would not find an image."""
    small(tmp_path)
    flip(tmp_path / LEDGER, (tmp_path / LEDGER).read_bytes().rindex(b"drawn/broken.jpg") + 6)
    report = verify(tmp_path)
    assert found(report) == {("ledger", LEDGER, None)}
    assert "other limits of image_id in row group 0" in report.problems[0].message


def test_an_export_without_ledger_lacks_it(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / LEDGER).unlink()
    report = verify(tmp_path)
    assert report.ok
    assert [lack.code for lack in report.lacks] == ["ledger"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("num_examples: 12", "num_examples: 13", "dataset_info"),
        ("p1152x832", "p1152x833", "p1152x832"),
        ("Drawn pictures", "Painted pictures", "pretty_name"),
        ("\n", "\n\n", "line 2 must be"),
    ],
)
def test_card(tmp_path: Path, old: str, new: str, message: str) -> None:
    small(tmp_path)
    text = (tmp_path / CARD).read_text("utf-8")
    assert old in text
    (tmp_path / CARD).write_text(text.replace(old, new, 1 if old == "\n" else -1), "utf-8")
    report = verify(tmp_path)
    assert {(item.code, item.file) for item in report.problems} == {("card", CARD)}
    assert any(message in item.message for item in report.problems)


def test_a_card_is_utf8(tmp_path: Path) -> None:
    small(tmp_path)
    append(CARD, b"\xff")(tmp_path)
    assert found(verify(tmp_path)) == {("card", CARD, None)}


def test_cards_of_other_releases_may_be_worded_otherwise(tmp_path: Path) -> None:
    manifest = small(tmp_path)
    manifest = replace(manifest, generator=replace(manifest.generator, version="0.0.9"))  # type: ignore[type-var]
    write_manifest(tmp_path, manifest)
    write_card(tmp_path, manifest)
    append(CARD, b"\nMore words.\n")(tmp_path)
    assert verify(tmp_path).ok


def test_another_encoder_is_a_note(tmp_path: Path) -> None:
    manifest = small(tmp_path)
    manifest = replace(manifest, generator=replace(manifest.generator, pillow="1.0"))  # type: ignore[type-var]
    write_manifest(tmp_path, manifest)
    write_card(tmp_path, manifest)
    report = verify(tmp_path)
    assert report.ok
    assert "it was encoded with pillow 1.0, here is" in report.notes[0]
