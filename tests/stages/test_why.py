"""why: one input's story, and the inputs of one outcome, from what the export itself holds."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hfbucket import schemas
from hfbucket.cli.main import main
from hfbucket.core.outcomes import OUTCOMES
from hfbucket.errors import ConfigError, FormatError
from hfbucket.stages.why import MEANINGS, left_out, why
from tests.factories import make_foreign_export, reseal
from tests.mutations import BROKEN_ID, KEY, LEDGER, SQUARE, TABLE, key_of, small


def test_every_outcome_has_a_meaning() -> None:
    assert tuple(MEANINGS) == OUTCOMES


@pytest.mark.parametrize("name", [BROKEN_ID, KEY, f"{KEY}.jpg"])
def test_an_exported_image(tmp_path: Path, name: str) -> None:
    small(tmp_path)
    (answer,) = why(tmp_path, name)
    assert (answer.image_id, answer.key, answer.outcome, answer.detail) == (BROKEN_ID, KEY, "images_exported", None)
    place = answer.placed
    assert place is not None
    assert (place.bucket_id, place.base_resolution, place.shard, place.w, place.h) == ("p1024x1024", 64, SQUARE, 64, 64)
    assert (place.source_w, place.source_h, place.resized_w, place.resized_h) == (73, 76, 64, 67)
    shard = (tmp_path / SQUARE).read_bytes()
    assert shard[place.jpg_offset :][:2] == b"\xff\xd8"
    assert shard[place.txt_offset :][: place.txt_size].decode() == f"{place.caption}\n"
    assert place.caption_variant == "caption"


@pytest.mark.parametrize(
    ("name", "outcome", "detail"),
    [
        ("drawn/tiny-0.png", "skipped_too_small", "20x30"),
        ("drawn/broken.jpg", "decode_errors", "broken data stream when reading image file"),
        (key_of("drawn/silent.jpg"), "skipped_no_caption", None),
    ],
)
def test_an_image_that_was_left_out(tmp_path: Path, name: str, outcome: str, detail: str | None) -> None:
    small(tmp_path)
    (answer,) = why(tmp_path, name)
    assert (answer.outcome, answer.detail, answer.placed) == (outcome, detail, None)


def test_a_size_can_be_explained(tmp_path: Path) -> None:
    manifest = small(tmp_path)
    assert why(tmp_path, "drawn/tiny-0.png")[0].explain == "hfbucket explain 20x30 --base 64"
    assert why(tmp_path, "drawn/broken.jpg")[0].explain is None
    rule = {**manifest.bucket_rule, "metric": "nearest-log", "max_crop": "0.1"}
    reseal(tmp_path, divisible=8, bucket_rule=rule)
    command = why(tmp_path, "drawn/tiny-0.png")[0].explain
    assert command == "hfbucket explain 20x30 --base 64 --divisible 8 --metric nearest-log --max-crop 0.1"
    assert main(command.split()[1:]) == 0


def test_two_inputs_of_one_id(tmp_path: Path) -> None:
    small(tmp_path)
    rows = [*pq.read_table(tmp_path / LEDGER).to_pylist(), {"image_id": BROKEN_ID, "outcome": "duplicates_removed"}]
    pq.write_table(pa.Table.from_pylist(rows, schema=schemas.LEDGER), tmp_path / LEDGER)
    first, second = why(tmp_path, BROKEN_ID)
    assert (first.outcome, second.outcome) == ("images_exported", "duplicates_removed")
    assert first.placed is not None
    assert second.placed is None


def test_an_unknown_name_gets_suggestions(tmp_path: Path) -> None:
    small(tmp_path)
    for name in ("broken.jpg", "/photos/drawn/BROKEN.jpg", "broken"):
        with pytest.raises(ConfigError, match=r"Did you mean 'drawn/broken\.jpg'\?"):
            why(tmp_path, name)
    for name in ("nothing like it", "", "f" * 32):
        with pytest.raises(ConfigError, match=r"no input has the image_id or key .* Ids are paths below the source"):
            why(tmp_path, name)


def test_a_list_of_one_outcome(tmp_path: Path) -> None:
    small(tmp_path)
    listed = left_out(tmp_path, "skipped_too_small")
    assert (listed.total, [a.image_id for a in listed.answers]) == (2, ["drawn/tiny-0.png", "drawn/tiny-1.png"])
    assert [a.detail for a in listed.answers] == ["20x30", "16x16"]
    listed = left_out(tmp_path, "images_exported", limit=5)
    assert (listed.total, len(listed.answers)) == (12, 5)
    assert len(left_out(tmp_path, "images_exported", limit=None).answers) == 12
    assert left_out(tmp_path, "removed").total == 0


def test_unknown_reasons_are_refused(tmp_path: Path) -> None:
    small(tmp_path)
    with pytest.raises(ConfigError, match="did you mean skipped_too_small"):
        left_out(tmp_path, "too_small")
    with pytest.raises(ConfigError, match="one of images_exported, source_errors"):
        left_out(tmp_path, "x")


def test_without_a_ledger_only_exported_images_are_known(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / LEDGER).unlink()
    (answer,) = why(tmp_path, KEY)
    assert answer.image_id == BROKEN_ID
    assert answer.placed is not None
    with pytest.raises(ConfigError, match="This copy has no ledger"):
        why(tmp_path, "drawn/broken.jpg")
    with pytest.raises(FormatError, match="has no ledger: it is not pushed unless asked"):
        left_out(tmp_path, "decode_errors")
    (tmp_path / TABLE).unlink()
    with pytest.raises(FormatError, match="neither ledger nor sample tables"):
        why(tmp_path, KEY)


def test_exports_of_other_tools_tell_nothing(tmp_path: Path) -> None:
    make_foreign_export(tmp_path)
    with pytest.raises(FormatError, match="neither ledger nor sample tables"):
        why(tmp_path, "a")


def test_any_store(tmp_path: Path) -> None:
    small(tmp_path)
    fsspec.filesystem("memory").put(str(tmp_path), "/why/export", recursive=True)
    assert why("memory://why/export", KEY) == why(tmp_path, KEY)


def test_damaged_tables_are_named(tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / LEDGER).write_bytes(b"PAR1")
    with pytest.raises(FormatError, match=r"ledger/part-00000\.parquet: cannot be read"):
        why(tmp_path, BROKEN_ID)
